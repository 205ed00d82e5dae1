"""What all tests need."""

from hypothesis import settings

# Speed is measured in bench/, not here: a busy machine must not fail a property.
settings.register_profile("patient", deadline=None)
settings.load_profile("patient")
