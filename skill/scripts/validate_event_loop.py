#!/usr/bin/env python3
"""Calls `stemson validate-event-loop`, which finds the calls that block the event loop of an ASGI app."""

import sys

from _stemson import run

if __name__ == "__main__":
    sys.exit(run("validate-event-loop"))
