"""What h2o-py offers for MOJOs, with its names, signatures and columns, and without Java.

    from stemson.h2o import mojo_predict_pandas, mojo_predict_csv

Arguments that concern Java are taken and ignored. What differs on purpose: a model is read once per
version of its file, not once per call; floats are exact where h2o-py's reader of CSV rounds in the
last digit; a backslash in a cell is a letter, where H2O's tool takes it for an escape.
"""

from __future__ import annotations

import csv
import functools
import io
import os
import tempfile
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from . import _frames
from ._model import Model, load
from .errors import InputError, RowRefusedError

if TYPE_CHECKING:
    import pandas

__all__ = ["mojo_predict_csv", "mojo_predict_pandas"]

_NA_WORDS = ["NA", "N/A", "-"]
"""What H2O's tool takes for nothing, beside the empty cell."""


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
        dataframe: the rows.
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
    source, _ = _frames.read(native, dataframe)
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
    handle, temporary = tempfile.mkstemp(prefix=".prediction", dir=beside)
    os.close(handle)
    try:
        refused, converted = model._native.predict_csv(
            os.fspath(input_csv_path),
            temporary,
            contributions=predict_contributions,
            calibrated=predict_calibrated,
            na_words=_NA_WORDS,
        )
        _refuse(refused, converted, setInvNumNA)
        _select_columns(temporary, model, predict_contributions, predict_calibrated)
        os.replace(temporary, output)
    except BaseException:
        os.unlink(temporary)
        raise
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

    values = numpy.asarray(column)
    if values.dtype.kind == "i":
        # Java writes `3.0`.
        return values.astype("float64")
    # The double that the decimal of a float stands for, as a reader of CSV gets it.
    return numpy.asarray(column.shortest())


def _select_columns(path: str, model: Model, contributions: bool, calibrated: bool) -> None:
    """Leaves H2O's columns in a file."""
    with open(path, newline="", encoding="utf-8") as file:
        rows = list(csv.reader(file))
    wanted = _wanted(rows[0], model, contributions, calibrated)
    if len(wanted) < len(rows[0]):
        with open(path, "w", newline="", encoding="utf-8") as file:
            selected = ([row[place] for place in wanted] for row in rows)
            csv.writer(file, lineterminator="\n").writerows(selected)
