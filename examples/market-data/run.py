#!/usr/bin/env python3
"""Start the market: one command, one URL, Ctrl-C ends it."""

import pathlib
import sys

PLACE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(PLACE.parent))

from launch import launch  # noqa: E402

ORIGIN = (sys.executable, "origin.py", "--port", "{port}", "--pull", "{pull}")

launch(PLACE, *ORIGIN, route=",cache")
