"""Gives its loop back; and a bare application that describes nothing."""

import asyncio
import time

from fastapi import FastAPI
from pydantic import BaseModel, Field

app = FastAPI()


class Row(BaseModel):
    tenure: float = Field(gt=0)
    plan: str = Field(min_length=1)
    tags: list[str]


@app.get("/items/{item}")
async def item(item: int, verbose: bool = False):
    return {"item": item, "verbose": verbose}


@app.post("/rows")
async def rows(row: Row):
    await asyncio.to_thread(time.sleep, 0.02)
    return row


async def bare(scope, receive, send):
    if scope["type"] == "lifespan":
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await send({"type": "lifespan.shutdown.complete"})
    else:
        await receive()
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body", "body": b""})
