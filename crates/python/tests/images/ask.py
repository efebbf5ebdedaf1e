"""Scores rows with nothing but the wheel and Python's own library: `cargo xtask images`.

    ask.py [FOLDER]     a folder with model.zip and input.csv

Prints what it ran on, then the sum of the answers, which is the same wherever they are made.
"""

import csv
import hashlib
import os
import platform
import sys

import stemson

BENCH = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../../../benches/models/gbm100d6")


def libc():
    name, version = platform.libc_ver()
    # Only glibc can be asked in the same way everywhere.
    return f"{name} {version}" if name == "glibc" else "musl"


def main():
    folder = sys.argv[1] if len(sys.argv) > 1 else BENCH
    model = stemson.load(os.path.join(folder, "model.zip"))
    with open(os.path.join(folder, "input.csv"), newline="", encoding="utf-8") as file:
        rows = [{name: text for name, text in row.items() if text} for row in csv.DictReader(file)]
    answers = model.predict(rows)
    assert answers == [model.predict_row(row) for row in rows]
    spelled = "\n".join(f"{row['predict']} {row['yes'].hex()}" for row in answers)
    print(f"{platform.python_implementation()} {platform.python_version()}, {libc()}")
    print(hashlib.sha256(spelled.encode()).hexdigest())


if __name__ == "__main__":
    main()
