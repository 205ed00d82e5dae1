#!/usr/bin/env python3
"""Start the Node example: one command, one URL, Ctrl-C ends it. Asks for Node 18 and npm."""

import pathlib
import sys

PLACE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(PLACE.parent))

from launch import launch  # noqa: E402

INSTALLED = PLACE / "node_modules" / ".package-lock.json"  # what npm writes last
INSTALL = ("npm", "ci", "--no-audit", "--no-fund")
launch(PLACE, "node", "app.js", prepare=() if INSTALLED.exists() else INSTALL)
