"""Drives a running server over REST with the clients that people have, and says what does not fit.

    conformance_rest.py ADDRESS ARTIFACT

The server has the models named in `MODELS`. ARTIFACT is a model that may be loaded under a new
name. Prints one line per check; ends with 1 if one failed.
"""

import asyncio
import gzip
import http.client
import json
import struct
import sys
import traceback
import zlib

import httpx
import ml_dtypes
import numpy as np
import tritonclient.http as triton
import tritonclient.http.aio as triton_aio
from kserve import InferenceRESTClient, InferInput, InferRequest, RESTConfig
from kserve.protocol.infer_type import RequestedOutput
from tritonclient.utils import InferenceServerException, np_to_triton_dtype

ADDRESS, ARTIFACT = sys.argv[1], sys.argv[2]
BASE = f"http://{ADDRESS}"
# A binomial by columns, the same with an offset, a matrix of numbers, and one of each other kind.
MODELS = [
    "churn", "exposed", "numbers", "grade", "calibrated", "price", "clusters", "odd", "words",
    "encoder", "latent", "auto", "uplift",
]
ROWS = [{"x1": 1.5, "c3": "red", "k": 3.0}, {"x1": -0.25, "c3": "green", "k": 4.0}]
CHECKS = []

client = triton.InferenceServerClient(ADDRESS)


def check(function):
    CHECKS.append((function.__name__, function))
    return function


def checks(name, cases):
    """One check per case, each under a name of its own."""

    def register(function):
        for case in cases:
            label = case[0] if isinstance(case, tuple) else case
            CHECKS.append((f"{name}[{label}]", lambda case=case: function(case)))
        return function

    return register


def request(method, path, body=None, headers=None):
    connection = http.client.HTTPConnection(ADDRESS)
    if isinstance(body, (dict, list)):
        body = json.dumps(body)
    connection.request(method, path, body, headers or {})
    answer = connection.getresponse()
    data = answer.read()
    found = {name.lower(): value for name, value in answer.getheaders()}
    return answer.status, found, data


def get(path):
    status, _, data = request("GET", path)
    assert status == 200, (status, data)
    return json.loads(data)


def post(path, body=None, headers=None):
    status, _, data = request("POST", path, body, headers)
    assert status == 200, (status, data)
    return json.loads(data) if data else None


def refused(expected, path, body, headers=None, needle=""):
    status, found, data = request("POST", path, body, headers)
    error = json.loads(data)
    assert status == expected, (status, data)
    assert isinstance(error["error"], str) and error["error"], data
    assert found["content-type"] == "application/json", found
    assert needle in error["error"], (needle, error)


def judged(model="churn", rows=ROWS, **options):
    """Labels, and probabilities in the order of the classes, as the row API has them."""
    answer = post(f"/v1/models/{model}:predict", {"instances": rows, **options})
    first = [row["label"] for row in answer["predictions"]]
    return first, [list(row["p"].values()) for row in answer["predictions"]]


def same(labels, p, expected):
    labels = [label.decode() if isinstance(label, bytes) else label for label in labels]
    assert labels == expected[0], (labels, expected[0])
    assert np.array_equal(np.asarray(p), np.asarray(expected[1])), (p, expected[1])


def tensor(name, values, datatype=None, shape=None, binary=True):
    is_text = isinstance(values[0], (str, bytes))
    array = np.array(values, dtype=object) if is_text else np.array(values)
    array = array.reshape(shape or array.shape)
    made = triton.InferInput(name, list(array.shape), datatype or np_to_triton_dtype(array.dtype))
    made.set_data_from_numpy(array, binary_data=binary)
    return made


def columns(binary=True):
    return [
        tensor("x1", [1.5, -0.25], binary=binary),
        tensor("c3", ["red", "green"], binary=binary),
        tensor("k", [3.0, 4.0], shape=[2, 1], binary=binary),
    ]


def matrix(model="numbers"):
    width = get(f"/v2/models/{model}")["inputs"][0]["shape"][1]
    return np.arange(2 * width, dtype=np.float64).reshape(2, width) / 2


def plain(inputs, **rest):
    return {"inputs": inputs, **rest}


def one(name="x1", shape=(1,), datatype="FP64", data=(1,), **rest):
    return {"name": name, "shape": list(shape), "datatype": datatype, "data": list(data), **rest}


def infer(model, body, headers=None):
    return post(f"/v2/models/{model}/infer", body, headers)


def output(answer, name):
    return next(out for out in answer["outputs"] if out["name"] == name)


# --- the server and its models -------------------------------------------------------------------


@check
def server_is_live_and_ready():
    assert client.is_server_live() and client.is_server_ready()


@check
def health_bodies_say_so():
    assert get("/v2/health/live") == {"live": True}
    assert get("/v2/health/ready") == {"ready": True}


@check
def server_metadata_lists_the_extensions():
    metadata = client.get_server_metadata()
    assert metadata["name"] == "stemson" and metadata["version"]
    expected = {
        "binary_tensor_data", "classification", "logging", "model_configuration",
        "model_repository", "model_repository(unload_dependents)", "parameters",
        "schedule_policy", "statistics", "trace",
    }
    assert expected <= set(metadata["extensions"]), metadata


@checks("model_is_ready", MODELS)
def _(model):
    assert client.is_model_ready(model) and client.is_model_ready(model, "1")
    assert get(f"/v2/models/{model}/ready") == {"name": model, "ready": True}


@check
def unknown_models_are_not_ready():
    assert not client.is_model_ready("nobody") and not client.is_model_ready("churn", "99")


@checks("model_metadata", MODELS)
def _(model):
    metadata = client.get_model_metadata(model)
    assert metadata["name"] == model and metadata["versions"] == ["1"] and metadata["platform"]
    known = {"BOOL", "INT32", "FP32", "FP64", "BYTES"}
    for shown in metadata["inputs"] + metadata["outputs"]:
        assert shown["datatype"] in known and shown["shape"][0] == -1, shown
    assert client.get_model_metadata(model, "1") == metadata


@checks("model_config", ["churn", "numbers", "words"])
def _(model):
    config = client.get_model_config(model)
    metadata = client.get_model_metadata(model)
    assert config["name"] == model and config["max_batch_size"] == 0
    assert [i["name"] for i in config["input"]] == [i["name"] for i in metadata["inputs"]]
    assert [o["name"] for o in config["output"]] == [o["name"] for o in metadata["outputs"]]
    assert all(i["data_type"].startswith("TYPE_") for i in config["input"])
    assert client.get_model_config(model, "1") == config


# --- infer: layouts, datatypes, forms ------------------------------------------------------------


@checks("columns", [("binary", True), ("json", False)])
def _(case):
    result = client.infer("churn", columns(case[1]))
    same(result.as_numpy("predict"), result.as_numpy("probabilities"), judged())
    response = result.get_response()
    assert response["model_name"] == "churn" and response["model_version"] == "1"
    assert len(response["parameters"]["digest"]) == 64


@check
def rows_as_objects():
    texts = [json.dumps(row) for row in ROWS]
    result = client.infer("churn", [tensor("row", texts)])
    same(result.as_numpy("predict"), result.as_numpy("probabilities"), judged())


@checks("matrix", ["FP64", "FP32", "FP16", "INT64", "INT32", "UINT8"])
def _(datatype):
    cells = (matrix() * 2).astype(np.uint8)
    kind = {"FP64": np.float64, "FP32": np.float32, "FP16": np.float16, "INT64": np.int64,
            "INT32": np.int32, "UINT8": np.uint8}[datatype]
    expected = client.infer("numbers", [tensor("input", cells.astype(np.float64))])
    found = client.infer("numbers", [tensor("input", cells.astype(kind))])
    for name in [o["name"] for o in expected.get_response()["outputs"]]:
        assert np.array_equal(found.as_numpy(name), expected.as_numpy(name)), name


@check
def matrix_by_any_name_and_levels_by_index():
    names = [i["name"] for i in get("/v2/models/churn")["inputs"]]
    cells = np.full((2, len(names)), np.nan)
    cells[:, names.index("x1")] = [1.5, -0.25]
    cells[:, names.index("k")] = [3, 4]
    # The domain of `c3` is blue, green, red.
    cells[:, names.index("c3")] = [2, 1]
    cells[0, names.index("c12")] = -1
    result = client.infer("churn", [tensor("whatever", cells)])
    same(result.as_numpy("predict"), result.as_numpy("probabilities"), judged())


NUMERIC = {
    "INT8": np.int8, "INT16": np.int16, "INT32": np.int32, "INT64": np.int64, "UINT8": np.uint8,
    "UINT16": np.uint16, "UINT32": np.uint32, "UINT64": np.uint64, "FP16": np.float16,
    "FP32": np.float32, "FP64": np.float64,
}


@checks("datatype_binary", list(NUMERIC))
def _(datatype):
    result = client.infer("churn", [tensor("k", np.array([3, 4], NUMERIC[datatype]), datatype)])
    expected = judged(rows=[{"k": 3}, {"k": 4}])
    same(result.as_numpy("predict"), result.as_numpy("probabilities"), expected)


@checks("datatype_json", list(NUMERIC))
def _(datatype):
    answer = infer("churn", plain([one("k", [2], datatype, [3, 4])]))
    expected = judged(rows=[{"k": 3}, {"k": 4}])
    assert output(answer, "predict")["data"] == expected[0]


@check
def datatype_bf16():
    made = triton.InferInput("k", [2], "BF16")
    made.set_data_from_numpy(np.array([3, 4], dtype=ml_dtypes.bfloat16))
    result = client.infer("churn", [made])
    expected = judged(rows=[{"k": 3}, {"k": 4}])
    same(result.as_numpy("predict"), result.as_numpy("probabilities"), expected)


@check
def datatype_bool():
    expected = judged(rows=[{"tf": True}, {"tf": False}])
    result = client.infer("churn", [tensor("tf", [True, False])])
    same(result.as_numpy("predict"), result.as_numpy("probabilities"), expected)
    answer = infer("churn", plain([one("tf", [2], "BOOL", [True, False])]))
    assert output(answer, "predict")["data"] == expected[0]


@check
def missing_is_nan_null_and_empty():
    expected = judged(rows=[{"x1": 1}, {}])
    answer = infer("churn", plain([one("x1", [2], "FP64", [1, None])]))
    assert output(answer, "predict")["data"] == expected[0]
    result = client.infer("churn", [tensor("x1", [1.0, np.nan]), tensor("c3", ["", ""])])
    same(result.as_numpy("predict"), result.as_numpy("probabilities"), expected)


@check
def data_is_nested_or_flat():
    cells = matrix().tolist()
    flat = sum(cells, [])
    shape = [2, len(cells[0])]
    nested = infer("numbers", plain([one("input", shape, "FP64", cells)]))
    assert nested == infer("numbers", plain([one("input", shape, "FP64", flat)]))


@check
def no_rows_give_no_rows():
    answer = infer("churn", plain([one("x1", [0], "FP64", [])]))
    assert output(answer, "predict")["shape"] == [0]
    assert output(answer, "probabilities")["shape"] == [0, 2]
    # The client marks a tensor without elements as having no data: say it by hand.
    body = json.dumps(plain([{"name": "x1", "shape": [0], "datatype": "FP64",
                              "parameters": {"binary_data_size": 0}}])).encode()
    headers = {"Inference-Header-Content-Length": str(len(body))}
    assert output(infer("churn", body, headers), "predict")["data"] == []


@check
def the_offset_is_an_extra_input():
    inputs = get("/v2/models/exposed")["inputs"]
    offset = inputs[-1]["name"]
    expected = judged("exposed", [{offset: 1.5}, {offset: 0}])
    result = client.infer("exposed", [tensor(offset, [1.5, 0.0])])
    same(result.as_numpy("predict"), result.as_numpy("probabilities"), expected)


@check
def the_id_is_echoed():
    assert client.infer("churn", columns(), request_id="call-7").get_response()["id"] == "call-7"
    assert "id" not in infer("churn", plain([one()]))
    assert infer("churn", plain([one()], id="é"))["id"] == "é"


@check
def only_the_outputs_that_are_named():
    wanted = [triton.InferRequestedOutput("probabilities")]
    response = client.infer("churn", columns(), outputs=wanted).get_response()
    assert [o["name"] for o in response["outputs"]] == ["probabilities"]


@check
def each_output_in_its_own_form():
    wanted = [
        triton.InferRequestedOutput("predict", binary_data=False),
        triton.InferRequestedOutput("probabilities", binary_data=True),
    ]
    result = client.infer("churn", columns(), outputs=wanted)
    same(result.as_numpy("predict"), result.as_numpy("probabilities"), judged())
    first, second = result.get_response()["outputs"]
    assert "data" in first and "binary_data_size" in second["parameters"], (first, second)


@check
def binary_data_output_is_for_all():
    body = plain([one()], parameters={"binary_data_output": True})
    status, headers, data = request("POST", "/v2/models/churn/infer", body)
    length = int(headers["inference-header-content-length"])
    answer = json.loads(data[:length])
    sizes = [o["parameters"]["binary_data_size"] for o in answer["outputs"]]
    assert status == 200 and length + sum(sizes) == len(data)


@check
def an_output_may_refuse_the_binary_form():
    outputs = [{"name": "probabilities", "parameters": {"binary_data": False}}]
    body = plain([one()], parameters={"binary_data_output": True}, outputs=outputs)
    assert output(infer("churn", body), "probabilities")["shape"] == [1, 2]


@check
def classes_are_ranked():
    wanted = [triton.InferRequestedOutput("probabilities", class_count=2)]
    result = client.infer("churn", columns(), outputs=wanted).as_numpy("probabilities")
    assert result.shape == (2, 2)
    p, index, label = result[0][0].decode().split(":", 2)
    assert float(p) >= 0.5 and int(index) in (0, 1) and label


@check
def raw_binary_request():
    cells = matrix()
    headers = {"Inference-Header-Content-Length": "0", "Content-Type": "application/octet-stream"}
    status, found, data = request("POST", "/v2/models/numbers/infer", cells.tobytes(), headers)
    assert status == 200, data
    length = int(found["inference-header-content-length"])
    answer = json.loads(data[:length])
    assert all("binary_data_size" in o["parameters"] for o in answer["outputs"])
    expected = client.infer("numbers", [tensor("input", cells)])
    names = [o["name"] for o in answer["outputs"]]
    assert names == [o["name"] for o in expected.get_response()["outputs"]]


@check
def raw_binary_request_of_a_text():
    headers = {"Inference-Header-Content-Length": "0"}
    status, _, data = request("POST", "/v2/models/words/infer", b'{"a":"w10"}', headers)
    assert status == 200, data


@checks("explanation_by_parameter", [
    ("contributions", {"contributions": True}), ("leaf_ids", {"leaf_assignment": "ids"}),
    ("leaf_paths", {"leaf_assignment": "paths"}), ("staged", {"staged": True}),
    ("calibrated", {"calibrated": True}),
])
def _(case):
    name, options = case
    result = client.infer("calibrated", columns(), parameters=options)
    found = result.as_numpy(name)
    answer = post("/v1/models/calibrated:predict", {"instances": ROWS, **options})
    rows = [row[name] for row in answer["predictions"]]
    if name == "contributions":
        assert found.shape == (2, len(rows[0]))
        total = np.sort(found[0].astype(float))
        assert np.allclose(total, np.sort(list(rows[0].values())))
    elif name == "leaf_paths":
        assert [[text.decode() for text in row] for row in found] == rows
    else:
        assert np.array_equal(found, np.array(rows))


@check
def explanation_by_output():
    wanted = [triton.InferRequestedOutput("contributions")]
    response = client.infer("calibrated", columns(), outputs=wanted).get_response()
    assert [o["name"] for o in response["outputs"]] == ["contributions"]


@checks("category", [
    ("clusters", ["cluster"], {"distances": True}, "distances"),
    ("odd", ["is_anomaly", "normalized", "score"], {}, "score"),
    ("price", ["predict"], {}, "predict"),
    ("words", ["embeddings", "average"], {}, "average"),
    ("encoder", ["transformations"], {}, "transformations"),
    ("latent", ["dimensions"], {"reconstruct": True}, "reconstructed"),
    ("auto", ["original", "reconstructed", "mse"], {}, "mse"),
    ("uplift", ["uplift"], {}, "uplift"),
    ("grade", ["predict", "probabilities"], {}, "probabilities"),
])
def _(case):
    model, names, options, last = case
    row = {"a": "w10", "b": "w21"} if model == "words" else {"x1": 1.0, "c3": "red", "k": 3}
    result = client.infer(model, [tensor("row", [json.dumps(row)] * 2)], parameters=options)
    response = result.get_response()
    found = [o["name"] for o in response["outputs"]]
    assert set(names) | {last} == set(found), found
    for shown in response["outputs"]:
        values = result.as_numpy(shown["name"])
        assert list(values.shape) == shown["shape"] and shown["shape"][0] == 2, shown


@check
def words_by_column():
    result = client.infer("words", [tensor("a", ["w10", "w32"]), tensor("b", ["w21", "nothing"])])
    assert result.as_numpy("embeddings").shape[:2] == (2, 2)
    assert np.isnan(result.as_numpy("embeddings")[1, 1]).all()


# --- infer: the other ways of the clients --------------------------------------------------------


@check
def by_version():
    for version in ["1", "stable"]:
        result = client.infer("churn", columns(), model_version=version)
        same(result.as_numpy("predict"), result.as_numpy("probabilities"), judged())


@check
def in_the_background():
    many = triton.InferenceServerClient(ADDRESS, concurrency=4)
    pending = [many.async_infer("churn", columns()) for _ in range(20)]
    for one_of_them in pending:
        result = one_of_them.get_result()
        same(result.as_numpy("predict"), result.as_numpy("probabilities"), judged())


@check
def asynchronously():
    async def ask():
        async with triton_aio.InferenceServerClient(ADDRESS) as aio:
            assert await aio.is_server_live() and await aio.is_model_ready("churn")
            return await asyncio.gather(*[aio.infer("churn", columns()) for _ in range(8)])

    for result in asyncio.run(ask()):
        same(result.as_numpy("predict"), result.as_numpy("probabilities"), judged())


@checks("compressed", [
    ("gzip", "gzip", None), ("deflate", "deflate", None), ("answer_gzip", None, "gzip"),
    ("answer_deflate", None, "deflate"), ("both", "gzip", "deflate"),
])
def _(case):
    _, there, back = case
    for binary in (True, False):
        result = client.infer("churn", columns(binary), request_compression_algorithm=there,
                              response_compression_algorithm=back)
        same(result.as_numpy("predict"), result.as_numpy("probabilities"), judged())


@check
def the_answer_is_compressed_where_asked():
    status, headers, data = request("POST", "/v2/models/churn/infer", plain([one()]),
                                    {"Accept-Encoding": "gzip"})
    assert status == 200 and headers["content-encoding"] == "gzip"
    assert json.loads(gzip.decompress(data))["model_name"] == "churn"


@check
def generated_bodies_are_read():
    body, length = triton.InferenceServerClient.generate_request_body(columns())
    headers = {"Inference-Header-Content-Length": str(length)}
    status, found, data = request("POST", "/v2/models/churn/infer", body, headers)
    assert status == 200, data
    length = found.get("inference-header-content-length")
    result = triton.InferenceServerClient.parse_response_body(
        data, header_length=int(length) if length else None)
    same(result.as_numpy("predict"), result.as_numpy("probabilities"), judged())


@check
def time_and_order_are_taken():
    client.infer("churn", columns(), timeout=5_000_000, priority=1)


@check
def headers_and_query_are_passed_over():
    client.infer("churn", columns(), headers={"x-mine": "1"}, query_params={"a": 1})


@checks("content_type", ["application/x-www-form-urlencoded", "text/plain", "nonsense", ""])
def _(content_type):
    infer("churn", plain([one()]), {"Content-Type": content_type})


@check
def unknown_members_are_passed_over():
    infer("churn", plain([one(more={"a": [1]})], wish=1, parameters={"custom": "x", "n": 1.5}))


# --- infer: mistakes -----------------------------------------------------------------------------


@checks("mistake", [
    ("no_json", "nope", ""),
    ("empty", "", ""),
    ("cut", '{"inputs":[', ""),
    ("list", [], "inputs"),
    ("no_inputs", {}, "inputs"),
    ("no_tensors", plain([]), "none of the inputs"),
    ("no_name", plain([{"shape": [1], "datatype": "FP64", "data": [1]}]), "name"),
    ("no_shape", plain([{"name": "x1", "datatype": "FP64", "data": [1]}]), "shape"),
    ("no_datatype", plain([{"name": "x1", "shape": [1], "data": [1]}]), "datatype"),
    ("no_data", plain([{"name": "x1", "shape": [1], "datatype": "FP64"}]), "data"),
    ("unknown_datatype", plain([one(datatype="FLOAT")]), "FLOAT"),
    ("wrong_count", plain([one(shape=[2])]), "x1"),
    ("negative_shape", plain([one(shape=[-1])]), "a whole number from 0 on"),
    ("shape_of_text", plain([one(shape=["1"])]), "a whole number from 0 on"),
    ("huge_shape", plain([one(shape=[2**62, 2**62])]), "shape"),
    ("wrong_width", plain([one("input", [1, 3], "FP64", [1, 2, 3])]), "expected"),
    ("ragged", plain([one(shape=[2, 2], data=[[1, 2], [3]])]), "x1"),
    ("text_as_number", plain([one(data=["a"])]), "x1"),
    ("number_as_text", plain([one("c3", datatype="BYTES", data=[1])]), "c3"),
    ("out_of_range", plain([one("k", datatype="INT8", data=[300])]), "k"),
    ("fraction_as_integer", plain([one("k", datatype="INT32", data=[1.5])]), "k"),
    ("twice", plain([one(), one()]), "twice"),
    ("rows_differ", plain([one(), one("k", [2], data=[1, 2])]), "rows"),
    ("unknown_output", plain([one()], outputs=[{"name": "wish"}]), "wish"),
    ("bad_id", plain([one()], id=7), "id"),
    ("bad_timeout", plain([one()], parameters={"timeout": "soon"}), "timeout"),
    ("bad_option", plain([one()], parameters={"strict": "yes"}), "strict"),
    ("bad_leaves", plain([one()], parameters={"leaf_assignment": "all"}), "leaf_assignment"),
    ("not_offered", plain([one()], parameters={"calibrated": True}), "calibrated"),
    ("strict_columns", plain([one()], parameters={"strict": True}), "missing"),
    ("row_is_no_object", plain([one("row", datatype="BYTES", data=["1"])]), "element 0"),
    ("deep", plain([one(data=json.loads("[" * 40 + "]" * 40))]), "nested"),
])
def _(case):
    _, body, needle = case
    refused(400, "/v2/models/churn/infer", body, needle=needle)


@check
def shared_memory_is_not_offered():
    there = triton.InferInput("x1", [1], "FP64")
    there.set_shared_memory("region", 8)
    back = triton.InferRequestedOutput("predict")
    back.set_shared_memory("region", 8)
    for call in [
        lambda: client.infer("churn", [there]),
        lambda: client.infer("churn", columns(), outputs=[back]),
        client.get_system_shared_memory_status,
        client.get_cuda_shared_memory_status,
        lambda: client.register_system_shared_memory("region", "/region", 8),
        client.unregister_system_shared_memory,
    ]:
        try:
            call()
        except InferenceServerException as error:
            assert str(error.status()) in ("400", "404"), error
            assert "shared memory is not offered" in error.message(), error
        else:
            raise AssertionError("no error")


@check
def the_client_sees_the_message():
    try:
        client.infer("churn", [tensor("x1", [1.0], shape=[1, 1, 1])])
    except InferenceServerException as error:
        assert "400" in str(error.status()) and "x1" in error.message(), error
    else:
        raise AssertionError("no error")


@check
def a_refused_row_refuses_the_request():
    inputs = []
    for shown in get("/v2/models/churn")["inputs"]:
        data = ["red", "purple"] if shown["name"] == "c3" else [None, None]
        inputs.append(one(shown["name"], [2], shown["datatype"], data))
    body = plain(inputs, parameters={"strict": True})
    refused(400, "/v2/models/churn/infer", body, needle="row 1")
    infer("churn", plain(inputs))


def binary_body(tensors, tail, length=None):
    body = json.dumps({"inputs": tensors}).encode()
    headers = {"Inference-Header-Content-Length": str(len(body) if length is None else length)}
    return body + tail, headers


def sized(size, shape=(1,), datatype="FP64", name="x1"):
    return {"name": name, "shape": list(shape), "datatype": datatype,
            "parameters": {"binary_data_size": size}}


@checks("binary_mistake", [
    ("short", [sized(8)], b"\0" * 7, None),
    ("long", [sized(8)], b"\0" * 9, None),
    ("size_and_shape", [sized(8, (2,))], b"\0" * 8, None),
    ("data_too", [{**sized(8), "data": [1]}], b"\0" * 8, None),
    ("text_cut", [sized(5, datatype="BYTES", name="c3")], struct.pack("<I", 9) + b"r", None),
    ("text_no_utf8", [sized(5, datatype="BYTES", name="c3")], struct.pack("<I", 1) + b"\xff", None),
    ("text_count", [sized(5, (2,), "BYTES", "c3")], struct.pack("<I", 1) + b"r", None),
    ("size_negative", [sized(-1)], b"", None),
    ("size_huge", [sized(2**63)], b"\0" * 8, None),
    ("header_huge", [sized(8)], b"\0" * 8, 10**9),
    ("header_negative", [sized(8)], b"\0" * 8, -5),
    ("header_inside", [sized(8)], b"\0" * 8, 5),
    ("lossy", [sized(8, datatype="UINT64")], b"\xff" * 8, None),
])
def _(case):
    _, tensors, tail, length = case
    body, headers = binary_body(tensors, tail, length)
    refused(400, "/v2/models/churn/infer", body, headers)


@check
def raw_binary_needs_one_input():
    headers = {"Inference-Header-Content-Length": "0"}
    refused(400, "/v2/models/churn/infer", b"\0" * 8, headers, "input")
    refused(400, "/v2/models/numbers/infer", b"\0" * 7, headers, "input")
    refused(400, "/v2/models/numbers/infer", b"", headers, "input")


@check
def broken_compression_is_refused():
    refused(400, "/v2/models/churn/infer", b"no gzip", {"Content-Encoding": "gzip"})
    refused(415, "/v2/models/churn/infer", b"x", {"Content-Encoding": "br"})


@check
def a_bomb_does_not_go_off():
    bomb = gzip.compress(b" " * (65 << 20))
    refused(413, "/v2/models/churn/infer", bomb, {"Content-Encoding": "gzip"})


@check
def raw_deflate_is_read_too():
    packer = zlib.compressobj(wbits=-15)
    body = packer.compress(json.dumps(plain([one()])).encode()) + packer.flush()
    infer("churn", body, {"Content-Encoding": "deflate"})


@check
def unknown_names_are_404():
    for path in ["/v2/models/nobody/infer", "/v2/models/churn/versions/9/infer",
                 "/v2/models/churn/versions/newest/infer", "/v2/nothing", "/v3"]:
        refused(404, path, plain([one()]))
    for path in ["/v2/models/nobody", "/v2/models/nobody/ready", "/v2/models/nobody/config",
                 "/v2/models/nobody/stats", "/v2/models/churn/versions/9"]:
        assert request("GET", path)[0] == 404, path


@check
def wrong_methods_are_405():
    assert request("GET", "/v2/models/churn/infer")[0] == 405
    assert request("PUT", "/v2/models/churn/infer", "{}")[0] == 405
    assert request("DELETE", "/v2")[0] == 405


# --- extensions ----------------------------------------------------------------------------------


@check
def repository_index():
    index = client.get_model_repository_index()
    assert {entry["name"] for entry in index} >= set(MODELS)
    assert all(entry["state"] == "READY" for entry in index), index
    for body in ["", "{}", {"ready": True}, {"ready": False}]:
        assert post("/v2/repository/index", body)


@check
def unload_and_load():
    client.unload_model("uplift")
    assert not client.is_model_ready("uplift")
    refused(404, "/v2/models/uplift/infer", plain([one()]))
    entry = next(e for e in client.get_model_repository_index() if e["name"] == "uplift")
    assert entry["state"] == "UNAVAILABLE" and entry["reason"] == "unloaded"
    assert "uplift" not in [e["name"] for e in post("/v2/repository/index", {"ready": True})]
    client.load_model("uplift")
    assert client.is_model_ready("uplift")
    client.unload_model("uplift", unload_dependents=True)
    post("/v2/repository/models/uplift/load", "")
    assert client.is_model_ready("uplift")


@check
def load_with_config_and_file():
    with open(ARTIFACT, "rb") as file:
        content = file.read()
    client.load_model("brought", config='{"backend":"stemson"}', files={"file:1/model.zip": content})
    assert client.is_model_ready("brought", "1")
    client.infer("brought", [tensor("row", ["{}"])])
    client.unload_model("brought")
    assert not client.is_model_ready("brought")


@check
def what_cannot_be_loaded_is_said():
    for load in [lambda: client.load_model("nobody"), lambda: client.unload_model("nobody"),
                 lambda: client.load_model("churn", config="["),
                 lambda: client.load_model("x", files={"file:1/model.zip": b"junk"})]:
        try:
            load()
        except InferenceServerException as error:
            assert str(error.status()).startswith("4"), error
        else:
            raise AssertionError("no error")
    assert client.is_model_ready("churn")


@check
def statistics():
    before = client.get_inference_statistics("price")["model_stats"][0]
    client.infer("price", [tensor("x1", [1.0, 2.0, 3.0])])
    after = client.get_inference_statistics("price", "1")["model_stats"][0]
    assert after["name"] == "price" and after["version"] == "1"
    assert after["inference_count"] == before["inference_count"] + 3
    assert after["execution_count"] == before["execution_count"] + 1
    stats = after["inference_stats"]
    for part in ["success", "fail", "queue", "compute_input", "compute_infer", "compute_output",
                 "cache_hit", "cache_miss"]:
        assert set(stats[part]) == {"count", "ns"}, part
    assert stats["success"]["count"] == before["inference_stats"]["success"]["count"] + 1
    assert any(batch["batch_size"] == 3 for batch in after["batch_stats"])
    assert after["last_inference"] > 0
    names = {s["name"] for s in client.get_inference_statistics()["model_stats"]}
    assert names >= set(MODELS)


@check
def failures_are_counted():
    count = lambda: client.get_inference_statistics("grade")["model_stats"][0][
        "inference_stats"]["fail"]["count"]
    before = count()
    refused(400, "/v2/models/grade/infer", "{}")
    assert count() == before + 1


@check
def trace_settings():
    first = client.get_trace_settings()
    assert {"trace_level", "trace_rate", "trace_count", "log_frequency"} <= set(first)
    own = client.update_trace_settings("churn", {"trace_rate": "7", "trace_level": ["TIMESTAMPS"]})
    assert own["trace_rate"] == "7" and own["trace_level"] == ["TIMESTAMPS"]
    assert client.get_trace_settings("churn") == own and client.get_trace_settings() == first
    shared = client.update_trace_settings(settings={"log_frequency": "5"})
    assert shared["log_frequency"] == "5"
    assert client.get_trace_settings("churn")["log_frequency"] == "5"
    cleared = client.update_trace_settings("churn", {"trace_rate": None, "trace_level": None})
    assert cleared["trace_rate"] == first["trace_rate"]
    assert client.update_trace_settings(settings={"log_frequency": None}) == first
    nothing = dict.fromkeys(["trace_file", "trace_level", "trace_rate", "trace_count", "log_frequency"])
    assert client.update_trace_settings("churn", nothing) == first


@check
def trace_settings_that_are_none():
    refused(400, "/v2/trace/setting", {"wish": "1"}, needle="wish")
    refused(400, "/v2/trace/setting", {"trace_level": ["LOUD"]}, needle="trace_level")
    refused(400, "/v2/trace/setting", {"trace_level": ["TENSORS"]}, needle="prediction log")
    refused(400, "/v2/trace/setting", {"trace_file": "/tmp/trace"}, needle="trace_file")
    refused(400, "/v2/trace/setting", {"trace_mode": "triton"}, needle="opentelemetry")
    refused(404, "/v2/models/nobody/trace/setting", {})


@check
def traced_requests_say_so():
    body, sampled = {"instances": [{}]}, []
    client.update_trace_settings(settings={"trace_level": ["TIMESTAMPS"], "trace_rate": "2", "trace_count": "2"})
    for _ in range(8):
        head = request("POST", "/v1/models/churn:predict", body)[1]
        sampled.append(head["traceparent"].endswith("-01"))
    left = client.get_trace_settings()["trace_count"]
    client.update_trace_settings(settings={"trace_level": None, "trace_rate": None, "trace_count": None})
    assert sampled == [True, False, True] + [False] * 5 and left == "0", (sampled, left)


@check
def log_settings():
    first = client.get_log_settings()
    assert {"log_info", "log_warning", "log_error", "log_verbose_level"} <= set(first)
    changed = client.update_log_settings({"log_info": False, "log_verbose_level": 1})
    assert changed["log_info"] is False and changed["log_verbose_level"] == 1
    assert client.get_log_settings() == changed
    assert client.update_log_settings({"log_info": True, "log_verbose_level": 0}) == first
    assert client.update_log_settings(first) == first
    refused(400, "/v2/logging", {"log_info": "yes"}, needle="log_info")
    refused(400, "/v2/logging", {"log_format": "default"}, needle="ISO8601")


# --- KServe's client -----------------------------------------------------------------------------


def kserve(protocol, ask):
    async def run():
        async with InferenceRESTClient(RESTConfig(protocol=protocol)) as rest:
            return await ask(rest)

    return asyncio.run(run())


@check
def kserve_v1_health():
    assert kserve("v1", lambda rest: rest.is_server_live(BASE))
    assert kserve("v1", lambda rest: rest.is_model_ready(BASE, "churn"))


@check
def kserve_v1_predict():
    answer = kserve("v1", lambda rest: rest.infer(BASE, {"instances": ROWS}, model_name="churn"))
    assert [row["label"] for row in answer["predictions"]] == judged()[0]


@check
def kserve_v1_explain():
    body = {"instances": ROWS}
    answer = kserve("v1", lambda rest: rest.explain(BASE, "calibrated", body))
    assert len(answer["explanations"]) == 2 and "BiasTerm" in answer["explanations"][0]


@check
def kserve_v1_errors():
    try:
        kserve("v1", lambda rest: rest.infer(BASE, {}, model_name="churn"))
    except httpx.HTTPStatusError as error:
        assert error.response.status_code == 400 and "instances" in str(error)
    else:
        raise AssertionError("no error")


@check
def kserve_v2_health():
    assert kserve("v2", lambda rest: rest.is_server_live(BASE))
    assert kserve("v2", lambda rest: rest.is_server_ready(BASE))
    assert kserve("v2", lambda rest: rest.is_model_ready(BASE, "churn"))
    assert not kserve("v2", lambda rest: rest.is_model_ready(BASE, "nobody"))


@checks("kserve_v2_infer", [("binary", True), ("json", False)])
def _(case):
    _, binary = case
    x1, c3 = InferInput("x1", [2], "FP64"), InferInput("c3", [2], "BYTES")
    k = InferInput("k", [2], "FP64")
    x1.set_data_from_numpy(np.array([1.5, -0.25]), binary_data=binary)
    c3.set_data_from_numpy(np.array(["red", "green"], dtype=object), binary_data=binary)
    k.set_data_from_numpy(np.array([3.0, 4.0]), binary_data=binary)
    wanted = [RequestedOutput("predict", {"binary_data": binary}),
              RequestedOutput("probabilities", {"binary_data": binary})]
    body = InferRequest("churn", [x1, c3, k], request_id="k1", request_outputs=wanted)
    answer = kserve("v2", lambda rest: rest.infer(BASE, body, model_name="churn"))
    assert answer.id == "k1" and answer.model_name == "churn"
    labels = answer.get_output_by_name("predict").as_numpy()
    p = answer.get_output_by_name("probabilities").as_numpy()
    same(list(labels), p, judged())


# --- rows and tables -----------------------------------------------------------------------------


@check
def v1_lists_and_describes_models():
    assert set(get("/v1/models")["models"]) >= set(MODELS)
    shown = get("/v1/models/churn")
    assert shown["name"] == "churn" and shown["ready"] is True
    assert request("GET", "/v1/models/nobody")[0] == 404


@check
def v1_predictions_name_levels():
    answer = post("/v1/models/churn:predict", {"instances": ROWS})
    row = answer["predictions"][0]
    assert row["label"] in row["p"] and abs(sum(row["p"].values()) - 1) < 1e-12
    assert answer["model"] == "churn" and len(answer["revision"]) == 64


@check
def v1_strict_is_422():
    body = {"instances": [{}, {"c3": "purple"}], "strict": True}
    refused(422, "/v1/models/churn:predict", body, needle="row 1")


@check
def v1_rows_as_lists():
    width = get("/v2/models/numbers")["inputs"][0]["shape"][1]
    post("/v1/models/numbers:predict", {"instances": [[0.5] * width]})
    refused(400, "/v1/models/numbers:predict", {"instances": [[0.5]]}, needle="instance 0")


@check
def v1_reads_csv():
    csv = "x1,c3,k\n1.5,red,3.0\n-0.25,green,4.0\n"
    answer = post("/v1/models/churn:predict", csv, {"Content-Type": "text/csv"})
    assert [row["label"] for row in answer["predictions"]] == judged()[0]


@checks("v1_mistake", [
    ("no_json", "nope", ""), ("no_instances", {}, "instances"),
    ("no_list", {"instances": {}}, "instances"), ("no_object", {"instances": [1]}, "instance 0"),
    ("nested", {"instances": [{"x1": [1]}]}, "x1"),
])
def _(case):
    _, body, needle = case
    refused(400, "/v1/models/churn:predict", body, needle=needle)


@checks("invocations", [
    ("records", {"dataframe_records": ROWS}),
    ("split", {"dataframe_split": {"columns": ["x1", "c3", "k"],
                                   "data": [[1.5, "red", 3], [-0.25, "green", 4]]}}),
    ("instances", {"instances": ROWS}),
    ("inputs", {"inputs": {"x1": [1.5, -0.25], "c3": ["red", "green"], "k": [3, 4]}}),
    ("params", {"instances": ROWS, "params": {"strict": False}}),
])
def _(case):
    answer = post("/invocations?model=churn", case[1], {"Content-Type": "application/json"})
    assert [row["predict"] for row in answer["predictions"]] == judged()[0]


@check
def invocations_name_a_column_once():
    table = {"columns": ["x1", "x1"], "data": [[1.5, 2.5]]}
    refused(400, "/invocations?model=churn", {"dataframe_split": table}, needle="names `x1` twice")


@check
def invocations_of_csv():
    csv = "x1,c3,k\n1.5,red,3.0\n-0.25,green,4.0\n"
    headers = {"Content-Type": "text/csv", "X-Amzn-SageMaker-Target-Model": "churn"}
    answer = post("/invocations", csv, headers)
    assert [row["predict"] for row in answer["predictions"]] == judged()[0]
    headers["Accept"] = "text/csv"
    status, found, data = request("POST", "/invocations", csv, headers)
    lines = data.decode().splitlines()
    assert status == 200 and found["content-type"].startswith("text/csv")
    assert lines[0].startswith("predict,") and lines[1].split(",")[0] == judged()[0][0]


@check
def ping_answers():
    assert request("GET", "/ping")[0] == 200


@check
def invocations_need_to_know_the_model():
    refused(400, "/invocations", {"instances": ROWS}, needle="churn")


def main():
    failed = 0
    for name, function in CHECKS:
        try:
            function()
            print(f"ok {name}")
        except Exception as error:
            failed += 1
            where = traceback.extract_tb(error.__traceback__)[-1].lineno
            print(f"FAILED {name}: line {where}: {type(error).__name__}: {str(error)[:600]}")
    print(f"{len(CHECKS) - failed} of {len(CHECKS)} checks hold")
    sys.exit(1 if failed else 0)


main()
