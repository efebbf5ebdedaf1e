"""Routes that hold the event loop, one of each kind, and routes that must not be blamed."""

import asyncio
import json
import os
import time
from concurrent.futures import ThreadPoolExecutor

import numpy
import psycopg
import redis
from fastapi import FastAPI

app = FastAPI()
pool = ThreadPoolExecutor(4)
matrix = numpy.ones((420, 420))
document = json.dumps([{"x": i, "y": [i, i + 1], "z": str(i)} for i in range(20_000)])
cache = redis.Redis.from_url(os.environ["REDIS_URL"])
database = psycopg.connect(os.environ["DATABASE_URL"], autocommit=True)


def count():
    total = 0
    for i in range(600_000):
        total += i & 3
    return total


class Model:
    """As a model of one's own: its predict is Python over arrays."""

    def predict(self, rows):
        return [float(sum(value * value for value in row)) for row in rows]


model = Model()
rows = [[float(i % 7)] * 100 for i in range(4_000)]


def multiply():
    product = matrix
    for _ in range(8):
        product = product @ matrix / 420
    return float(product[0, 0])


@app.get("/planted/python")
async def planted_python():
    return count()


@app.get("/planted/c")
async def planted_c():
    return len(json.loads(document))


@app.get("/planted/numpy")
async def planted_numpy():
    return multiply()


@app.get("/planted/sleep")
async def planted_sleep():
    time.sleep(0.03)


@app.get("/planted/redis")
async def planted_redis():
    return cache.blpop("nothing", timeout=0.03)


@app.get("/planted/database")
async def planted_database():
    return database.execute("select pg_sleep(0.03)").fetchone() is not None


@app.get("/planted/predict")
async def planted_predict():
    return len(model.predict(rows))


@app.get("/control/thread")
async def control_thread():
    return await asyncio.to_thread(multiply)


@app.get("/control/executor")
async def control_executor():
    return await asyncio.get_running_loop().run_in_executor(pool, time.sleep, 0.03)


@app.get("/control/sync")
def control_sync():
    time.sleep(0.03)
    return count()


@app.get("/control/sleep")
async def control_sleep():
    await asyncio.sleep(0.03)


@app.get("/control/light")
async def control_light():
    return {"status": "ok"}
