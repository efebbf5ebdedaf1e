"""A model behind FastAPI as people write it: pydantic reads the request, an executor holds the model off the event loop.

    uvicorn serve_fastapi:app        with FOREST=lightgbm.txt in the environment

Answers the infer requests of the Open Inference Protocol that `bench serve` sends.
"""

import asyncio
import os
from concurrent.futures import ThreadPoolExecutor

import lightgbm
import numpy as np
from fastapi import FastAPI
from pydantic import BaseModel


class Tensor(BaseModel):
    name: str
    shape: list[int]
    datatype: str
    data: list[float]


class Request(BaseModel):
    id: str | None = None
    inputs: list[Tensor]


class Output(BaseModel):
    name: str
    shape: list[int]
    datatype: str
    data: list[float]


class Response(BaseModel):
    model_name: str
    id: str | None = None
    outputs: list[Output]


booster = lightgbm.Booster(model_file=os.environ["FOREST"])
# What the specification asks about: twice as many threads as cores.
executor = ThreadPoolExecutor(max_workers=2 * len(os.sched_getaffinity(0)))
app = FastAPI()


def score(tensor):
    rows = np.array(tensor.data).reshape(tensor.shape)
    return booster.predict(rows, num_threads=1)


@app.get("/v2/health/ready")
async def ready():
    return {"ready": True}


@app.post("/v2/models/m/infer")
async def infer(request: Request) -> Response:
    scored = await asyncio.get_running_loop().run_in_executor(executor, score, request.inputs[0])
    output = Output(name="predict", shape=[len(scored)], datatype="FP64", data=scored.tolist())
    return Response(model_name="m", id=request.id, outputs=[output])
