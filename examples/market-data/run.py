#!/usr/bin/env python3
"""Start the market: one command, one URL, Ctrl-C ends it."""

import pathlib
import sys

PLACE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(PLACE.parent))

from launch import launch  # noqa: E402

ORIGIN = (sys.executable, "origin.py", "--port", "{port}", "--pull", "{pull}")
HISTORY = "handler.history_items=2000"  # what a stored stream can be continued with

launch(PLACE, *ORIGIN, route=",cache", options=[HISTORY])
