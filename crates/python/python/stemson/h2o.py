"""What h2o-py offers for MOJOs, with its names, signatures and columns, and without Java.

    from stemson.h2o import mojo_predict_pandas, mojo_predict_csv

Arguments that concern Java are taken and ignored. What differs on purpose: a model is read once per
version of its file, not once per call; floats are exact where h2o-py's reader of CSV rounds in the
last digit; a backslash in a cell is a letter, where H2O's tool takes it for an escape; a row without
an offset has the offset 0, where H2O's tool ends.
"""

from __future__ import annotations

import csv
import decimal
import functools
import io
import math
import os
import struct
import tempfile
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from . import _frames
from ._model import Model, load
from .errors import DuplicateColumnError, InputError, RowRefusedError

if TYPE_CHECKING:
    import pandas

__all__ = ["mojo_predict_csv", "mojo_predict_pandas"]

_NA_WORDS = ["", "NA", "N/A", "-"]
"""What H2O's tool takes for nothing."""


def mojo_predict_pandas(
    dataframe: pandas.DataFrame,
    mojo_zip_path: str,
    genmodel_jar_path: str | None = None,
    classpath: str | None = None,
    java_options: str | None = None,
    verbose: bool = False,
    setInvNumNA: bool = False,
    predict_contributions: bool = False,
    predict_calibrated: bool = False,
) -> pandas.DataFrame:
    """Scores a data frame, as `h2o.mojo_predict_pandas` does.

    Args:
        dataframe: the rows. They count as the CSV that pandas makes of them, which H2O's tool reads:
            `True`, `2024-01-31`, the text of an index that has a name.
        mojo_zip_path: the model.
        genmodel_jar_path, classpath, java_options: ignored, there is no Java.
        verbose: prints what is loaded.
        setInvNumNA: text in a numeric column is a missing value, else an error.
        predict_contributions: contributions in place of predictions.
        predict_calibrated: also calibrated probabilities.

    Returns:
        The columns that h2o-py returns with the types that `pandas.read_csv` gives them, and a new
        index.

    Raises:
        InputError: a text in a numeric column, without `setInvNumNA`.
        RowRefusedError: a row has no prediction, which ends the run there as well.
        NotOfferedError, LoadError: see `stemson.load` and `Model.predict`.
    """
    import pandas

    if not isinstance(dataframe, pandas.DataFrame):
        raise TypeError(f"dataframe is {type(dataframe).__name__}, expected pandas.DataFrame")
    model = _loaded(mojo_zip_path, verbose)
    native = model._native
    source, _ = _frames.read(native, _as_csv(dataframe, model))
    answers = native.predict(
        source,
        contributions=predict_contributions,
        calibrated=predict_calibrated,
        na_words=_NA_WORDS,
    )
    summary = answers.summary
    _refuse(summary["refused"], summary["converted"], setInvNumNA)
    columns = {}
    for index in _wanted(answers.names, model, predict_contributions, predict_calibrated):
        name = answers.names[index]
        column = answers.column(index)
        columns[name] = _inferred(column) if isinstance(column, list) else _wide(column)
    return pandas.DataFrame(columns)


def _as_csv(frame: pandas.DataFrame, model: Model) -> pandas.DataFrame:
    """The cells that H2O's tool meets: text, in all columns of the model. Empty ones are nothing."""
    import pandas

    labels = [str(label) for label in frame.columns]
    for name in model.columns:
        if labels.count(name) > 1:
            raise DuplicateColumnError(f"two columns are called `{name}`", column=name)
    page = io.StringIO()
    frame.to_csv(page)
    page.seek(0)
    cells = pandas.read_csv(page, dtype=str, na_filter=False)
    return cells if model._native.is_open else cells.reindex(columns=model.columns)


def mojo_predict_csv(
    input_csv_path: str,
    mojo_zip_path: str,
    output_csv_path: str | None = None,
    genmodel_jar_path: str | None = None,
    classpath: str | None = None,
    java_options: str | None = None,
    verbose: bool = False,
    setInvNumNA: bool = False,
    predict_contributions: bool = False,
    predict_calibrated: bool = False,
) -> list[dict[str, str]]:
    """Scores a CSV file into another one, as `h2o.mojo_predict_csv` does.

    Args:
        input_csv_path: the rows, with a header.
        output_csv_path: where the predictions go; without, `prediction.csv` beside the
            model, as there.
        Others: see `mojo_predict_pandas`.

    Returns:
        The rows of the output file, every value as text.
    """
    if not os.path.isfile(input_csv_path):
        raise FileNotFoundError(f"no such file: {input_csv_path}")
    model = _loaded(mojo_zip_path, verbose)
    folder = os.path.dirname(os.path.abspath(mojo_zip_path))
    output = output_csv_path or os.path.join(folder, "prediction.csv")
    beside = os.path.dirname(os.path.abspath(output))
    with tempfile.TemporaryDirectory(prefix=".prediction", dir=beside) as temporary:
        ours, theirs = (os.path.join(temporary, name) for name in ("ours.csv", "theirs.csv"))
        refused, converted = model._native.predict_csv(
            os.fspath(input_csv_path),
            ours,
            contributions=predict_contributions,
            calibrated=predict_calibrated,
            na_words=_NA_WORDS,
        )
        _refuse(refused, converted, setInvNumNA)
        _rewrite(ours, theirs, model, predict_contributions, predict_calibrated)
        os.replace(theirs, output)
    with open(output, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def _loaded(path: str, verbose: bool) -> Model:
    path = os.path.abspath(path)
    state = os.stat(path)
    model = _load(path, state.st_mtime_ns, state.st_size, state.st_ino)
    if verbose:
        print(f"{path}: {model!r}")
    return model


@functools.lru_cache(maxsize=16)
def _load(path: str, *version: int) -> Model:
    return load(path)


def _refuse(refused: int, converted: dict[str, dict[str, int]], invalid_is_nothing: bool) -> None:
    """Ends where H2O's tool does."""
    if refused:
        raise RowRefusedError(
            f"{refused} rows have no prediction: `stemson.Model.predict` says which and why"
        )
    for column, counts in converted.items():
        if counts["invalid_numbers"] and not invalid_is_nothing:
            raise InputError(
                f"column `{column}`: {counts['invalid_numbers']} values are no numbers; with"
                " setInvNumNA=True they are missing values",
                column=column,
            )


def _wanted(
    names: list[str], model: Model, contributions: bool, calibrated: bool
) -> Sequence[int]:
    """Places of H2O's columns: it has neither `error` nor an autoencoder's `mse`, and contributions
    stand alone."""
    predictions = len(model.output_names(calibrated=calibrated))
    if contributions:
        return [place for place in range(predictions, len(names)) if names[place] != "error"]
    if model.category == "AutoEncoder":
        predictions -= 1
    return range(predictions)


def _inferred(texts: list[str | None]) -> Any:
    """The column that `pandas.read_csv` makes of these texts."""
    import numpy
    import pandas

    values = numpy.empty(len(texts), dtype=object)
    values[:] = texts
    codes, distinct = pandas.factorize(values)
    page = io.StringIO()
    csv.writer(page, quoting=csv.QUOTE_MINIMAL).writerows([["x"], *([text] for text in distinct)])
    page.seek(0)
    # A blank line is no row for read_csv, but a level may be blank.
    read = pandas.read_csv(page, skip_blank_lines=False)["x"]
    return read.take(codes).array if (codes >= 0).all() else read.reindex(codes).array


def _wide(column: Any) -> Any:
    import numpy

    # All of Java's numbers are doubles: a cluster is `3.0`.
    return numpy.asarray(column).astype("float64")


def _rewrite(
    source: str, target: str, model: Model, contributions: bool, calibrated: bool
) -> None:
    """Leaves H2O's columns in a file, with numbers as Java writes them."""
    has_labels = model.category in ("Binomial", "Multinomial", "Ordinal") and not contributions
    with (
        open(source, newline="", encoding="utf-8") as ours,
        open(target, "w", newline="", encoding="utf-8") as theirs,
    ):
        rows, writer = csv.reader(ours), csv.writer(theirs, lineterminator="\n")
        names = next(rows)
        wanted = _wanted(names, model, contributions, calibrated)
        number: Callable[[str], float] = _of_single if contributions else float
        writer.writerow([names[place] for place in wanted])
        for row in rows:
            cells = [row[place] for place in wanted]
            first = int(has_labels)
            cells[first:] = (_java(number(cell)) for cell in cells[first:])
            writer.writerow(cells)


def _of_single(text: str) -> float:
    """The 32-bit float of a decimal."""
    value: float = struct.unpack("f", struct.pack("f", float(text)))[0]
    return value


def _java(number: float) -> str:
    """`Double.toString`, and `NA` as H2O's tool writes it."""
    size = abs(number)
    if math.isnan(number):
        return "NA"
    if math.isinf(number):
        return "Infinity" if number > 0 else "-Infinity"
    if size == 0 or 1e-3 <= size < 1e7:
        return repr(number)
    shortest = decimal.Decimal(repr(size))
    digits = "".join(map(str, shortest.as_tuple().digits)).rstrip("0")
    sign = "-" if number < 0 else ""
    return f"{sign}{digits[0]}.{digits[1:] or '0'}E{shortest.adjusted()}"
