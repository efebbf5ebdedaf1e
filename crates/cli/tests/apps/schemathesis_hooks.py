"""Leads schemathesis to what there is: names of models, revisions, rows that a model can read.

Without this nearly all random names would be 404, and nearly all random tensors 400.
"""

import json
import zlib

import schemathesis
from schemathesis.core import NOT_SET
from schemathesis.core.parameters import ParameterLocation

MODELS = ["churn", "price", "grade", "numbers", "exposed"]


@schemathesis.hook
def before_call(context, case, kwargs):
    def is_good(location):
        return case.meta is None or not case.meta.is_negative_at(location)

    path = case.operation.path
    names = case.path_parameters or {}
    if names and is_good(ParameterLocation.PATH):
        lot = zlib.crc32(repr(sorted(names.items())).encode())
        if "model" in names and lot % 8:
            # What is changed and taken away is no model that others ask.
            is_change = "/admin/" in path or "/repository/" in path
            names["model"] = "spare" if is_change else MODELS[lot % len(MODELS)]
        for version in ("version", "revision"):
            if version in names and lot % 4:
                names[version] = "1"
    if case.media_type == "text/csv" and is_good(ParameterLocation.BODY):
        # Any text is a string, but only one with the model's columns is a table for it.
        case.body = "x1,c3\n1.5,red\n"
        return
    body = case.body
    if path.endswith("/infer") and case.media_type == "application/json" and isinstance(body, dict):
        lot = zlib.crc32(json.dumps(body, default=repr, sort_keys=True).encode())
        if is_good(ParameterLocation.BODY) and lot % 4:
            rows = [json.dumps({"x1": lot % 7, "c3": "red"})] * (lot % 3)
            body["inputs"] = [{"name": "row", "shape": [len(rows)], "datatype": "BYTES", "data": rows}]
            body.pop("outputs", None)
            # Options that not every model has are tried without this.
            body.pop("parameters", None)


@schemathesis.hook
def filter_case(context, case):
    """HTTP lets headers pass that nobody knows: that one is taken is no fault."""
    return "x-schemathesis-unknown-property" not in (case.headers or {})
