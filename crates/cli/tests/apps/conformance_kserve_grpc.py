"""The client of KServe over gRPC; apart from `conformance_grpc.py`, for its messages have the names of Triton's.

    conformance_kserve_grpc.py GRPC_ADDRESS HTTP_ADDRESS
"""

import asyncio
import sys

import grpc
import kserve
import numpy as np

from named_checks import ROWS, check, expected, http, main

GRPC = sys.argv[1]


def kserve_inputs():
    inputs = []
    for name in ROWS[0]:
        values = [row[name] for row in ROWS]
        is_text = isinstance(values[0], str)
        tensor = kserve.InferInput(name, [2], "BYTES" if is_text else "FP64")
        tensor.set_data_from_numpy(
            np.array(values, dtype=object if is_text else np.float64), binary_data=False
        )
        inputs.append(tensor)
    return inputs


async def with_kserve(run):
    client = kserve.InferenceGRPCClient(GRPC)
    try:
        return await run(client)
    finally:
        await client.close()


@check
def kserve_health():
    async def run(client):
        assert await client.is_server_live()
        assert await client.is_server_ready()
        assert await client.is_model_ready("churn")

    asyncio.run(with_kserve(run))


@check
def kserve_infer():
    async def run(client):
        asked = kserve.InferRequest(model_name="churn", infer_inputs=kserve_inputs(), request_id="k")
        answer = await client.infer(asked)
        first, p = expected("churn", ROWS)
        assert (answer.id, answer.model_name) == ("k", "churn")
        found = {output.name: output for output in answer.outputs}
        labels = [label.decode() if isinstance(label, bytes) else label for label in found["predict"].data]
        assert labels == first, labels
        assert list(found["probabilities"].data) == sum(p, [])

    asyncio.run(with_kserve(run))


@check
def kserve_error():
    async def run(client):
        try:
            await client.infer(kserve.InferRequest(model_name="nobody", infer_inputs=kserve_inputs()))
        except grpc.RpcError as error:
            assert error.code() == grpc.StatusCode.NOT_FOUND, error
        except Exception as error:
            assert "nobody" in str(error), error
        else:
            raise AssertionError("it was answered")

    asyncio.run(with_kserve(run))


if __name__ == "__main__":
    sys.exit(main())
