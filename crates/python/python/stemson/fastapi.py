"""MOJOs in a FastAPI application: typed routes, admission by deadline, hot swap.

    churn = stemson.fastapi.Deployment("churn.zip", slo_ms=50)
    app = FastAPI(lifespan=churn.lifespan)
    app.include_router(churn.router(), prefix="/churn")

The event loop never waits for a model: a few rows are scored at once, more on threads that let go
of the interpreter. What cannot be done before its deadline is refused with 503 and `Retry-After`
instead of waiting for ever.
"""

from __future__ import annotations

import asyncio
import math
import os
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import Annotated, Any

from fastapi import APIRouter, FastAPI, Header, HTTPException
from pydantic import BaseModel, ConfigDict, Field, create_model

from . import _native
from ._model import LeafAssignment, Model, load
from .errors import InputError, NotOfferedError

__all__ = ["Deployment", "row_model"]

_INLINE_SECONDS = 100e-6
"""Predicted work up to which handing it to a thread would take longer than doing it."""


_EXPLAINS = ("contributions", "leaf_assignment", "staged")
"""Options that change what a row costs."""


class Deployment:
    """A model behind routes; which one may change while requests come in.

    Args:
        source: what `stemson.load` takes.
        slo_ms: by when a request must be answered that sends no `x-request-timeout` (ms).
        threads: that score at the same time; without, one per core.
        queue: requests that may wait for them.
        rows_max: rows of one request.
    """

    def __init__(
        self,
        source: str | os.PathLike[str] | bytes,
        *,
        slo_ms: float = 50,
        threads: int | None = None,
        queue: int = 1_000,
        rows_max: int = 100_000,
    ) -> None:
        threads = threads or os.cpu_count() or 1
        self._source, self._model = source, None
        self._slo, self._rows_max = slo_ms / 1_000, rows_max
        self._admission = _native.Admission(threads, queue)
        self._threads_max = threads
        self._threads = self._new_threads()

    _model: Model | None

    @property
    def model(self) -> Model:
        """The current model; loaded when it is asked for the first time."""
        if self._model is None:
            self._model = load(self._source)
        return self._model

    def __call__(self) -> Deployment:
        """For `Depends(deployment)`."""
        return self

    @asynccontextmanager
    async def lifespan(self, app: FastAPI) -> AsyncIterator[None]:
        """Loads the model before the first request, and ends the threads after the last one."""
        await asyncio.get_running_loop().run_in_executor(self._threads, lambda: self.model)
        try:
            yield
        finally:
            ended, self._threads = self._threads, self._new_threads()
            ended.shutdown(wait=True)

    def _new_threads(self) -> ThreadPoolExecutor:
        # None is started before there is work.
        return ThreadPoolExecutor(self._threads_max, "stemson")

    async def swap(
        self, source: str | os.PathLike[str] | bytes, *, allow_schema_change: bool = False
    ) -> Model:
        """Loads another model beside the current one, then lets it answer from the next request
        on. Requests that have begun end with the model they began with.

        Raises:
            LoadError: it is no MOJO. The current one goes on.
            InputError: it takes other columns or gives other answers, and `allow_schema_change` is
                not said.
        """
        loop = asyncio.get_running_loop()
        # Not on the threads that score: loading may take long.
        loaded = await loop.run_in_executor(None, load, source)
        if self._model is not None and not allow_schema_change:
            _refuse_change(self._model, loaded)
        self._model = loaded
        return loaded

    async def predict(
        self, rows: Sequence[Mapping[str, Any]], *, timeout: float | None = None, **options: Any
    ) -> list[dict[str, Any]]:
        """Scores rows, one dict each; a row that is refused is `{"error": ...}`.

        Args:
            rows: mappings from column to value.
            timeout: seconds; without, the deployment's `slo_ms`.
            options: of `Model.predict`.

        Raises:
            HTTPException: 503 with `Retry-After` where it cannot be done in time, 413 for too many
                rows, 422 for rows that the model cannot read, 400 for what it does not offer.
        """
        return await self._score(self.model, rows, timeout, options)

    async def _score(
        self,
        model: Model,
        rows: Sequence[Mapping[str, Any]],
        timeout: float | None,
        options: dict[str, Any],
    ) -> list[dict[str, Any]]:
        if len(rows) > self._rows_max:
            raise HTTPException(413, f"{len(rows)} rows, more than {self._rows_max}")
        seconds = self._slo if timeout is None else timeout
        asked = sum(1 << place for place, name in enumerate(_EXPLAINS) if options.get(name))
        predicted = self._admission.offer(len(rows), asked, seconds)
        if predicted < 0:
            wait = str(max(1, math.ceil(-predicted)))
            raise HTTPException(503, "no capacity before the deadline", {"Retry-After": wait})
        begun = time.perf_counter()
        took = 0.0

        def score() -> list[dict[str, Any]]:
            nonlocal took
            if time.perf_counter() - begun > seconds:
                raise HTTPException(504, "the deadline passed before the work began")
            start = time.perf_counter()
            answers: list[dict[str, Any]] = model.predict(list(rows), **{"threads": 1, **options})
            took = time.perf_counter() - start
            return answers

        def leave(_: Any = None) -> None:
            self._admission.leave(predicted, len(rows), asked, took)

        try:
            if predicted <= _INLINE_SECONDS:
                try:
                    answers = score()
                finally:
                    leave()
            else:
                answers = await asyncio.wrap_future(self._submit(score, leave))
        except NotOfferedError as error:
            raise HTTPException(400, str(error)) from error
        except InputError as error:
            raise HTTPException(422, str(error)) from error
        return [_clean(answer) for answer in answers]

    def _submit(
        self, score: Callable[[], list[dict[str, Any]]], leave: Callable[..., None]
    ) -> Future[list[dict[str, Any]]]:
        """Scores on a thread, and leaves when the thread is done: whoever waits for it may be gone."""
        try:
            future = self._threads.submit(score)
        except BaseException:
            leave()
            raise
        future.add_done_callback(leave)
        return future

    def router(self) -> APIRouter:
        """Routes with types made from the model: `POST /predict` and `GET /model`."""
        model = self.model
        row = row_model(model)
        request = create_model(
            "PredictRequest",
            __config__=ConfigDict(extra="forbid"),
            instances=(list[row], Field(description="One object per row.")),  # type: ignore[valid-type]
            strict=(bool, Field(False, description="Refuse rows with unknown levels.")),
            contributions=(bool, False),
            leaf_assignment=(LeafAssignment | None, None),
            staged=(bool, False),
            calibrated=(bool, False),
        )
        router = APIRouter(tags=["stemson"])

        async def predict(
            body: request,  # type: ignore[valid-type]
            x_request_timeout: Annotated[float | None, Header(gt=0)] = None,
        ) -> dict[str, Any]:
            options = body.model_dump(exclude={"instances"})  # type: ignore[attr-defined]
            rows = [r.model_dump(by_alias=True, exclude_unset=True) for r in body.instances]  # type: ignore[attr-defined]
            timeout = x_request_timeout / 1_000 if x_request_timeout else None
            # One pointer for the answer and for the name it goes under.
            current = self.model
            predictions = await self._score(current, rows, timeout, options)
            return {"predictions": predictions, "revision": current.digest}

        # FastAPI reads annotations by their text, which knows nothing of names in here.
        predict.__annotations__ = {
            "body": request,
            "x_request_timeout": Annotated[float | None, Header(gt=0)],
            "return": dict[str, Any],
        }
        router.add_api_route("/predict", predict, methods=["POST"], summary=f"Score {model!r}")

        async def info() -> dict[str, Any]:
            return self.model.info

        router.add_api_route("/model", info, methods=["GET"], summary="What the model is")
        return router


_Value = bool | int | float | str | None
"""A boolean is no number, and text may spell one: what a column makes of it is for its model."""


def row_model(model: Model) -> type[BaseModel]:
    """A pydantic model of one row: every column may be left out, as in H2O.

    Other columns are kept: they may be those of the model that comes next.
    """
    fields: dict[str, Any] = {}
    for index, column in enumerate(model.schema):
        if column.kind == "numeric":
            note = "a number"
        else:
            shown = ", ".join(column.levels[:20])
            more = f", and {len(column.levels) - 20} more" if len(column.levels) > 20 else ""
            note = f"one of: {shown}{more}"
        # Not every name of a column is a name in Python.
        fields[f"column_{index}"] = (_Value, Field(None, alias=column.name, description=note))
    config = ConfigDict(extra="allow", populate_by_name=False)
    return create_model("Row", __config__=config, **fields)


def _clean(answer: dict[str, Any]) -> dict[str, Any]:
    """What JSON can say: NaN and infinities are text, as in Stemson's server."""
    if answer.get("error") is not None:
        return {"error": answer["error"]}
    return {name: _json(value) for name, value in answer.items() if name != "error"}


def _json(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else ("Infinity" if value > 0 else "-Infinity")
    return value


def _refuse_change(old: Model, new: Model) -> None:
    columns = {column.name: column.kind for column in old.schema}
    for column in new.schema:
        found = columns.get(column.name)
        if found != column.kind:
            what = "is new" if found is None else f"was {found}"
            raise InputError(
                f"column `{column.name}` ({column.kind}) {what}: say allow_schema_change=True",
                column=column.name,
            )
    if old.output_names() != new.output_names():
        raise InputError(
            f"the answers change from {old.output_names()} to {new.output_names()}: say"
            " allow_schema_change=True"
        )
