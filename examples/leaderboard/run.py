#!/usr/bin/env python3
"""Start the leaderboard: one command, one URL, Ctrl-C ends it."""

import pathlib
import sys

PLACE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(PLACE.parent))

from launch import launch  # noqa: E402

launch(
    PLACE,
    *(sys.executable, "origin.py", "--port", "{port}", "--control", "{control}"),
    route=",cache",
)
