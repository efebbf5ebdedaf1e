"""What a worker of Spark or Ray does with a batch of rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ._model import Model
from .errors import InputError

_models: dict[tuple[str, bool], Model] = {}
"""Loaded in this process, by digest and quirks: a worker gets the model anew with each task."""


class Scorer:
    """Scores Arrow batches: the kept columns, then the answers. Pickles with its model."""

    def __init__(self, model: Model, keep: Sequence[str], options: dict[str, Any]) -> None:
        self._model, self._keep, self._options = model, list(keep), options

    def __getstate__(self) -> dict[str, Any]:
        factory, arguments = self._model.__reduce__()[:2]
        return {
            "key": (self._model.digest, self._model._quirks),
            "model": (factory, arguments),
            "keep": self._keep,
            "options": self._options,
        }

    def __setstate__(self, state: dict[str, Any]) -> None:
        key = state["key"]
        if key not in _models:
            factory, arguments = state["model"]
            _models[key] = factory(*arguments)
        self.__init__(_models[key], state["keep"], state["options"])  # type: ignore[misc]

    def __call__(self, batch: Any) -> Any:
        """`batch`: a pyarrow `RecordBatch` or `Table`; gives the same."""
        import pyarrow

        # The engine keeps the cores busy with workers.
        options = {"threads": 1, **self._options}
        is_table = isinstance(batch, pyarrow.Table)
        rows = batch if is_table else pyarrow.Table.from_batches([batch])
        answers = _plain(self._model.predict(rows, **options))
        columns = [rows.column(name) for name in self._keep] + answers.columns
        result = pyarrow.table(columns, names=self._keep + answers.column_names)
        if is_table:
            return result
        batches = result.combine_chunks().to_batches()
        return batches[0] if batches else pyarrow.RecordBatch.from_pylist([], result.schema)


def schema(
    model: Model, names: Sequence[str], keep: Sequence[str], options: dict[str, Any]
) -> Any:
    """The Arrow schema of the answers to rows with these columns.

    Raises:
        InputError: a column to keep is not there, or would stand twice.
    """
    import pyarrow

    for name in keep:
        if name not in names:
            raise InputError(f"no column `{name}` to keep", column=name)
    empty = pyarrow.table({name: pyarrow.array([], pyarrow.null()) for name in names})
    answers = _plain(model.predict(empty, **options)).schema
    for name in answers.names:
        if name in keep:
            raise InputError(
                f"`{name}` would stand twice: it is kept and is a column of the answers; leave it"
                " out of `keep` or rename it before",
                column=name,
            )
    return answers


def _plain(table: Any) -> Any:
    """Labels as text: not every engine takes dictionaries."""
    import pyarrow

    for place, field in enumerate(table.schema):
        if pyarrow.types.is_dictionary(field.type):
            text = table.column(place).cast(pyarrow.string())
            table = table.set_column(place, field.name, text)
    return table
