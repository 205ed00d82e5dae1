"""What all tests need."""

import os

from hypothesis import settings

# Speed is measured in bench/, not here: a busy machine must not fail a property.
settings.register_profile("patient", deadline=None)
# The same examples each time: a change is not judged by what it has not touched.
settings.register_profile("steady", deadline=None, derandomize=True)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "patient"))
