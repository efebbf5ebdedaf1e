"""What the scripts over gRPC share: named checks, and the row API whose answers are the measure.

The scripts are called with the addresses of gRPC and of HTTP first.
"""

import json
import sys
import urllib.request

HTTP = sys.argv[2]
CHECKS = []
ROWS = [{"x1": 1.5, "c3": "red", "k": 3.0}, {"x1": -0.25, "c3": "green", "k": 4.0}]


def check(function):
    CHECKS.append(function)
    return function


def http(path, body=None):
    data = None if body is None else json.dumps(body).encode()
    with urllib.request.urlopen(f"http://{HTTP}{path}", data) as answer:
        return json.load(answer)


def expected(model, rows, **options):
    """Labels and probabilities in the order of the classes; or values."""
    answer = http(f"/v1/models/{model}:predict", {"instances": rows, **options})
    first = [row.get("label", row.get("value")) for row in answer["predictions"]]
    return first, [list(row["p"].values()) for row in answer["predictions"] if "p" in row]


def main():
    """Runs every check, a line each; 1 if one failed."""
    failed = 0
    for test in CHECKS:
        try:
            test()
        except Exception as why:
            failed += 1
            print(f"FAILED {test.__name__}: {type(why).__name__}: {why}")
        else:
            print(f"ok {test.__name__}")
    print(f"{len(CHECKS)} checks, {failed} failed")
    return 1 if failed else 0
