#!/usr/bin/env python3
"""Calls `stemson test-hot-swap`, which swaps a model under load and counts what fails."""

import sys

from _stemson import run

if __name__ == "__main__":
    sys.exit(run("test-hot-swap"))
