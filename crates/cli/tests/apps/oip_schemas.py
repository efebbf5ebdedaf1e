"""Holds answers to the schemas of the Open Inference Protocol.

    oip_schemas.py ADDRESS ARTIFACT

The shapes are those of `specification/protocol/open_inference_rest.yaml` of
kserve/open-inference-protocol (2025-05), written down anew. Prints one line per check; ends with 1
if one failed.
"""

import http.client
import json
import sys

import jsonschema_rs

ADDRESS = sys.argv[1]
TEXT, WHOLE = {"type": "string"}, {"type": "integer"}
FAILED = []


def some(items):
    return {"type": "array", "items": items}


def record(required, **properties):
    return {"type": "object", "required": required, "properties": properties}


PARAMETERS = {"type": "object"}
DATA = {"$ref": "#/$defs/data"}
DEFINITIONS = {
    "data": some({"anyOf": [DATA, {"type": ["number", "string", "boolean"]}]}),
}
TENSOR = record(["name", "datatype", "shape"], name=TEXT, datatype=TEXT, shape=some(WHOLE))
OUTPUT = record(
    ["name", "shape", "datatype", "data"],
    name=TEXT, shape=some(WHOLE), datatype=TEXT, parameters=PARAMETERS, data=DATA,
)
SERVER = record(["name", "version", "extensions"], name=TEXT, version=TEXT, extensions=some(TEXT))
MODEL = record(
    ["name", "platform"],
    name=TEXT, versions=some(TEXT), platform=TEXT, inputs=some(TENSOR), outputs=some(TENSOR),
)
INFERENCE = record(
    ["model_name", "outputs"],
    model_name=TEXT, model_version=TEXT, id=TEXT, parameters=PARAMETERS, outputs=some(OUTPUT),
)
ERROR = record(["error"], error=TEXT)


def ask(method, path, body=None):
    connection = http.client.HTTPConnection(ADDRESS, timeout=60)
    connection.request(method, path, json.dumps(body) if body is not None else None)
    answer = connection.getresponse()
    return answer.status, json.loads(answer.read())


def check(name, expected, schema, method, path, body=None):
    try:
        status, answer = ask(method, path, body)
        assert status == expected, f"{status}: {answer}"
        if schema is not None:
            jsonschema_rs.validator_for({**schema, "$defs": DEFINITIONS}).validate(answer)
        print(f"ok {name}")
        return answer
    except Exception as error:
        FAILED.append(name)
        print(f"FAILED {name}: {type(error).__name__}: {str(error)[:600]}")


def tensor(name, datatype, shape, value):
    n = 1
    for dim in shape:
        n *= dim
    return {"name": name, "datatype": datatype, "shape": shape, "data": [value] * n}


def layouts(metadata):
    """The inputs of two rows, as the metadata shows them, and as objects."""
    shown = []
    for wanted in metadata["inputs"]:
        shape = [2 if dim == -1 else dim for dim in wanted["shape"]]
        value = "red" if wanted["datatype"] == "BYTES" else 1.5
        shown.append(tensor(wanted["name"], wanted["datatype"], shape, value))
    return {"shown": shown, "rows": [tensor("row", "BYTES", [2], "{}")]}


check("live", 200, None, "GET", "/v2/health/live")
check("ready", 200, None, "GET", "/v2/health/ready")
for path in ("/v2", "/v2/"):
    check(f"server {path}", 200, SERVER, "GET", path)
for model in ask("GET", "/v1/models")[1]["models"]:
    base = f"/v2/models/{model}"
    metadata = check(f"metadata {model}", 200, MODEL, "GET", base)
    check(f"metadata of a version {model}", 200, MODEL, "GET", f"{base}/versions/1")
    check(f"ready {model}", 200, None, "GET", f"{base}/versions/1/ready")
    for layout, inputs in layouts(metadata).items():
        for place in (base, f"{base}/versions/1"):
            body = {"id": "42", "inputs": inputs}
            check(f"infer {layout} {place}", 200, INFERENCE, "POST", f"{place}/infer", body)
    first = metadata["outputs"][0]["name"]
    body = {"inputs": layouts(metadata)["shown"], "outputs": [{"name": first}]}
    check(f"infer one output {model}", 200, INFERENCE, "POST", f"{base}/infer", body)
    for name, body in {
        "no body": None,
        "no inputs": {},
        "no data": {"inputs": [{"name": "row", "shape": [1], "datatype": "BYTES"}]},
        "too few": {"inputs": [{"name": "row", "shape": [2], "datatype": "BYTES", "data": ["{}"]}]},
        "an unknown output": {"inputs": layouts(metadata)["rows"], "outputs": [{"name": "wish"}]},
    }.items():
        check(f"error {name} {model}", 400, ERROR, "POST", f"{base}/infer", body)
for path in ("/v2/models/nobody", "/v2/models/nobody/versions/1", "/v2/models/churn/versions/9"):
    check(f"error {path}", 404, ERROR, "GET", path)
check("error of an infer", 404, ERROR, "POST", "/v2/models/nobody/infer", {"inputs": []})
sys.exit(1 if FAILED else 0)
