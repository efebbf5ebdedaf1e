"""Data frames in and out, each library's by its own means. None of them is imported here unless
the data comes from it.

`read` gives what the native model scores (`Columns`, or anything with `__arrow_c_stream__`), and the
function that makes answers of the same kind.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from functools import lru_cache
from typing import Any

from . import _native
from .errors import ColumnTypeError, DuplicateColumnError, InputError

Give = Callable[[_native.Answers], Any]
Source = Any


def read(model: _native.Model, data: Any, offset: str | None = None) -> tuple[Source, Give]:
    """Tells by its class what the data is. `offset`: another name of the model's offset column.

    Raises:
        InputError: it is nothing that has rows, or no column is the model's.
    """
    pandas, polars, pyarrow, numpy = (
        sys.modules.get(name) for name in ("pandas", "polars", "pyarrow", "numpy")
    )
    if pandas is not None and isinstance(data, pandas.DataFrame):
        return _pandas(model, data, offset)
    if polars is not None and isinstance(data, polars.LazyFrame):
        raise InputError("a LazyFrame has no rows yet: call .collect() on it")
    if polars is not None and isinstance(data, polars.DataFrame):
        selected = _polars(data.select(_wanted(model, data.columns, offset)))
        return selected, lambda answers: polars.DataFrame(answers)
    if pyarrow is not None and isinstance(data, (pyarrow.Table, pyarrow.RecordBatch)):
        return _pyarrow(model, data, offset)
    if numpy is not None and isinstance(data, numpy.ndarray):
        return _numpy(model, data, offset)
    if isinstance(data, Mapping):
        return _dict(model, data, offset)
    if isinstance(data, (list, tuple)):
        return _rows(model, data, offset)
    if hasattr(data, "__arrow_c_stream__"):
        import pyarrow as arrow

        try:
            table = arrow.table(data)
        except (arrow.ArrowException, TypeError, ValueError) as error:
            raise InputError(
                f"{type(data).__name__} is no table: {error}; a row goes to predict_row, a column"
                " into a data frame"
            ) from error
        return _pyarrow(model, table, offset)
    if hasattr(data, "__dataframe__"):
        from pyarrow import interchange

        return _pyarrow(model, interchange.from_dataframe(data), offset)
    raise InputError(
        f"cannot read rows from {type(data).__name__}: expected a data frame of pandas, polars or"
        " pyarrow, a numpy array, a list of dicts, or a dict of columns"
    )


def _wanted(model: _native.Model, names: Iterable[Any], offset: str | None) -> list[str]:
    """The columns that the model reads, in the order of the data."""
    names = list(names)
    wanted = [
        name for name in names if isinstance(name, str) and (model.wants(name) or name == offset)
    ]
    if len(set(wanted)) < len(wanted):
        twice = next(name for name in wanted if wanted.count(name) > 1)
        raise DuplicateColumnError(f"two columns are called `{twice}`", column=twice)
    if not wanted:
        found = ", ".join(repr(name) for name in names[:8]) or "no columns"
        expected = ", ".join(f"`{name}`" for name in model.names[:8])
        raise InputError(f"no column is the model's: found {found}; expected {expected or 'any'}")
    return wanted


def columns_of(
    answers: _native.Answers, text: Callable[[_native.Answers, int], Any] | None = None
) -> dict[str, Any]:
    """The answers as numpy arrays by name; text as an array of objects, or as `text` makes it."""
    import numpy

    columns: dict[str, Any] = {}
    for index, name in enumerate(answers.names):
        if text is not None and answers.is_text(index):
            columns[name] = text(answers, index)
        elif answers.is_text(index):
            columns[name] = numpy.empty(len(answers), dtype=object)
            answers.fill(index, columns[name])
        else:
            # A copy may be written to.
            columns[name] = numpy.array(answers.column(index))
    return columns


def _lists(answers: _native.Answers) -> list[list[Any]]:
    columns = (answers.column(index) for index in range(len(answers.names)))
    return [column if isinstance(column, list) else column.tolist() for column in columns]


# pandas


def _pandas(model: _native.Model, frame: Any, offset: str | None) -> tuple[Source, Give]:
    names = frame.columns.tolist()
    wanted = set(_wanted(model, names, offset))
    source = model.frame(len(frame))
    found = [name if name in wanted else None for name in names]
    for place in _blocks(source, frame, found):
        name = found[place]
        if name is not None:
            _values(source, name, _column_of(frame, place))
    return source, lambda answers: _frame_of(answers, frame.index)


def _blocks(source: _native.Columns, frame: Any, names: list[str | None]) -> Iterable[int]:
    """Adds the columns that pandas keeps in one array of two dimensions, where it lets us see them:
    that takes a fifth of what they take one by one. Gives the places of the others. `names`: None
    where a column is not wanted.
    """
    import numpy

    blocks = getattr(getattr(frame, "_mgr", None), "blocks", None)
    if blocks is None:
        return range(len(names))
    others: list[int] = []
    for block in blocks:
        places, values = list(block.mgr_locs), block.values
        if len(places) > 1 and type(values) is numpy.ndarray and _is_plain(values.dtype):
            source.add_matrix([names[place] for place in places], values.T)
        else:
            others += places
    return others


def _column_of(frame: Any, place: int) -> Any:
    """A column of pandas without a Series around it, which takes longer than to read 64 rows."""
    read = getattr(frame, "_get_column_array", None)
    return read(place) if read else _array_of(frame.iloc[:, place])


def _frame_of(answers: _native.Answers, index: Any) -> Any:
    """The answers as a frame with this index."""
    import pandas

    columns = columns_of(answers, _pandas_text if _text_type() else None)
    build = getattr(pandas.DataFrame, "_from_arrays", None)
    if build is None:
        return pandas.DataFrame(columns, index=index, copy=False)
    # These are what pandas would make of them: it need not look. Who names the rows or the names
    # of the answers does so on views of their own.
    names = _index(tuple(columns)).view()
    return build(list(columns.values()), names, index.view(), verify_integrity=False)


@lru_cache(maxsize=16)
def _index(names: tuple[str, ...]) -> Any:
    import pandas

    return pandas.Index(names)


def _array_of(series: Any) -> Any:
    """A numpy array, or one of pandas' own."""
    import numpy

    return series.to_numpy() if isinstance(series.dtype, numpy.dtype) else series.array


@lru_cache(maxsize=1)
def _text_type() -> Any:
    """The type of its own that pandas gives to text; None where it leaves objects. Asked once: it
    takes as long as to build a frame."""
    import pandas

    found = pandas.Series([""]).dtype
    return found if isinstance(found, pandas.StringDtype) else None


def _pandas_text(answers: _native.Answers, index: int) -> Any:
    """A column of text as pandas 3 has it."""
    import numpy
    import pandas

    rows = len(answers)
    if rows < 4_096 or "pyarrow" not in sys.modules:
        values = numpy.empty(rows, dtype=object)
        answers.fill(index, values)
    else:
        # From the dictionary that it is: pandas would look at each of so many texts.
        import pyarrow

        values = pyarrow.table(answers).column(index)
        if values.null_count < rows:
            return _text_type().__from_arrow__(values.combine_chunks().cast(pyarrow.large_string()))
        values = numpy.empty(rows, dtype=object)
    # Nothing at all is no text to pandas.
    is_nothing = all(value is None for value in values)
    return values if is_nothing else pandas.array(values, dtype=_text_type())


def _values(source: _native.Columns, name: str, values: Any) -> None:
    """Adds a column of pandas, by the kind of its values."""
    import numpy

    dtype = values.dtype
    if not isinstance(dtype, numpy.dtype):
        _extension(source, name, values)
        return
    if not isinstance(values, numpy.ndarray):
        values = values.to_numpy()
    # A column of NaT alone says nothing of its type.
    if dtype.kind == "M" and numpy.isnat(values).all():
        source.add_objects(name, [None] * len(values))
    else:
        _array(source, name, values)


def _extension(source: _native.Columns, name: str, array: Any) -> None:
    """A column with a type of pandas' own."""
    import pandas

    dtype = array.dtype
    if isinstance(dtype, pandas.StringDtype) and dtype.storage == "pyarrow":
        _arrow_column(source, name, array.__arrow_array__())
    elif isinstance(dtype, pandas.CategoricalDtype):
        source.add_codes(name, array.codes, array.categories.astype(object).tolist())
    elif isinstance(dtype, pandas.PeriodDtype):
        raise ColumnTypeError(
            f"column `{name}` has periods ({dtype}), expected times: say .dt.to_timestamp()",
            column=name,
        )
    elif isinstance(dtype, pandas.IntervalDtype):
        raise ColumnTypeError(
            f"column `{name}` has intervals ({dtype}), expected numbers or text: say .astype(str)"
            " if the levels are spelled so",
            column=name,
        )
    elif isinstance(dtype, pandas.DatetimeTZDtype):
        # An instant, whatever its zone.
        _values(source, name, array.tz_convert(None))
    elif _is_masked(array):
        source.add_masked(name, array._data, array._mask)
    elif hasattr(array, "__arrow_array__") and "pyarrow" in sys.modules:
        _arrow_column(source, name, array.__arrow_array__())
    elif isinstance(dtype, pandas.SparseDtype):
        _array(source, name, array.to_dense())
    else:
        source.add_objects(name, array.to_numpy(dtype=object, na_value=None).tolist())


def _is_masked(array: Any) -> bool:
    """Nullable integers, floats and booleans: values and a mask, two numpy arrays."""
    return all(
        type(getattr(array, part, None)).__name__ == "ndarray" for part in ("_data", "_mask")
    )


def _arrow_column(source: _native.Columns, name: str, column: Any) -> None:
    """A column that pyarrow holds: as it lies there, in one piece or several."""
    import pyarrow

    pieces = column.chunks if isinstance(column, pyarrow.ChunkedArray) else [column]
    source.add_arrow(name, pieces or [pyarrow.array([], column.type)])


# numpy


def _array(source: _native.Columns, name: str, values: Any) -> None:
    """Adds a numpy array of one dimension."""
    import numpy

    kind = values.dtype.kind
    if values.ndim != 1:
        raise ColumnTypeError(
            f"column `{name}` has {values.ndim} dimensions, expected one value per row", column=name
        )
    if isinstance(values, numpy.ma.MaskedArray):
        source.add_objects(name, numpy.ma.filled(values.astype(object), None).tolist())
    elif kind == "O":
        source.add_object_array(name, values)
    elif kind in "UT":
        source.add_objects(name, values.tolist())
    elif kind == "M":
        unit = numpy.datetime_data(values.dtype)
        if unit not in (("s", 1), ("ms", 1), ("us", 1), ("ns", 1)):
            values = values.astype("M8[ms]")
        source.add_array(name, _native_order(values))
    elif kind in "fiub" and values.dtype.itemsize <= 8:
        source.add_array(name, _native_order(values))
    elif kind == "f":
        source.add_array(name, values.astype("f8"))
    else:
        raise ColumnTypeError(
            f"column `{name}` has values of type {values.dtype}, expected numbers, booleans, times"
            " or text",
            column=name,
        )


def _is_plain(dtype: Any) -> bool:
    """Numbers and booleans that are read where they lie."""
    return dtype.char in "?bBhHiIlLqQefd" and dtype.isnative


def _native_order(values: Any) -> Any:
    """The same in this machine's order of bytes."""
    return values if values.dtype.isnative else values.astype(values.dtype.newbyteorder("="))


def _numpy(model: _native.Model, array: Any, offset: str | None) -> tuple[Source, Give]:
    import numpy

    if array.dtype.names:
        wanted = _wanted(model, array.dtype.names, offset)
        source = model.frame(len(array))
        for name in wanted:
            _array(source, name, array[name])
    else:
        if isinstance(array, numpy.matrix):
            # It has no columns of one dimension.
            array = numpy.asarray(array)
        names = model.names
        features = len(names) - (model.offset is not None)
        expected = f"{features} columns in the order of `model.columns`"
        if array.ndim != 2:
            raise InputError(f"an array of {array.ndim} dimensions, expected rows x {expected}")
        if model.is_open:
            raise InputError("the columns of this model go by name: use a data frame or dicts")
        width = array.shape[1]
        if width not in (features, len(names)):
            raise InputError(f"an array of {width} columns, expected {expected}")
        source = model.frame(len(array))
        if type(array) is numpy.ndarray and _is_plain(array.dtype):
            source.add_matrix(names[:width], array)
        else:
            for place, name in enumerate(names[:width]):
                _array(source, name, array[:, place])
    return source, _structured


def _structured(answers: _native.Answers) -> Any:
    import numpy

    columns = columns_of(answers)
    fields = [(name, values.dtype) for name, values in columns.items()]
    result = numpy.empty(len(answers), dtype=fields)
    for name, values in columns.items():
        result[name] = values
    return result


# polars


def _polars(frame: Any) -> Any:
    """With the columns that polars exports as no other library reads them as numbers."""
    import polars

    for name, dtype in frame.schema.items():
        if dtype == polars.Object:
            raise ColumnTypeError(
                f"column `{name}` has Python objects, expected numbers, booleans, times or text",
                column=name,
            )
    alone = [polars.Null, *(getattr(polars, name, polars.Null) for name in ("Int128", "UInt128"))]
    names = [name for name, dtype in frame.schema.items() if dtype in alone]
    return frame.with_columns(polars.col(names).cast(polars.Float64)) if names else frame


# pyarrow


def _pyarrow(model: _native.Model, table: Any, offset: str | None) -> tuple[Source, Give]:
    import pyarrow

    wanted = _wanted(model, table.schema.names, offset)
    is_batch = isinstance(table, pyarrow.RecordBatch)

    def give(answers: _native.Answers) -> Any:
        result = pyarrow.table(answers)
        if not is_batch:
            return result
        batches = result.combine_chunks().to_batches()
        return batches[0] if batches else pyarrow.RecordBatch.from_pylist([], result.schema)

    selected = table.select(wanted)
    return pyarrow.Table.from_batches([selected]) if is_batch else selected, give


# Python's own


def _dict(
    model: _native.Model, data: Mapping[Any, Any], offset: str | None
) -> tuple[Source, Give]:
    wanted = _wanted(model, data, offset)
    lengths = {}
    for name in wanted:
        values = data[name]
        if isinstance(values, (Mapping, Set)):
            raise InputError(
                f"column `{name}` is a {type(values).__name__}, expected values in the order of the"
                " rows: a list or an array",
                column=name,
            )
        is_single = getattr(values, "ndim", 1) == 0 or not hasattr(values, "__len__")
        if is_single or isinstance(values, (str, bytes)):
            raise InputError(
                f"column `{name}` is one value ({type(values).__name__}), expected a column:"
                " a single row goes to predict_row",
                column=name,
            )
        lengths[name] = len(values)
    rows = lengths[wanted[0]]
    for name, length in lengths.items():
        if length != rows:
            raise InputError(
                f"column `{name}` has {length} rows, column `{wanted[0]}` has {rows}", column=name
            )
    source = model.frame(rows)
    arrays = 0
    for name in wanted:
        arrays += _column(source, name, data[name])

    def give(answers: _native.Answers) -> Any:
        return columns_of(answers) if arrays else dict(zip(answers.names, _lists(answers)))

    return source, give


def _column(source: _native.Columns, name: str, values: Any) -> bool:
    """Adds a column of a dict. Whether it is an array, and no plain list."""
    if isinstance(values, (list, tuple)):
        source.add_objects(name, list(values))
        return False
    kind = type(values).__module__.partition(".")[0]
    if kind == "pandas":
        import pandas

        series = values if isinstance(values, pandas.Series) else pandas.Series(values)
        _values(source, name, _array_of(series))
    elif kind == "numpy":
        _array(source, name, values)
    elif kind in ("polars", "pyarrow"):
        _arrow_column(source, name, values.to_arrow() if kind == "polars" else values)
    else:
        source.add_objects(name, list(values))
        return False
    return True


def _rows(
    model: _native.Model, rows: Sequence[Any], offset: str | None
) -> tuple[Source, Give]:
    rows = [row if type(row) is dict else _row(place, row) for place, row in enumerate(rows)]
    if model.is_open:
        names = _wanted(model, _keys(rows), offset) if rows else []
    else:
        known = [*model.names, offset] if offset else model.names
        names = list(dict.fromkeys(known))
    source = model.frame(len(rows))
    found = source.add_rows(names, rows)
    if rows and not found:
        # Says which there are instead.
        _wanted(model, _keys(rows), offset)

    def give(answers: _native.Answers) -> Any:
        return [dict(zip(answers.names, row)) for row in zip(*_lists(answers))]

    return source, give


def _row(place: int, row: Any) -> dict[Any, Any]:
    if not isinstance(row, Mapping):
        raise InputError(f"row {place} is {type(row).__name__}, expected a dict")
    return dict(row)


def _keys(rows: list[dict[Any, Any]]) -> dict[Any, None]:
    """All keys of the rows, in their order."""
    names: dict[Any, None] = {}
    for row in rows:
        names.update(dict.fromkeys(row))
    return names
