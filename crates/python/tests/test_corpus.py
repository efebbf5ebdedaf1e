"""Every model of the corpus through every kind of data: genmodel's answers."""

import warnings

import numpy
import pandas
import pyarrow
import pytest
from corpus import Case, close, folders
from libraries import polars

import stemson

KINDS = {
    "pandas": lambda columns: pandas.DataFrame(columns, dtype=object),
    "pandas strings": lambda columns: pandas.DataFrame(columns, dtype="string"),
    "pandas categories": lambda columns: pandas.DataFrame(columns, dtype="category"),
    "polars": lambda columns: polars.DataFrame(columns, schema=dict.fromkeys(columns, polars.String)),
    "pyarrow": lambda columns: pyarrow.table(columns, pyarrow.schema([(c, "string") for c in columns])),
    "pyarrow dictionaries": lambda columns: pyarrow.table(
        {name: pyarrow.array(values, "string").dictionary_encode() for name, values in columns.items()}
    ),
    "dict": lambda columns: columns,
    "structured": lambda columns: structured(columns),
}
if not polars:
    del KINDS["polars"]


def structured(columns):
    rows = len(next(iter(columns.values())))
    array = numpy.empty(rows, dtype=[(name, object) for name in columns])
    for name, values in columns.items():
        array[name] = values
    return array


def lists(answers):
    """The answer's columns as lists, NaN for nothing in numbers."""
    if isinstance(answers, pandas.DataFrame):
        return {name: answers[name].tolist() for name in answers}
    if polars and isinstance(answers, polars.DataFrame):
        return answers.to_dict(as_series=False)
    if isinstance(answers, pyarrow.Table):
        return answers.to_pydict()
    if isinstance(answers, numpy.ndarray):
        return {name: answers[name].tolist() for name in answers.dtype.names}
    if isinstance(answers, list):
        return {name: [row[name] for row in answers] for name in answers[0]}
    return answers


def is_nothing(value):
    return value is None or value != value


@pytest.mark.parametrize("folder", folders(), ids=lambda folder: folder.name)
def test_answers_of_genmodel(folder):
    case = Case(folder)
    columns = case.columns()
    with warnings.catch_warnings():
        # Some inputs leave out a column on purpose.
        warnings.simplefilter("ignore", stemson.MissingColumnsWarning)
        for kind, make in KINDS.items():
            judge(case, kind, lists(case.model.predict(make(columns))), strict=False)
        judge(case, "rows", lists(case.model.predict(case.rows)), strict=False)
        # A GLRM draws: its answers are those of one run over the file.
        is_whole = set(case.model.columns) <= set(case.header)
        if is_whole and case.model.algorithm != "glrm":
            answers = case.model.predict(KINDS["pandas"](columns), strict=True)
            judge(case, "strict", lists(answers), strict=True)


def judge(case, kind, answers, strict):
    names = [name for name in answers if name != "error"]
    assert len(answers[names[0]]) == len(case.rows), kind
    for row in range(len(case.rows)):
        expected = case.expected(row, names, strict)
        found = {name: answers[name][row] for name in names}
        if expected is None:
            assert all(map(is_nothing, found.values())), (kind, row, found)
            assert answers["error"][row], (kind, row)
            continue
        for name, value in expected.items():
            same = close(found[name], value) or (is_nothing(found[name]) and value != value)
            assert same, (kind, row, name, found[name], value)


@pytest.mark.parametrize("folder", folders(), ids=lambda folder: folder.name)
def test_one_row_at_a_time(folder):
    case = Case(folder)
    for number, row in enumerate(case.rows):
        expected = case.lenient[number]
        if not set(row) & set(case.model.columns) and not case.model._native.is_open:
            with pytest.raises(stemson.InputError):
                case.model.predict_row(row)
        elif "error" in expected:
            with pytest.raises(stemson.RowRefusedError) as caught:
                case.model.predict_row(row, row_index=number)
            assert caught.value.kind
        else:
            answer = case.model.predict_row(row, row_index=number)
            for name, value in case.expected(number, list(answer)).items():
                assert close(answer[name], value), (number, name, answer[name], value)
