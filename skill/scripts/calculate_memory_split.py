#!/usr/bin/env python3
"""Calls `stemson calculate-memory-split`, which splits a container's memory between the JVM and the rest."""

import sys

from _stemson import run

if __name__ == "__main__":
    sys.exit(run("calculate-memory-split"))
