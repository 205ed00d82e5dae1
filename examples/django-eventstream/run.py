#!/usr/bin/env python3
"""Start the Django example: one command, one URL, Ctrl-C ends it."""

import pathlib
import sys

PLACE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(PLACE.parent))

from launch import launch  # noqa: E402

launch(
    PLACE,
    *(sys.executable, "manage.py", "runserver", "--noreload", "127.0.0.1:{port}"),
    prepare=(sys.executable, "manage.py", "migrate", "--verbosity=0"),
    module="django_eventstream",
    group="libraries",
)
