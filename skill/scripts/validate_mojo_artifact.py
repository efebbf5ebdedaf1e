#!/usr/bin/env python3
"""Calls `stemson validate-mojo-artifact`, which checks a MOJO before it is released."""

import sys

from _stemson import run

if __name__ == "__main__":
    sys.exit(run("validate-mojo-artifact"))
