"""What files of Pushpin hold beside the options that act."""

import pytest

from gripproxy import legacy
from gripproxy.options import SECTIONS, TABLE


@pytest.mark.parametrize("names", [legacy.IGNORED, legacy.INTERNAL, legacy.FORMER.values()])
def test_what_is_known_is_in_a_known_section(names):
    assert {section for section, _ in names} <= set(SECTIONS)


def test_an_option_does_one_thing():
    assert not set(legacy.IGNORED) & set(legacy.INTERNAL)
    assert not set(TABLE) & set(legacy.IGNORED)
    assert not set(TABLE) & legacy.INTERNAL


def test_the_public_endpoints_of_the_handler_act():
    for name in ("stats_spec", "command_spec"):
        assert ("proxy", name) in legacy.INTERNAL
        assert ("handler", name) in TABLE


def test_an_older_name_stands_for_an_option():
    assert set(legacy.FORMER) <= set(TABLE)


def test_what_is_said_of_an_older_name_names_it():
    for (_, name), text in legacy.DEPRECATED.items():
        assert name in text


def test_every_older_name_is_said_to_be_one():
    assert set(legacy.FORMER.values()) <= set(legacy.DEPRECATED)
