#!/usr/bin/env python3
"""Calls `stemson benchmark-jsonb-index`, which compares the operator classes of GIN indexes."""

import sys

from _stemson import run

if __name__ == "__main__":
    sys.exit(run("benchmark-jsonb-index"))
