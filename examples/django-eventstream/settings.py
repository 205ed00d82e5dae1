"""Settings of a Django site with django-eventstream, which knows nothing of this proxy.

What makes it push is two of them: `GRIP_URL`, where events are published, and `GripMiddleware`,
which asks the proxy to hold a request. With `?iss=pushpin&key=...` in the URL the middleware also
checks that a request came through the proxy; the key is the proxy's `sig_key`.
"""

import os
import pathlib

GRIP_URL = os.environ.get("GRIP_URL", "http://127.0.0.1:5561/")
MIDDLEWARE = ["django_grip.GripMiddleware"]

# Events stay in the database for a while: a browser that was away gets what it missed.
EVENTSTREAM_STORAGE_CLASS = "django_eventstream.storage.DjangoModelStorage"

INSTALLED_APPS = [
    "django.contrib.contenttypes",
    "django.contrib.auth",
    "django_eventstream",
]
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": os.environ.get("DATABASE", pathlib.Path(__file__).with_name("db.sqlite3")),
    }
}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
ROOT_URLCONF = "urls"
SECRET_KEY = "no secret at all: an example on loopback"
ALLOWED_HOSTS = ["127.0.0.1", "localhost"]
USE_TZ = True
