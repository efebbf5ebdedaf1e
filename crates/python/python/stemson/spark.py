"""Scoring inside Spark: the engine partitions, retries and spills, Stemson scores the batches.

    scored = stemson.spark.predict(model, frame, keep=["customer"])

Each Python worker loads the model once and keeps it for all of its tasks.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from . import _workers
from ._model import Model

if TYPE_CHECKING:
    import pyarrow
    from pyspark.sql import DataFrame

__all__ = ["predict"]


def predict(
    model: Model, frame: DataFrame, *, keep: Sequence[str] | None = None, **options: Any
) -> DataFrame:
    """Scores a Spark data frame by `mapInArrow`.

    Args:
        model: sent with its bytes; `model.by_path()` sends its path, which all workers must see.
        frame: the rows. Columns go by name, as in `Model.predict`.
        keep: columns of `frame` that stand before the predictions; without, all of them.
        options: of `Model.predict`.

    Returns:
        A data frame with the kept columns and those of `Model.predict`: one row for each.

    Raises:
        ValueError: a column would stand twice.
        InputError, NotOfferedError: as `Model.predict`, at once and not on a worker.
    """
    from pyspark.sql.pandas.types import from_arrow_schema
    from pyspark.sql.types import StructType

    keep = list(frame.columns if keep is None else keep)
    offset = options.get("offset_column")
    needed = [
        name
        for name in frame.columns
        if model._native.wants(name) or name in keep or name == offset
    ]
    quoted = (name.replace("`", "``") for name in needed)
    selected = frame.select(*(frame[f"`{name}`"] for name in quoted))
    answers = _workers.schema(model, needed, keep, options)
    kept = [frame.schema[name] for name in keep]
    schema = StructType(kept + list(from_arrow_schema(answers)))
    score = _workers.Scorer(model, keep, options)

    def batches(rows: Iterable[pyarrow.RecordBatch]) -> Iterator[pyarrow.RecordBatch]:
        return map(score, rows)

    return selected.mapInArrow(batches, schema)
