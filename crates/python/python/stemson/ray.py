"""Scoring inside Ray Data: the engine partitions, retries and spills, Stemson scores the batches.

    scored = stemson.ray.predict(model, dataset, keep=["customer"], concurrency=4)
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from . import _workers
from ._model import Model

if TYPE_CHECKING:
    import pyarrow
    from ray.data import Dataset

__all__ = ["predict"]


class _Actor:
    """Lives as long as its worker and holds the model."""

    def __init__(self, score: _workers.Scorer) -> None:
        self._score = score

    def __call__(self, table: pyarrow.Table) -> pyarrow.Table:
        return self._score(table)


def predict(
    model: Model,
    dataset: Dataset,
    *,
    keep: Sequence[str] | None = None,
    concurrency: int | tuple[int, int] = 1,
    batch_size: int = 8_192,
    ray_remote_args: dict[str, Any] | None = None,
    **options: Any,
) -> Dataset:
    """Scores a Ray dataset by `map_batches` on a pool of actors.

    Args:
        model: sent with its bytes; `model.by_path()` sends its path, which all workers must see.
        dataset: the rows. Columns go by name, as in `Model.predict`.
        keep: columns that stand before the predictions; without, all of them.
        concurrency: actors, or the least and the most of them.
        batch_size: rows that an actor gets at once.
        ray_remote_args: for `map_batches`, such as `num_cpus` or `max_restarts`.
        options: of `Model.predict`.

    Returns:
        A dataset with the kept columns and those of `Model.predict`: one row for each.
    """
    # Where the schema is not known yet, `schema` computes the first block.
    names = list(dataset.schema().names)
    keep = list(names if keep is None else keep)
    _workers.schema(model, names, keep, options)
    return dataset.map_batches(
        _Actor,
        fn_constructor_args=(_workers.Scorer(model, keep, options),),
        batch_format="pyarrow",
        batch_size=batch_size,
        concurrency=concurrency,
        **(ray_remote_args or {}),
    )
