"""Finds the `stemson` binary ($STEMSON_BIN, or on the path) and passes a script's arguments on to it."""

import os
import shutil
import subprocess
import sys


def run(command: str) -> int:
    """Ends as the command does; 2 where there is no binary."""
    binary = os.environ.get("STEMSON_BIN") or shutil.which("stemson")
    if not binary:
        print("error: no `stemson` on the path; install it, or set STEMSON_BIN", file=sys.stderr)
        return 2
    try:
        return subprocess.call([binary, command, *sys.argv[1:]])
    except OSError as cause:
        print(f"error: cannot start {binary}: {cause}", file=sys.stderr)
        return 2
