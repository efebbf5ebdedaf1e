#!/usr/bin/env python3
"""Calls `stemson test-hot-swap`, which swaps a model under load and counts what fails.

All arguments go through; so does the exit code. The binary is $STEMSON_BIN, or `stemson` on the path.
"""

import os
import shutil
import subprocess
import sys


def main() -> int:
    binary = os.environ.get("STEMSON_BIN") or shutil.which("stemson")
    if not binary:
        print("error: no `stemson` on the path; install it, or set STEMSON_BIN", file=sys.stderr)
        return 2
    try:
        return subprocess.call([binary, "test-hot-swap", *sys.argv[1:]])
    except OSError as cause:
        print(f"error: cannot start {binary}: {cause}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
