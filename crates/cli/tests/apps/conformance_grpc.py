"""Drives a running server over gRPC with the clients that people have, and says what does not fit.

    conformance_grpc.py GRPC_ADDRESS HTTP_ADDRESS ARTIFACT

The server has the models `churn` (columns, a binomial), `price` (columns, a regression), `numbers`
(a matrix) and `exposed` (with an offset). ARTIFACT is a model that may be loaded under a new name.
Prints one line per check; ends with 1 if one failed. The answers are judged by those of the row API
over HTTP, digit by digit.
"""

import asyncio
import json
import queue
import struct
import sys

import grpc
import ml_dtypes
import numpy as np
import tritonclient.grpc as triton
import tritonclient.grpc.aio as triton_aio
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from google.protobuf import descriptor_pb2
from tritonclient.grpc import service_pb2 as pb
from tritonclient.grpc import service_pb2_grpc
from tritonclient.utils import InferenceServerException, np_to_triton_dtype

from named_checks import ROWS, check, expected, http, main

GRPC, ARTIFACT = sys.argv[1], sys.argv[3]

client = triton.InferenceServerClient(GRPC)
channel = grpc.insecure_channel(GRPC)
stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
health = health_pb2_grpc.HealthStub(channel)


def column(name, values, datatype=None, shape=None):
    """An input of the client's own making."""
    array = np.array(values, dtype=object if isinstance(values[0], str) else None)
    if datatype is not None:
        array = array.astype(datatype)
    array = array.reshape(shape or [len(values)])
    tensor = triton.InferInput(name, list(array.shape), np_to_triton_dtype(array.dtype))
    tensor.set_data_from_numpy(array)
    return tensor


def columns(rows=ROWS):
    return [column(name, [row[name] for row in rows]) for name in rows[0]]


def labels(result):
    return [label.decode() for label in result.as_numpy("predict").ravel()]


def same(result, model="churn", rows=ROWS):
    """The client's answer is that of the row API."""
    first, p = expected(model, rows)
    if p:
        assert labels(result) == first, (labels(result), first)
        assert result.as_numpy("probabilities").tolist() == p, p
    else:
        assert result.as_numpy("predict").tolist() == first, first


def typed(name, datatype, shape, field=None, values=()):
    tensor = pb.ModelInferRequest().InferInputTensor(name=name, datatype=datatype, shape=shape)
    if field:
        getattr(tensor.contents, field).extend(values)
    return tensor


def request(*inputs, model="churn", **rest):
    return pb.ModelInferRequest(model_name=model, inputs=inputs, **rest)


def x1(values=(1.0,)):
    return typed("x1", "FP64", [len(values)], "fp64_contents", values)


def refused(code, words, call):
    """The call fails with this code, and says all of these words."""
    try:
        call()
    except grpc.RpcError as error:
        found, said = error.code(), error.details()
    except InferenceServerException as error:
        found, said = error.status(), error.message()
    else:
        raise AssertionError("it was answered")
    found = str(found).removeprefix("StatusCode.")
    assert found == code, f"{found}: {said}"
    for word in [words] if isinstance(words, str) else words:
        assert word in said, said


# Health, metadata, configuration.


@check
def server_is_live():
    assert client.is_server_live()


@check
def server_is_ready():
    assert client.is_server_ready()


@check
def model_is_ready():
    assert client.is_model_ready("churn")


@check
def model_version_is_ready():
    assert client.is_model_ready("churn", "1")
    assert client.is_model_ready("churn", "stable")


@check
def unknown_model_is_not_ready():
    assert not client.is_model_ready("nobody")


@check
def unknown_version_is_not_ready():
    assert not client.is_model_ready("churn", "99")


@check
def server_metadata():
    answer = client.get_server_metadata()
    rest = http("/v2")
    assert answer.name == rest["name"] == "stemson"
    assert answer.version == rest["version"]
    assert list(answer.extensions) == rest["extensions"]


@check
def server_metadata_as_json():
    assert client.get_server_metadata(as_json=True)["name"] == "stemson"


@check
def model_metadata_is_that_of_rest():
    for model in ["churn", "price", "numbers", "exposed"]:
        answer, rest = client.get_model_metadata(model, as_json=True), http(f"/v2/models/{model}")
        assert answer["platform"] == rest["platform"]
        assert answer["versions"] == rest["versions"]
        for side in ["inputs", "outputs"]:
            tensors = [
                {**tensor, "shape": [int(dim) for dim in tensor["shape"]]}
                for tensor in answer[side]
            ]
            assert tensors == rest[side], (tensors, rest[side])


@check
def model_metadata_of_a_version():
    assert client.get_model_metadata("churn", "1").name == "churn"


@check
def metadata_of_unknown_model():
    refused("NOT_FOUND", "no model is called `nobody`", lambda: client.get_model_metadata("nobody"))


@check
def metadata_of_unknown_version():
    refused("NOT_FOUND", "99", lambda: client.get_model_metadata("churn", "99"))


@check
def model_config():
    config = client.get_model_config("churn").config
    assert (config.name, config.max_batch_size, config.backend) == ("churn", 0, "stemson")
    kinds = {tensor.name: tensor.data_type for tensor in config.input}
    assert (kinds["x1"], kinds["c3"]) == (12, 13)
    assert [tensor.name for tensor in config.output] == ["predict", "probabilities"]
    assert len(config.parameters["digest"].string_value) == 64


@check
def config_of_unknown_model():
    refused("NOT_FOUND", "nobody", lambda: client.get_model_config("nobody"))


@check
def health_of_the_server():
    for service in ["", "inference.GRPCInferenceService"]:
        answer = health.Check(health_pb2.HealthCheckRequest(service=service))
        assert answer.status == health_pb2.HealthCheckResponse.SERVING


@check
def health_of_a_model():
    answer = health.Check(health_pb2.HealthCheckRequest(service="churn"))
    assert answer.status == health_pb2.HealthCheckResponse.SERVING


@check
def health_of_nobody():
    asked = health_pb2.HealthCheckRequest(service="nobody")
    refused("NOT_FOUND", "nobody", lambda: health.Check(asked))


@check
def health_is_watched():
    for service, status in [("", "SERVING"), ("churn", "SERVING"), ("nobody", "SERVICE_UNKNOWN")]:
        watch = health.Watch(health_pb2.HealthCheckRequest(service=service))
        found = next(watch).status
        watch.cancel()
        assert found == health_pb2.HealthCheckResponse.ServingStatus.Value(status), service


def reflect(version, asked):
    """A call of reflection of either version: their messages are the same."""
    method = f"/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo"
    serialize = reflection_pb2.ServerReflectionRequest.SerializeToString
    parse = reflection_pb2.ServerReflectionResponse.FromString
    call = channel.stream_stream(method, serialize, parse)
    return next(call(iter([asked])))


@check
def reflection_lists_the_services():
    for version in ["v1", "v1alpha"]:
        asked = reflection_pb2.ServerReflectionRequest(list_services="")
        answer = reflect(version, asked).list_services_response
        names = {service.name for service in answer.service}
        assert {"inference.GRPCInferenceService", "grpc.health.v1.Health"} <= names, names


@check
def reflection_describes_the_service():
    symbol = "inference.GRPCInferenceService"
    for version in ["v1", "v1alpha"]:
        asked = reflection_pb2.ServerReflectionRequest(file_containing_symbol=symbol)
        answer = reflect(version, asked).file_descriptor_response
        file = descriptor_pb2.FileDescriptorProto.FromString(answer.file_descriptor_proto[0])
        ours = {method.name for method in file.service[0].method}
        theirs = {method.name for method in pb.DESCRIPTOR.services_by_name["GRPCInferenceService"].methods}
        assert theirs <= ours, theirs - ours


@check
def reflection_describes_messages_as_clients_know_them():
    asked = reflection_pb2.ServerReflectionRequest(file_by_filename="inference.proto")
    answer = reflect("v1", asked).file_descriptor_response
    file = descriptor_pb2.FileDescriptorProto.FromString(answer.file_descriptor_proto[0])
    compared = 0
    for message in file.message_type:
        theirs = pb.DESCRIPTOR.message_types_by_name.get(message.name)
        if theirs is not None:
            for field in message.field:
                other = theirs.fields_by_number[field.number]
                assert (other.name, other.type) == (field.name, field.type), field
                compared += 1
    assert compared > 100, compared


@check
def reflection_of_an_unknown_symbol():
    asked = reflection_pb2.ServerReflectionRequest(file_containing_symbol="inference.Nothing")
    refused("NOT_FOUND", "inference.Nothing", lambda: reflect("v1", asked))


# Repository, statistics, settings.


@check
def the_index_is_that_of_rest():
    answer = client.get_model_repository_index(as_json=True)["models"]
    rest = http("/v2/repository/index", {})
    found = [(model["name"], model.get("version"), model["state"]) for model in answer]
    assert found == [(model["name"], model["version"], model["state"]) for model in rest]


@check
def a_model_is_loaded_unloaded_and_loaded_again():
    with open(ARTIFACT, "rb") as artifact:
        files = {"file:1/model.zip": artifact.read()}
    client.load_model("fresh", config="{}", files=files)
    assert client.is_model_ready("fresh")
    client.unload_model("fresh")
    assert not client.is_model_ready("fresh")
    states = {model.name: model.state for model in client.get_model_repository_index().models}
    assert states["fresh"] == "UNAVAILABLE", states
    client.load_model("fresh")
    assert client.is_model_ready("fresh")


@check
def a_load_that_is_no_model_is_refused():
    files = {"file:1/model.zip": b"PK and nothing else"}
    refused("FAILED_PRECONDITION", "", lambda: client.load_model("broken", config="{}", files=files))
    assert not client.is_model_ready("broken")


@check
def a_load_of_nothing_is_refused():
    refused("NOT_FOUND", "nobody", lambda: client.load_model("nobody"))
    refused("NOT_FOUND", "nobody", lambda: client.unload_model("nobody"))


@check
def a_load_with_a_bad_configuration_is_refused():
    refused("INVALID_ARGUMENT", "config", lambda: client.load_model("churn", config="[]"))


@check
def statistics_count():
    before = client.get_inference_statistics("price").model_stats[0]
    client.infer("price", columns([{"x1": 1.0}, {"x1": 2.0}]))
    after = client.get_inference_statistics("price", "1").model_stats[0]
    assert after.inference_count - before.inference_count == 2
    assert after.execution_count - before.execution_count == 1
    assert after.inference_stats.success.count - before.inference_stats.success.count == 1
    assert after.inference_stats.success.ns > before.inference_stats.success.ns
    assert after.last_inference > 0 and after.batch_stats


@check
def statistics_of_all_models():
    names = {model.name for model in client.get_inference_statistics().model_stats}
    assert {"churn", "price", "numbers"} <= names, names


@check
def statistics_of_nobody():
    refused("NOT_FOUND", "nobody", lambda: client.get_inference_statistics("nobody"))


@check
def trace_settings_change_and_go_back():
    before = client.get_trace_settings(as_json=True)
    changed = client.update_trace_settings(settings={"trace_rate": "7", "trace_level": ["TIMESTAMPS"]})
    assert list(changed.settings["trace_rate"].value) == ["7"]
    assert list(changed.settings["trace_level"].value) == ["TIMESTAMPS"]
    own = client.update_trace_settings("churn", settings={"trace_rate": "9"})
    assert list(own.settings["trace_rate"].value) == ["9"]
    client.update_trace_settings("churn", settings={"trace_rate": None})
    client.update_trace_settings(settings={"trace_rate": None, "trace_level": None})
    assert client.get_trace_settings(as_json=True) == before
    refused("INVALID_ARGUMENT", "wish", lambda: client.update_trace_settings(settings={"wish": "1"}))
    refused("NOT_FOUND", "nobody", lambda: client.get_trace_settings("nobody"))


@check
def log_settings_change():
    changed = client.update_log_settings({"log_verbose_level": 1, "log_info": False})
    assert changed.settings["log_verbose_level"].uint32_param == 1
    assert changed.settings["log_info"].bool_param is False
    client.update_log_settings({"log_verbose_level": 0, "log_info": True})
    assert client.get_log_settings().settings["log_format"].string_param == "ISO8601"
    refused("INVALID_ARGUMENT", "wish", lambda: client.update_log_settings({"wish": True}))


# Predictions: layouts and datatypes.


@check
def columns_are_inferred():
    same(client.infer("churn", columns()))


@check
def columns_may_be_a_matrix_of_one():
    inputs = [column(name, [row[name] for row in ROWS], shape=[2, 1]) for name in ROWS[0]]
    same(client.infer("churn", inputs))


@check
def rows_are_inferred():
    same(client.infer("churn", [column("row", [json.dumps(row) for row in ROWS])]))


@check
def a_matrix_is_inferred():
    width = client.get_model_metadata("numbers").inputs[0].shape[1]
    values = np.linspace(-2, 2, 3 * width).reshape(3, width)
    # The row API takes a list of values in the model's order too.
    rows = values.tolist()
    tensor = triton.InferInput("input", [3, width], "FP64")
    tensor.set_data_from_numpy(values)
    same(client.infer("numbers", [tensor]), "numbers", rows)


@check
def a_regression_is_inferred():
    rows = [{"x1": 1.5}, {"x1": -1.0}]
    same(client.infer("price", columns(rows)), "price", rows)


def number_of_type(datatype):
    def test():
        rows = [{"k": 3.0}, {"k": 4.0}]
        same(client.infer("churn", [column("k", [3, 4], datatype)]), "churn", rows)

    test.__name__ = f"raw_{np.dtype(datatype).name}"
    return test


for numpy_type in ["int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"]:
    check(number_of_type(numpy_type))
for numpy_type in ["float16", "float32", "float64"]:
    check(number_of_type(numpy_type))


@check
def raw_bool():
    rows = [{"tf": True}, {"tf": False}]
    same(client.infer("churn", [column("tf", [True, False], bool)]), "churn", rows)


@check
def raw_bf16():
    tensor = triton.InferInput("k", [2], "BF16")
    tensor.set_data_from_numpy(np.array([3.0, 4.0], dtype=ml_dtypes.bfloat16))
    same(client.infer("churn", [tensor]), "churn", [{"k": 3.0}, {"k": 4.0}])


@check
def raw_bytes_with_text_beyond_ascii():
    same(client.infer("churn", [column("c3", ["größer", ""])]), "churn", [{"c3": "größer"}, {}])


def contents_of_type(datatype, field, values):
    def test():
        tensor = typed("k", datatype, [2], field, values)
        answer = stub.ModelInfer(request(tensor))
        assert not answer.raw_output_contents
        first, p = expected("churn", [{"k": 3.0}, {"k": 4.0}])
        found = [label.decode() for label in answer.outputs[0].contents.bytes_contents]
        assert found == first, found
        assert list(answer.outputs[1].contents.fp64_contents) == sum(p, [])

    test.__name__ = f"typed_{datatype.lower()}"
    return test


for wire_type, field_name in [
    ("INT8", "int_contents"),
    ("INT16", "int_contents"),
    ("INT32", "int_contents"),
    ("INT64", "int64_contents"),
    ("UINT8", "uint_contents"),
    ("UINT16", "uint_contents"),
    ("UINT32", "uint_contents"),
    ("UINT64", "uint64_contents"),
    ("FP32", "fp32_contents"),
    ("FP64", "fp64_contents"),
]:
    check(contents_of_type(wire_type, field_name, [3, 4]))


@check
def typed_bool():
    answer = stub.ModelInfer(request(typed("tf", "BOOL", [2], "bool_contents", [True, False])))
    first, _ = expected("churn", [{"tf": True}, {"tf": False}])
    assert [label.decode() for label in answer.outputs[0].contents.bytes_contents] == first


@check
def typed_bytes():
    answer = stub.ModelInfer(request(typed("c3", "BYTES", [2], "bytes_contents", [b"red", b"green"])))
    first, p = expected("churn", [{"c3": "red"}, {"c3": "green"}])
    assert [label.decode() for label in answer.outputs[0].contents.bytes_contents] == first
    assert list(answer.outputs[1].contents.fp64_contents) == sum(p, [])


@check
def typed_negative_integers():
    answer = stub.ModelInfer(request(typed("x1", "INT32", [1], "int_contents", [-2])))
    _, p = expected("churn", [{"x1": -2}])
    assert list(answer.outputs[1].contents.fp64_contents) == p[0]


@check
def nan_is_absent():
    same(client.infer("churn", [column("x1", [float("nan")])]), "churn", [{}])


@check
def no_rows_have_an_answer():
    result = client.infer("churn", [empty()])
    assert result.as_numpy("probabilities").shape == (0, 2)


def empty():
    tensor = triton.InferInput("x1", [0], "FP64")
    tensor.set_data_from_numpy(np.empty([0], dtype=np.float64))
    return tensor


@check
def many_rows():
    values = np.linspace(-3, 3, 20_000)
    result = client.infer("churn", [column("x1", values.tolist())], timeout=60_000_000)
    found = result.as_numpy("probabilities")
    assert found.shape == (20_000, 2)
    for at in [0, 7_777, 19_999]:
        _, p = expected("churn", [{"x1": values[at]}])
        assert found[at].tolist() == p[0], at


@check
def unknown_columns_are_passed_over():
    same(client.infer("churn", [*columns(), column("nobody", [1, 2])]))


@check
def the_offset_is_an_input():
    offset = http("/v2/models/exposed")["inputs"][-1]["name"]
    with_it = client.infer("exposed", [column("x1", [1.0]), column(offset, [1.5])])
    same(with_it, "exposed", [{"x1": 1.0, offset: 1.5}])


# What an answer says.


@check
def the_answer_names_what_answered():
    answer = client.infer("churn", columns(), request_id="call-7").get_response()
    assert (answer.model_name, answer.model_version, answer.id) == ("churn", "1", "call-7")
    digest = http("/v1/models/churn")["revision"]
    assert answer.parameters["digest"].string_param == digest


@check
def a_version_can_be_named():
    digest = http("/v1/models/churn")["revision"]
    for version in ["1", "stable", digest[:12], digest]:
        same(client.infer("churn", columns(), model_version=version))


@check
def raw_is_answered_with_raw():
    answer = client.infer("churn", columns()).get_response()
    assert len(answer.raw_output_contents) == 2
    assert not answer.outputs[1].HasField("contents")
    assert len(answer.raw_output_contents[1]) == 2 * 2 * 8


@check
def outputs_can_be_chosen():
    wanted = [triton.InferRequestedOutput("probabilities")]
    answer = client.infer("churn", columns(), outputs=wanted).get_response()
    assert [output.name for output in answer.outputs] == ["probabilities"]
    assert len(answer.raw_output_contents) == 1


@check
def outputs_come_in_the_order_asked():
    wanted = [triton.InferRequestedOutput(name) for name in ["probabilities", "predict"]]
    result = client.infer("churn", columns(), outputs=wanted)
    assert [output.name for output in result.get_response().outputs] == ["probabilities", "predict"]
    same(result)


@check
def an_unknown_output_is_refused():
    wanted = [triton.InferRequestedOutput("wish")]
    refused(
        "INVALID_ARGUMENT",
        ["no `wish`", "probabilities"],
        lambda: client.infer("churn", columns(), outputs=wanted),
    )


@check
def classification():
    wanted = [triton.InferRequestedOutput("probabilities", class_count=1)]
    result = client.infer("churn", columns(), outputs=wanted)
    _, p = expected("churn", ROWS)
    for row, found in enumerate(result.as_numpy("probabilities").ravel()):
        probability, _, _ = found.decode().split(":")
        assert float(probability) == max(p[row]), found


@check
def contributions_by_parameter():
    result = client.infer("churn", columns(), parameters={"contributions": True})
    found = result.as_numpy("contributions")
    answer = http("/v1/models/churn:predict", {"instances": ROWS, "contributions": True})
    for row, prediction in enumerate(answer["predictions"]):
        values = np.array(list(prediction["contributions"].values()), dtype=found.dtype)
        assert found[row].tolist() == values.tolist(), (found[row], values)


@check
def contributions_by_output():
    wanted = [triton.InferRequestedOutput("contributions")]
    result = client.infer("churn", columns(), outputs=wanted)
    assert result.as_numpy("contributions").shape[0] == 2


@check
def leaf_ids_by_parameter():
    result = client.infer("churn", columns(), parameters={"leaf_assignment": "ids"})
    assert result.as_numpy("leaf_ids").dtype == np.int32
    answer = stub.ModelInfer(
        request(x1(), parameters={"leaf_assignment": pb.InferParameter(string_param="ids")})
    )
    found = {output.name: output for output in answer.outputs}
    raw = client.infer("churn", [column("x1", [1.0])], parameters={"leaf_assignment": "ids"})
    expected_ids = raw.as_numpy("leaf_ids").ravel().tolist()
    assert list(found["leaf_ids"].contents.int_contents) == expected_ids


@check
def parameters_of_every_type_are_read():
    parameters = {
        "strict": pb.InferParameter(bool_param=False),
        "timeout": pb.InferParameter(int64_param=60_000_000),
        "priority": pb.InferParameter(uint64_param=1),
        "note": pb.InferParameter(string_param="text"),
        "weight": pb.InferParameter(double_param=0.5),
        "nothing": pb.InferParameter(),
    }
    assert len(stub.ModelInfer(request(x1(), parameters=parameters)).outputs) == 2


@check
def a_parameter_of_the_wrong_type_is_refused():
    parameters = {"strict": pb.InferParameter(string_param="yes")}
    refused(
        "INVALID_ARGUMENT",
        ["strict", "true or false"],
        lambda: stub.ModelInfer(request(x1(), parameters=parameters)),
    )


@check
def strict_refuses_what_is_missing():
    refused(
        "INVALID_ARGUMENT",
        "strict",
        lambda: client.infer("churn", columns(), parameters={"strict": True}),
    )


@check
def timeout_and_priority_of_the_client():
    same(client.infer("churn", columns(), priority=1, timeout=60_000_000))


# What is refused.


@check
def infer_of_unknown_model():
    refused("NOT_FOUND", "no model is called `nobody`", lambda: client.infer("nobody", columns()))


@check
def infer_of_unknown_version():
    refused(
        "NOT_FOUND", "99", lambda: client.infer("churn", columns(), model_version="99")
    )


@check
def infer_without_model():
    refused("INVALID_ARGUMENT", "model_name", lambda: stub.ModelInfer(request(x1(), model="")))


def refused_tensor(name, words, *inputs, **rest):
    def test():
        refused("INVALID_ARGUMENT", words, lambda: stub.ModelInfer(request(*inputs, **rest)))

    test.__name__ = f"refused_{name}"
    return check(test)


refused_tensor("without_inputs", "none of the inputs is a column")
refused_tensor("without_name", "`name` is missing", typed("", "FP64", [1], "fp64_contents", [1.0]))
refused_tensor("without_datatype", "`datatype` is ``", typed("x1", "", [1], "fp64_contents", [1.0]))
refused_tensor("unknown_datatype", "expected one of BOOL", typed("x1", "FLOAT", [1]))
refused_tensor("negative_shape", "`shape` has -1", typed("x1", "FP64", [-1], "fp64_contents", [1.0]))
refused_tensor("too_few_elements", "holds 2 elements", typed("x1", "FP64", [2], "fp64_contents", [1.0]))
refused_tensor("huge_shape", "more than", typed("x1", "FP64", [1 << 62, 4], "fp64_contents", [1.0]))
refused_tensor("many_dimensions", "dimensions", typed("x1", "FP64", [1] * 9, "fp64_contents", [1.0]))
refused_tensor("wrong_shape", "[rows]", typed("x1", "FP64", [1, 2], "fp64_contents", [1.0, 2.0]))
refused_tensor("wrong_field", "fp64_contents", typed("x1", "FP64", [1], "fp32_contents", [1.0]))
refused_tensor("fp16_in_contents", "raw_input_contents", typed("x1", "FP16", [1], "fp32_contents", [1.0]))
refused_tensor("number_beyond_its_type", "no INT8", typed("x1", "INT8", [1], "int_contents", [300]))
refused_tensor("inexact_integer", "without loss", typed("x1", "INT64", [1], "int64_contents", [2**53 + 1]))
refused_tensor("text_beyond_utf8", "UTF-8", typed("c3", "BYTES", [1], "bytes_contents", [b"\xff"]))
refused_tensor("input_twice", "twice", x1(), x1())
refused_tensor("lengths_that_differ", "has 2 rows", x1(), typed("k", "FP64", [2], "fp64_contents", [1, 2]))
refused_tensor("raw_of_wrong_length", "8 bytes", typed("x1", "FP64", [1]), raw_input_contents=[b"1234"])
refused_tensor("raw_for_some_inputs", "all must be", typed("x1", "FP64", [1]), typed("k", "FP64", [1]),
               raw_input_contents=[bytes(8)])
refused_tensor("raw_and_contents", "exclude each other", x1(), raw_input_contents=[bytes(8)])
refused_tensor("raw_text_cut_short", "element 0", typed("c3", "BYTES", [1]),
               raw_input_contents=[struct.pack("<I", 100) + b"red"])
refused_tensor("row_that_is_no_object", "element 0", typed("row", "BYTES", [1], "bytes_contents", [b"[1]"]))
refused_tensor("matrix_of_wrong_width", "[rows, ", typed("input", "FP64", [1, 2], "fp64_contents", [1, 2]),
               model="numbers")


@check
def a_message_that_is_none():
    method = "/inference.GRPCInferenceService/ModelInfer"
    for message in [b"\xff\xff\xff", b"\x0a\x7f", b"\x0a\x05churn\x2a\xff\xff\xff\xff\x0f"]:
        call = channel.unary_unary(method, lambda it: it, lambda it: it)
        refused("INVALID_ARGUMENT", "message", lambda: call(message))


@check
def a_message_beyond_the_limit():
    big = typed("x1", "FP64", [1])
    refused(
        "RESOURCE_EXHAUSTED",
        ["larger than", "body_mib"],
        lambda: stub.ModelInfer(request(big, raw_input_contents=[bytes(65 << 20)])),
    )


@check
def an_unknown_method():
    call = channel.unary_unary("/inference.GRPCInferenceService/Guess", lambda it: it, lambda it: it)
    refused("UNIMPLEMENTED", "Guess", lambda: call(b""))


@check
def an_unknown_service():
    call = channel.unary_unary("/somebody.Else/Call", lambda it: it, lambda it: it)
    refused("UNIMPLEMENTED", "somebody.Else", lambda: call(b""))


@check
def shared_memory_is_not_offered():
    for call in [
        client.get_system_shared_memory_status,
        client.get_cuda_shared_memory_status,
        lambda: client.register_system_shared_memory("a", "b", 8),
        lambda: client.register_cuda_shared_memory("a", b"YWJj", 0, 8),
        client.unregister_system_shared_memory,
        client.unregister_cuda_shared_memory,
    ]:
        refused("UNIMPLEMENTED", "shared memory", call)


@check
def shared_memory_of_a_tensor_is_not_offered():
    tensor = triton.InferInput("x1", [1], "FP64")
    tensor.set_shared_memory("region", 8)
    refused("INVALID_ARGUMENT", "shared memory", lambda: client.infer("churn", [tensor]))


# Deadlines, compression, metadata.


@check
def a_deadline_that_is_long_enough():
    same(client.infer("churn", columns(), client_timeout=30.0))


@check
def a_deadline_that_nobody_can_meet():
    values = np.zeros(90_000)
    refused(
        "DEADLINE_EXCEEDED",
        "",
        lambda: client.infer("churn", [column("x1", values.tolist())], client_timeout=0.001),
    )


@check
def work_that_cannot_be_done_in_time_is_refused():
    values = np.zeros(90_000)
    inputs = [column("x1", values.tolist())]
    try:
        client.infer("churn", inputs, parameters={"contributions": True}, timeout=1)
    except InferenceServerException as error:
        found = str(error.status()).removeprefix("StatusCode.")
        assert found in ("UNAVAILABLE", "DEADLINE_EXCEEDED"), error
    else:
        raise AssertionError("it was answered")


@check
def gzip_both_ways():
    values = np.linspace(-3, 3, 5_000)
    result = client.infer("churn", [column("x1", values.tolist())], compression_algorithm="gzip")
    assert result.as_numpy("probabilities").shape == (5_000, 2)
    same(client.infer("churn", columns(), compression_algorithm="gzip"))


@check
def deflate_both_ways():
    values = np.linspace(-3, 3, 5_000)
    result = client.infer("churn", [column("x1", values.tolist())], compression_algorithm="deflate")
    assert result.as_numpy("probabilities").shape == (5_000, 2)
    same(client.infer("churn", columns(), compression_algorithm="deflate"))


@check
def the_request_has_an_id():
    _, call = stub.ModelInfer.with_call(request(x1()), metadata=[("x-request-id", "abc-1")])
    assert dict(call.initial_metadata())["x-request-id"] == "abc-1"
    _, call = stub.ModelInfer.with_call(request(x1()))
    assert len(dict(call.initial_metadata())["x-request-id"]) >= 16


@check
def an_error_has_a_word():
    try:
        stub.ModelInfer(request(x1(), model="nobody"))
    except grpc.RpcError as error:
        metadata = dict(error.trailing_metadata()) | dict(error.initial_metadata())
        assert metadata["error-code"] == "unknown_model", metadata
        assert "x-request-id" in metadata, metadata
    else:
        raise AssertionError("it was answered")


# Asynchronous and in streams.


@check
def infer_with_a_callback():
    answers = queue.Queue()
    client.async_infer("churn", columns(), lambda result, error: answers.put((result, error)))
    result, error = answers.get(timeout=30)
    assert error is None, error
    same(result)


@check
def asyncio_client():
    async def run():
        async with triton_aio.InferenceServerClient(GRPC) as client:
            assert await client.is_server_live()
            assert await client.is_model_ready("churn")
            results = await asyncio.gather(*[client.infer("churn", columns()) for _ in range(32)])
            for result in results[:3]:
                same(result)
            try:
                await client.infer("nobody", columns())
            except InferenceServerException as error:
                assert "NOT_FOUND" in str(error.status())

    asyncio.run(run())


def streamed(requests, headers=None, **options):
    """Sends all; gives the answers in the order in which they come."""
    answers = queue.Queue()
    with triton.InferenceServerClient(GRPC) as client:
        client.start_stream(lambda result, error: answers.put((result, error)), headers=headers)
        for number, (model, inputs) in enumerate(requests):
            client.async_stream_infer(model, inputs, request_id=str(number), **options)
        found = [answers.get(timeout=30) for _ in requests]
        client.stop_stream()
    return found


@check
def a_stream_answers_in_order():
    found = streamed([("churn", columns())] * 50)
    for number, (result, error) in enumerate(found):
        assert error is None, error
        assert result.get_response().id == str(number)
    same(found[-1][0])


@check
def a_stream_of_several_models():
    rows = [{"x1": 1.5}, {"x1": -1.0}]
    found = streamed([("churn", columns()), ("price", columns(rows)), ("churn", columns())])
    same(found[0][0])
    same(found[1][0], "price", rows)
    same(found[2][0])


@check
def a_stream_says_errors_in_their_place():
    found = streamed([("churn", columns()), ("nobody", columns()), ("churn", columns())])
    assert found[0][1] is None and found[2][1] is None
    assert "no model is called `nobody`" in found[1][1].message()
    same(found[2][0])


@check
def a_stream_ends_with_an_error_if_that_is_asked():
    answers = queue.Queue()
    with triton.InferenceServerClient(GRPC) as client:
        client.start_stream(
            lambda result, error: answers.put((result, error)),
            headers={"triton_grpc_error": "true"},
        )
        client.async_stream_infer("nobody", columns())
        _, error = answers.get(timeout=30)
        assert "NOT_FOUND" in str(error.status()), error
        client.stop_stream()


@check
def a_stream_marks_final_answers():
    found = streamed([("churn", columns())], enable_empty_final_response=True)
    assert found[0][0].get_response().parameters["triton_final_response"].bool_param


@check
def a_stream_over_the_plain_stub():
    asked = iter([request(x1([float(n)]), id=str(n)) for n in range(5)])
    answers = list(stub.ModelStreamInfer(asked))
    assert [answer.infer_response.id for answer in answers] == [str(n) for n in range(5)]
    assert all(not answer.error_message for answer in answers)


@check
def a_stream_without_requests():
    assert list(stub.ModelStreamInfer(iter([]))) == []


@check
def a_stream_names_the_request_that_failed():
    asked = iter([request(x1(), id="good"), request(model="churn", id="bad")])
    good, bad = stub.ModelStreamInfer(asked)
    assert (good.infer_response.id, good.error_message) == ("good", "")
    assert (bad.infer_response.id, bad.infer_response.model_name) == ("bad", "churn")
    assert "none of the inputs" in bad.error_message


@check
def an_asyncio_stream():
    async def requests():
        for number in range(3):
            yield {"model_name": "churn", "inputs": columns(), "request_id": str(number)}

    async def run():
        async with triton_aio.InferenceServerClient(GRPC) as client:
            found = [answer async for answer in client.stream_infer(requests())]
            assert [result.get_response().id for result, _ in found] == ["0", "1", "2"]
            assert all(error is None for _, error in found)
            same(found[-1][0])

    asyncio.run(run())


if __name__ == "__main__":
    sys.exit(main())
