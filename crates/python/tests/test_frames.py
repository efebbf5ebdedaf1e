"""Types of columns, what comes back, and what is wrong with data."""

import datetime
import decimal
import io
import warnings
import zipfile

import numpy
import pandas
import pyarrow
import pytest
from corpus import CORPUS
from libraries import polars

import stemson


@pytest.fixture(scope="module")
def frame(gbm_rows):
    return pandas.DataFrame(gbm_rows)


@pytest.fixture(scope="module")
def expected(gbm, frame):
    return gbm.predict(frame)


def numeric(frame):
    """The numeric columns as numbers."""
    numbers = {name: pandas.to_numeric(frame[name]) for name in frame if name.startswith("n")}
    return frame.assign(**numbers)


def test_numbers_and_their_text_are_the_same(gbm, frame, expected):
    pandas.testing.assert_frame_equal(gbm.predict(numeric(frame)), expected)


def test_the_index_is_kept_and_other_columns_are_ignored(gbm, frame, expected):
    other = frame.set_index(pandas.Index([f"r{i}" for i in range(len(frame))], name="id"))
    other = other.assign(stranger=1)[["stranger", *reversed(frame.columns)]]
    answers = gbm.predict(other)
    assert answers.index.name == "id" and answers.index.equals(other.index)
    pandas.testing.assert_frame_equal(answers.reset_index(drop=True), expected)


WIDTHS = """float16 float32 float64 int8 int16 int32 int64 uint8 uint16 uint32 uint64
Float32 Float64 Int8 Int64 UInt32 int64[pyarrow] float[pyarrow]""".split()


@pytest.mark.filterwarnings("ignore::stemson.MissingColumnsWarning")
@pytest.mark.parametrize("dtype", WIDTHS)
def test_widths_of_numbers(dtype):
    """A GLM sees every bit of a number, wherever it lies."""
    model = stemson.load(CORPUS / "glm_gaussian/model.zip")
    values = pandas.Series([0, 1, 2, 3, 5, 8, 13, 21, 34, 55, 89, 127])
    if not dtype.lower().startswith("u"):
        values = values - 63
    expected = [model.predict_row({"x1": float(value)})["predict"] for value in values]
    assert len(set(expected)) == len(values)
    column = values.astype(dtype)
    assert model.predict({"x1": column})["predict"].tolist() == expected
    assert model.predict(pandas.DataFrame({"x1": column}))["predict"].tolist() == expected
    if isinstance(column.dtype, numpy.dtype):
        array = column.to_numpy()
        fixed = array.copy()
        fixed.setflags(write=False)
        pairs = numpy.zeros((len(array), 2), dtype)
        pairs[:, 1] = array
        packed = numpy.zeros(len(array), dtype=[("other", "u1"), ("x1", dtype)])
        packed["x1"] = array
        for lying in (array, fixed, pairs[:, 1], array[::-1].copy()[::-1], packed["x1"]):
            assert model.predict({"x1": lying})["predict"].tolist() == expected


@pytest.mark.parametrize("nothing", [None, float("nan"), pandas.NA, pandas.NaT, numpy.nan])
def test_nothing_is_nothing(gbm, gbm_rows, nothing):
    rows = [dict(row, n00=nothing, c0=nothing) for row in gbm_rows]
    bare = [{k: v for k, v in row.items() if k not in ("n00", "c0")} for row in gbm_rows]
    bare[0].update(n00=None, c0=None)
    assert gbm.predict(rows) == gbm.predict(bare)
    pandas.testing.assert_frame_equal(
        gbm.predict(pandas.DataFrame(rows)), gbm.predict(pandas.DataFrame(bare))
    )


@pytest.mark.parametrize("dtype", ["bool", "boolean", object])
def test_a_boolean_is_a_level_and_no_number(gbm, frame, dtype):
    values = pandas.Series([True, False] * (len(frame) // 2), dtype=dtype)
    spelled = gbm.predict(frame.assign(c0=values.map({True: "true", False: "false"})))
    pandas.testing.assert_frame_equal(gbm.predict(frame.assign(c0=values)), spelled)
    answers = gbm.predict(frame.assign(n00=values), strict=True)
    assert answers["error"].str.contains("`n00`: `true` is not a number")[::2].all()


def test_masked_and_nullable_values(gbm, frame):
    numbers = pandas.Series([1, None] * (len(frame) // 2), dtype="Int64")
    plain = gbm.predict(frame.assign(n00=numbers.astype(float)))
    pandas.testing.assert_frame_equal(gbm.predict(frame.assign(n00=numbers)), plain)
    arrow = frame.assign(n00=pandas.Series(pandas.arrays.ArrowExtensionArray(pyarrow.array(numbers))))
    pandas.testing.assert_frame_equal(gbm.predict(arrow), plain)


def test_times_are_milliseconds(gbm, frame):
    times = pandas.Series(pandas.date_range("2024-01-01", periods=len(frame), freq="h"))
    ms = gbm.predict(frame.assign(n00=times.astype("int64") // 1_000_000 if times.dtype == "M8[ns]" else times.astype("M8[ms]").astype("int64")))
    for column in (times, times.astype("M8[s]"), times.dt.tz_localize("UTC").dt.tz_convert("Asia/Tokyo")):
        pandas.testing.assert_frame_equal(gbm.predict(frame.assign(n00=column)), ms)
    rows = frame.to_dict("records")
    for row, time in zip(rows, times):
        row["n00"] = time.to_pydatetime()
    assert [row["predict"] for row in gbm.predict(rows)] == ms["predict"].tolist()


def test_objects_of_all_kinds_stand_beside_each_other(gbm, gbm_rows):
    values = [1, 1.5, "1.5", 7, numpy.float32(2), numpy.int64(3), decimal.Decimal("4.25"), None]
    numbers = [1.0, 1.5, 1.5, 7.0, 2.0, 3.0, 4.25, None]
    mixed = [dict(row, n00=value) for row, value in zip(gbm_rows, values)]
    plain = [dict(row, n00=value) for row, value in zip(gbm_rows, numbers)]
    assert gbm.predict(mixed) == gbm.predict(plain)
    assert gbm.predict(pandas.DataFrame(mixed)).equals(gbm.predict(pandas.DataFrame(plain)))
    assert [gbm.predict_row(row) for row in mixed] == gbm.predict(mixed)


@pytest.mark.filterwarnings("ignore::stemson.MissingColumnsWarning")
def test_numbers_beside_text_are_the_levels_that_they_spell():
    """In a column of its own a number is the level `1`, or else `1.0`; so it is beside text."""
    with zipfile.ZipFile(CORPUS / "gbm_bernoulli/model.zip") as old, io.BytesIO() as new:
        with zipfile.ZipFile(new, "w") as out:
            for name in old.namelist():
                out.writestr(name, old.read(name).replace(b"01\n1\n", b"01\n1.0\n"))
        model = stemson.load(new.getvalue())
    name = next(column.name for column in model.schema if "1.0" in column.levels)
    assert "1" not in next(column.levels for column in model.schema if column.name == name)
    mixed = [{name: value} for value in (1, 1.0, numpy.int8(1), "1.0", "a b", 7)]
    plain = [{name: value} for value in ("1.0", "1.0", "1.0", "1.0", "a b", "7.0")]
    answers = model.predict(mixed)
    assert answers == model.predict(plain)
    # Only 7 is no level: the others are found, not missing.
    source, _ = stemson._frames.read(model._native, mixed)
    assert model._native.predict(source).summary["converted"] == {
        name: {"unknown_levels": 1, "invalid_numbers": 0}
    }
    assert answers == model.predict(pandas.DataFrame(mixed)).to_dict("records")
    categories = pandas.DataFrame(mixed).astype("category")
    assert answers == model.predict(categories).to_dict("records")
    assert answers == [model.predict_row(row) for row in mixed]


def test_numbers_beside_text_in_a_column_of_numbers(gbm, gbm_rows):
    values = [float("inf"), -1e300, 1e-9, 0.1 + 0.2, "1.5"]
    mixed = [dict(row, n00=value) for row, value in zip(gbm_rows, values)]
    plain = [dict(row, n00=float(value)) for row, value in zip(gbm_rows, values)]
    assert gbm.predict(mixed) == gbm.predict(plain)


def test_a_dictionary_that_is_larger_than_the_rows(gbm, frame):
    levels = [f"unknown {place}" for place in range(5_000)]
    text = frame["c0"].to_numpy()
    column = pandas.Categorical(text, categories=[*levels, *sorted(set(text))])
    pandas.testing.assert_frame_equal(gbm.predict(frame.assign(c0=column)), gbm.predict(frame))


def test_numpy_in_model_order(frame):
    from corpus import BENCH

    model = stemson.load(BENCH / "gbm100d6_num/model.zip")
    rows = pandas.read_csv(BENCH / "gbm100d6_num/input.csv")
    array = rows[model.columns].to_numpy(float)
    expected = model.predict(rows)
    shapes = (array, numpy.asfortranarray(array), array[::-1][::-1], array.astype(">f8"))
    with pytest.warns(PendingDeprecationWarning):
        matrix = numpy.matrix(array)
    for shape in (*shapes, matrix):
        answers = model.predict(shape)
        assert answers.dtype.names == tuple(expected.columns)
        assert (answers["predict"] == expected["predict"]).all()
        assert (answers[expected.columns[1]] == expected.iloc[:, 1]).all()


@pytest.mark.parametrize("dtype", ["?", "i1", "u2", "i4", "u8", "f2", "f4", "f8", object, ">f4"])
def test_a_matrix_is_its_columns(dtype):
    from corpus import BENCH

    model = stemson.load(BENCH / "gbm100d6_num/model.zip")
    width = len(model.columns)
    array = (numpy.arange(7 * width).reshape(7, width) % 11).astype(dtype)
    for matrix in (array, array[::-2], array[:, ::-1], numpy.asfortranarray(array), array[:1]):
        columns = {name: matrix[:, place] for place, name in enumerate(model.columns)}
        assert (model.predict(matrix)["predict"] == model.predict(columns)["predict"]).all()


def test_masked_places_of_a_matrix_are_absent():
    from corpus import BENCH

    model = stemson.load(BENCH / "gbm100d6_num/model.zip")
    array = numpy.ones((2, len(model.columns)))
    masked = numpy.ma.masked_array(array, mask=array * [[1], [0]])
    nothing = array * [[float("nan")], [1]]
    assert (model.predict(masked)["predict"] == model.predict(nothing)["predict"]).all()


@pytest.mark.filterwarnings("ignore::stemson.MissingColumnsWarning")
@pytest.mark.parametrize("levels", [3, 255, 256, 300, 70_000])
def test_columns_of_many_different_texts(gbm, frame, levels):
    """Keys of a dictionary are as narrow as can be."""
    places = numpy.arange(max(levels, 300)) % levels
    text = numpy.array([f"c9_L{place:04d}" for place in range(levels)], dtype=object)[places]
    text[7] = None
    columns = {"c9": text, "n00": places.astype(float)}
    expected = gbm.predict(pyarrow.table(columns)).column(1).to_pylist()
    data = pandas.DataFrame(columns)
    for kind in (object, "category", "str"):
        assert gbm.predict(data.astype({"c9": kind})).iloc[:, 1].tolist() == expected, kind


@pytest.mark.parametrize(
    ("column", "value"),
    [("n00", 1.5), ("n00", 3), ("c0", "c0_L0002"), ("c0", None), ("n00", numpy.datetime64(1, "s"))],
)
def test_an_array_of_no_dimensions_is_its_value(gbm, gbm_rows, column, value):
    array = numpy.array(value)
    assert array.ndim == 0
    boxed, plain = (dict(gbm_rows[0], **{column: it}) for it in (array, value))
    assert gbm.predict_row(boxed) == gbm.predict_row(plain)
    assert gbm.predict([boxed]) == gbm.predict([plain])


ODD = {
    "masked integers": (lambda x: x.round().astype("Int64"), lambda x: x.round()),
    "masked floats": (lambda x: x.astype("Float64"), lambda x: x),
    "sparse": (lambda x: pandas.arrays.SparseArray(x), lambda x: x),
    "decimals of Arrow": (
        lambda x: x.round(3).astype(pandas.ArrowDtype(pyarrow.decimal128(18, 3))),
        lambda x: x.round(3),
    ),
    "2^63": (lambda x: [2**63] * len(x), lambda x: [2.0**63] * len(x)),
    "2^64 - 1": (lambda x: numpy.full(len(x), 2**64 - 1, "u8"), lambda x: [2.0**64] * len(x)),
    "long doubles": (lambda x: x.to_numpy(numpy.longdouble), lambda x: x),
    "scalars of Arrow": (lambda x: [pyarrow.scalar(1.5)] * len(x), lambda x: [1.5] * len(x)),
    "a zone for each": (
        lambda x: pandas.Series([pandas.Timestamp(9, unit="h", tz="Asia/Tokyo")] * len(x), dtype=object),
        lambda x: [9 * 3.6e6] * len(x),
    ),
    "wide integers of polars": (
        lambda x: polars.Series([2**70] * len(x), dtype=polars.Int128),
        lambda x: polars.Series([2.0**70] * len(x)),
    ),
}


@pytest.mark.parametrize("what", ODD)
def test_odd_numbers_are_what_they_say(gbm, frame, what):
    odd, plain = ODD[what]
    numbers = pandas.to_numeric(frame["n00"])
    add = lambda values: frame.assign(n00=values)
    if "polars" in what:
        add = lambda values: polars.from_pandas(frame).with_columns(n00=values)
    answers, expected = gbm.predict(add(odd(numbers))), gbm.predict(add(plain(numbers)))
    assert answers.equals(expected)


def test_polars_types(gbm, frame, expected):
    data = polars.from_pandas(frame)
    names = [name for name in frame if name.startswith("n")]
    typed = data.with_columns(
        [polars.col(names).cast(polars.Float64), polars.col("c0").cast(polars.Categorical)]
    )
    answers = gbm.predict(typed)
    assert isinstance(answers, polars.DataFrame) and answers.columns == list(expected.columns)
    assert answers["predict"].cast(polars.String).to_list() == expected["predict"].tolist()
    assert answers.to_series(1).to_list() == expected.iloc[:, 1].tolist()
    with pytest.raises(stemson.InputError, match="collect"):
        gbm.predict(data.lazy())


def test_pyarrow_kinds(gbm, frame, expected):
    table = pyarrow.Table.from_pandas(frame)
    assert isinstance(gbm.predict(table), pyarrow.Table)
    batch = gbm.predict(table.to_batches()[0])
    assert isinstance(batch, pyarrow.RecordBatch)
    assert batch.column(1).to_pylist() == expected.iloc[:, 1].tolist()
    chunked = pyarrow.concat_tables([table.slice(0, 7), table.slice(7)])
    assert gbm.predict(chunked).column(1).to_pylist() == expected.iloc[:, 1].tolist()

    class Stream:
        def __arrow_c_stream__(self, requested_schema=None):
            return table.__arrow_c_stream__(requested_schema)

    assert gbm.predict(Stream()).equals(gbm.predict(table))


def test_threads_change_nothing(gbm, frame):
    big = pandas.concat([frame] * 60, ignore_index=True)
    one = gbm.predict(big, threads=1, contributions=True, leaf_assignment="ids", staged=True)
    many = gbm.predict(big, threads=4, contributions=True, leaf_assignment="ids", staged=True)
    pandas.testing.assert_frame_equal(one, many)
    assert list(one) == gbm.output_names(contributions=True, leaf_assignment="ids", staged=True)


def test_more_rows_than_a_thread_takes(gbm, frame, expected):
    """Several threads, each with several pieces, and a last piece that is not whole."""
    times = 12_500 // len(frame) + 1
    big = pandas.concat([frame] * times, ignore_index=True)
    answers = pandas.concat([expected] * times, ignore_index=True)
    assert len(big) > 12_000
    pandas.testing.assert_frame_equal(gbm.predict(big), answers)
    pandas.testing.assert_frame_equal(gbm.predict(big, threads=3), answers)
    found = gbm.predict(pyarrow.Table.from_pandas(big), threads=3)
    assert found["no"].to_pylist() == answers["no"].tolist()


def test_empty_frames(gbm, frame):
    answers = gbm.predict(frame.iloc[:0])
    assert len(answers) == 0 and list(answers) == ["predict", "no", "yes"]
    assert gbm.predict([]) == []
    with pytest.raises(stemson.InputError, match="no column is the model's"):
        gbm.predict(pandas.DataFrame())
    assert gbm.predict(polars.from_pandas(frame.iloc[:0])).shape == (0, 3)


def test_missing_columns(gbm, frame):
    bare = frame.drop(columns=["n03", "c1"])
    with pytest.warns(stemson.MissingColumnsWarning, match="`n03`, `c1`"):
        gbm.predict(bare)
    with pytest.raises(stemson.MissingColumnsError) as caught:
        gbm.predict(bare, strict=True)
    assert list(caught.value.columns) == ["n03", "c1"]


WRONG = {
    "no column of the model": (lambda f: f[[]].assign(a=1), stemson.InputError, None),
    "duplicate columns": (
        lambda f: pandas.concat([f, f[["n00"]]], axis=1),
        stemson.DuplicateColumnError,
        "n00",
    ),
    "lists": (lambda f: f.assign(n00=[[1, 2]] * len(f)), stemson.ColumnTypeError, "n00"),
    "dicts": (lambda f: f.assign(n00=[{"a": 1}] * len(f)), stemson.ColumnTypeError, "n00"),
    "huge integers": (
        # Not every pandas makes objects of them by itself.
        lambda f: f.assign(n00=pandas.Series([10**400] * len(f), dtype=object)),
        stemson.ColumnTypeError,
        "n00",
    ),
    "complex": (lambda f: f.assign(n00=1j), stemson.ColumnTypeError, "n00"),
    "durations": (
        lambda f: f.assign(n00=pandas.to_timedelta([1] * len(f), "s")),
        stemson.ColumnTypeError,
        "n00",
    ),
    "times for a category": (
        lambda f: f.assign(c0=pandas.Timestamp("2024-01-01", tz="UTC")),
        stemson.ColumnTypeError,
        "c0",
    ),
    "times among objects for a category": (
        lambda f: f.assign(c0=[*f["c0"][1:], datetime.datetime(2024, 1, 31)]),
        stemson.ColumnTypeError,
        "c0",
    ),
    "days in rows for a category": (
        lambda f: [{"c0": datetime.date(2024, 1, 31)}],
        stemson.ColumnTypeError,
        "c0",
    ),
    "bytes": (lambda f: f.assign(c0=[b"a"] * len(f)), stemson.ColumnTypeError, "c0"),
    "intervals": (
        lambda f: f.assign(n00=pandas.arrays.IntervalArray.from_breaks(range(len(f) + 1))),
        stemson.ColumnTypeError,
        "n00",
    ),
    "intervals as categories": (
        lambda f: f.assign(c0=pandas.cut(pandas.Series(range(len(f))), 3)),
        stemson.ColumnTypeError,
        "c0",
    ),
    "decimals that signal": (
        lambda f: f.assign(n00=[decimal.Decimal("sNaN")] * len(f)),
        stemson.ColumnTypeError,
        "n00",
    ),
    "arrays in cells": (
        lambda f: f.assign(n00=[numpy.ones(1)] * len(f)),
        stemson.ColumnTypeError,
        "n00",
    ),
    "times of a day": (
        lambda f: f.assign(n00=[datetime.time(1)] * len(f)),
        stemson.ColumnTypeError,
        "n00",
    ),
    "bytes of numpy": (
        lambda f: {"c0": numpy.array([b"a"])},
        stemson.ColumnTypeError,
        "c0",
    ),
    "objects of polars": (
        lambda f: polars.DataFrame({"n00": polars.Series([{1}], dtype=polars.Object)}),
        stemson.ColumnTypeError,
        "n00",
    ),
    "a dict for a column": (lambda f: {"n00": {"a": 1}}, stemson.InputError, "n00"),
    "a set for a column": (lambda f: {"n00": {1, 2}}, stemson.InputError, "n00"),
    "an array of no dimensions": (lambda f: {"n00": numpy.array(1)}, stemson.InputError, "n00"),
    "two levels of columns": (
        lambda f: pandas.concat({"x": f}, axis=1),
        stemson.InputError,
        None,
    ),
    "a generator": (lambda f: (row for row in [{}]), stemson.InputError, None),
    "nothing at all": (lambda f: None, stemson.InputError, None),
    "a column of Arrow": (
        lambda f: pyarrow.Table.from_pandas(f)["n00"],
        stemson.InputError,
        None,
    ),
    "nested arrow": (
        lambda f: pyarrow.Table.from_pandas(f).set_column(
            0, "n00", pyarrow.array([[1.0]] * len(f))
        ),
        stemson.ColumnTypeError,
        "n00",
    ),
    "ragged dict": (lambda f: {"n00": [1, 2], "n01": [1]}, stemson.InputError, "n01"),
    "scalars": (lambda f: {"n00": 1.0}, stemson.InputError, "n00"),
    "text": (lambda f: "n00", stemson.InputError, None),
    "rows that are no dicts": (lambda f: [1, 2], stemson.InputError, None),
    "three dimensions": (lambda f: numpy.zeros((2, 3, 4)), stemson.InputError, None),
    "too few columns": (lambda f: numpy.zeros((2, 3)), stemson.InputError, None),
}


@pytest.mark.parametrize("what", WRONG)
def test_what_is_wrong_is_said(gbm, frame, what):
    make, error, column = WRONG[what]
    data = make(frame)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with pytest.raises(error) as caught:
            gbm.predict(data)
    assert caught.value.column == column
    assert column is None or f"`{column}`" in str(caught.value)
    assert isinstance(caught.value, ValueError)


def test_what_the_model_does_not_have(gbm, frame):
    with pytest.raises(stemson.NotOfferedError, match="distances"):
        gbm.predict(frame, distances=True)
    with pytest.raises(ValueError, match="'paths' or 'ids'"):
        gbm.predict(frame, leaf_assignment="leaves")


def test_strict_rows(gbm, frame):
    odd = frame.assign(c0=["no such level", *frame["c0"][1:]])
    answers = gbm.predict(odd, strict=True)
    assert "no such level" in answers["error"][0] and answers["predict"].isna()[0]
    assert answers["error"][1:].isna().all() and answers["predict"][1:].notna().all()
    assert "error" not in gbm.predict(odd)


def test_a_date_is_a_number(gbm, gbm_rows):
    day = datetime.date(2024, 5, 17)
    midnight = datetime.datetime(2024, 5, 17, tzinfo=datetime.timezone.utc)
    answers = [
        gbm.predict_row(dict(gbm_rows[0], n00=value))
        for value in (day, midnight, midnight.timestamp() * 1_000)
    ]
    assert answers[0] == answers[1] == answers[2]


def columns_of_every_library(frame):
    """The frame as everything that `predict` takes."""
    table = pyarrow.Table.from_pandas(frame)
    return [
        frame,
        polars.from_pandas(frame),
        table,
        table.to_batches()[0],
        frame.to_records(index=False),
        frame.to_dict("records"),
        {column: frame[column] for column in frame},
    ]


@pytest.mark.filterwarnings("ignore::stemson.MissingColumnsWarning")
def test_another_name_of_the_offset():
    model = stemson.load(CORPUS / "gbm_bernoulli_offset/model.zip")
    (offset,) = [column.name for column in model.schema if column.role == "offset"]
    frame = pandas.DataFrame({"x1": [0.5, 1.5, 2.5], offset: [0.25, -1.5, 3.0]})
    expected = model.predict(frame)["p1" if "p1" in model.output_names() else model.labels[1]]
    assert expected.tolist() != model.predict(frame[["x1"]])[expected.name].tolist()
    for data in columns_of_every_library(frame.rename(columns={offset: "mine"})):
        answers = model.predict(data, offset_column="mine")
        found = [a[expected.name] for a in answers] if isinstance(answers, list) else answers[expected.name]
        found = found.to_pylist() if hasattr(found, "to_pylist") else list(found)
        assert found == expected.tolist(), type(data)
    with pytest.raises(stemson.InputError, match="`mine`"):
        model.predict(frame, offset_column="mine")


def test_nothing_but_nothing(gbm, frame):
    nothing = [None] * len(frame)
    expected = gbm.predict(frame.assign(c0=nothing)).iloc[:, 1].tolist()
    table = pyarrow.Table.from_pandas(frame)
    place = table.schema.get_field_index("c0")
    data = polars.from_pandas(frame)
    for one in (
        frame.assign(c0=pandas.Categorical(nothing)),
        table.set_column(place, "c0", pyarrow.array(nothing, pyarrow.string()).dictionary_encode()),
        table.set_column(place, "c0", pyarrow.nulls(len(frame))),
        data.with_columns(polars.Series("c0", nothing, polars.Categorical)),
        data.with_columns(polars.Series("c0", nothing, polars.Enum([]))),
        data.with_columns(polars.Series("c0", nothing, polars.Null)),
    ):
        answers = gbm.predict(one)
        column = answers.iloc[:, 1].tolist() if isinstance(answers, pandas.DataFrame) else (
            answers[answers.columns[1]].to_list() if isinstance(answers, polars.DataFrame)
            else answers.column(1).to_pylist()
        )
        assert column == expected
    columns = {name: frame[name] for name in frame}
    for nothing in (
        polars.Series("c0", nothing, polars.Categorical),
        polars.Series("c0", nothing, polars.Null),
        pyarrow.nulls(len(frame)),
    ):
        assert gbm.predict({**columns, "c0": nothing})["no"].tolist() == expected


def test_arrow_columns_of_a_dict(gbm, frame, expected):
    texts = pyarrow.array(frame["c0"], pyarrow.string())
    numbers = pyarrow.array(pandas.to_numeric(frame["n00"]), from_pandas=True)
    unsigned = pyarrow.DictionaryArray.from_arrays(
        texts.dictionary_encode().indices.cast("uint32"), texts.dictionary_encode().dictionary
    )
    columns = {name: frame[name] for name in frame}
    for c0 in (
        texts,
        texts.cast("large_string"),
        texts.cast("string_view"),
        texts.dictionary_encode(),
        unsigned,
        pyarrow.chunked_array([unsigned.slice(0, 7), unsigned.slice(7)]),
        polars.Series(frame["c0"].tolist(), dtype=polars.Categorical),
        polars.Series(frame["c0"].tolist()),
        pandas.Series(pandas.arrays.ArrowExtensionArray(unsigned)),
    ):
        answers = gbm.predict({**columns, "c0": c0, "n00": numbers})
        assert answers["no"].tolist() == expected["no"].tolist(), c0.dtype if hasattr(c0, "dtype") else c0.type
        answers["no"][0] = 0.5
    holes = pyarrow.array([None, 1] * (len(frame) // 2), pyarrow.int64())
    times = pyarrow.array([None, 1] * (len(frame) // 2), pyarrow.timestamp("ms", "UTC"))
    plain = gbm.predict({**columns, "n00": [None, 1] * (len(frame) // 2)})
    for n00 in (holes, times, pyarrow.chunked_array([holes])):
        assert gbm.predict({**columns, "n00": n00})["no"].tolist() == plain["no"].tolist()
    flags = [True, None] * (len(frame) // 2)
    plain = gbm.predict({**columns, "c0": flags})
    assert gbm.predict({**columns, "c0": pyarrow.array(flags)})["no"].tolist() == plain["no"].tolist()


def text_of(kind, bytes_of, *buffers):
    """An array of text whose buffers nobody has looked at."""
    buffers = [None, *(pyarrow.py_buffer(numpy.asarray(it)) for it in buffers), pyarrow.py_buffer(bytes_of)]
    return pyarrow.Array.from_buffers(kind, 2, buffers)


BROKEN = {
    "no UTF-8": text_of(pyarrow.string(), b"\xff" * 2, numpy.arange(3, dtype="i4")),
    "long and no UTF-8": text_of(pyarrow.string(), b"\xff" * 40, numpy.array([0, 20, 40], "i4")),
    "text that ends before it begins": text_of(pyarrow.string(), b"abc", numpy.array([0, 3, 1], "i4")),
    "text before its buffer": text_of(pyarrow.string(), b"abc", numpy.array([0, -2, 3], "i4")),
    "views out of their buffer": text_of(
        pyarrow.string_view(), b"abc", numpy.array([[20, 0, 0, 0], [20, 0, 7, 0]], "i4")
    ),
    "keys beyond the dictionary": pyarrow.DictionaryArray.from_arrays(
        pyarrow.array([0, 7], "int32"), pyarrow.array(["a"]), safe=False
    ),
    "keys before the dictionary": pyarrow.DictionaryArray.from_arrays(
        pyarrow.array([0, -1], "int8"), pyarrow.array(["a"]), safe=False
    ),
    "a dictionary of no UTF-8": pyarrow.DictionaryArray.from_arrays(
        pyarrow.array([0, 1], "int8"),
        text_of(pyarrow.string(), b"\xff" * 2, numpy.arange(3, dtype="i4")),
        safe=False,
    ),
}


@pytest.mark.parametrize("what", BROKEN)
def test_broken_promises_of_arrow_are_errors(gbm, frame, what):
    table = pyarrow.Table.from_pandas(frame.iloc[:2])
    place = table.schema.get_field_index("c0")
    with pytest.raises(stemson.InputError, match="column `c0`"):
        gbm.predict(table.set_column(place, "c0", BROKEN[what]))
    # What nobody reads may be what it is.
    gbm.predict(table.append_column("stranger", BROKEN[what]))


def test_pieces_of_columns_end_where_they_like(gbm, frame, expected):
    def cut(name, ends):
        array = pyarrow.array(numeric(frame)[name])
        cuts = zip([0, *ends], [*ends, len(array)])
        pieces = pyarrow.chunked_array([array.slice(a, b - a) for a, b in cuts], array.type)
        return pandas.Series(pandas.arrays.ArrowExtensionArray(pieces))

    pieces = {"n00": cut("n00", [3, 3, 11]), "n01": cut("n01", [0, 7]), "c0": cut("c0", [7, 100])}
    pandas.testing.assert_frame_equal(gbm.predict(frame.assign(**pieces)), expected)
    none = pandas.Series(pandas.arrays.ArrowExtensionArray(pyarrow.chunked_array([], "double")))
    assert len(gbm.predict(frame.iloc[:0].assign(n00=none))) == 0


def test_a_column_or_a_row_is_no_frame(gbm, frame):
    for data in (frame["n00"], frame.iloc[0], polars.Series([1.0]), pyarrow.array([1.0])):
        with pytest.raises(stemson.InputError):
            gbm.predict(data)


def test_no_rows_lack_no_column(gbm):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert gbm.predict([]) == gbm.predict([], strict=True) == []


def test_periods_are_no_numbers(gbm, frame):
    periods = pandas.Series(pandas.period_range("2024-01", periods=len(frame), freq="M"))
    with pytest.raises(stemson.ColumnTypeError, match="to_timestamp"):
        gbm.predict(frame.assign(n00=periods))


@pytest.mark.filterwarnings("ignore::stemson.MissingColumnsWarning")
def test_times_keep_their_fraction():
    """Rows, lists and frames read the same number, of which a GLM sees every digit."""
    model = stemson.load(CORPUS / "glm_gaussian/model.zip")
    assert model.predict_row({"x1": 1.7e12}) != model.predict_row({"x1": 1.7e12 + 0.25})
    time = pandas.Timestamp("2024-01-31 12:30:00.123456789")
    for value, number in [
        (time, 1706704200123.456789),
        (time.to_pydatetime(warn=False), 1706704200123.456),
        (time.tz_localize("UTC").tz_convert("Asia/Tokyo"), 1706704200123.456789),
        (numpy.datetime64("2024-01-31T12:30:00.123456"), 1706704200123.456),
        (numpy.datetime64("2024-01-31T12:30:00.123456789"), 1706704200123.456789),
        (numpy.datetime64("1969-12-31T23:59:59.999"), -1.0),
        (datetime.datetime(1969, 12, 31, 23, 59, 59, 999_500), -0.5),
        (datetime.datetime(2024, 1, 31), 1706659200000.0),
    ]:
        expected = model.predict_row({"x1": number})
        assert model.predict_row({"x1": value}) == expected, repr(value)
        assert model.predict([{"x1": value}]) == [expected], repr(value)
        column = pandas.Series([value]) if isinstance(value, datetime.datetime) else numpy.array([value])
        assert model.predict({"x1": column})["predict"][0] == expected["predict"], repr(value)
    nothing = numpy.datetime64("NaT")
    assert model.predict_row({"x1": nothing}) == model.predict_row({"x1": None})


@pytest.mark.parametrize("threads", [-1, 0])
def test_threads_that_cannot_be(gbm, frame, threads):
    with pytest.raises(ValueError, match=f"threads is {threads}, expected 1 or more"):
        gbm.predict(frame, threads=threads)


def test_many_threads(gbm, frame, expected):
    pandas.testing.assert_frame_equal(gbm.predict(frame, threads=2**60), expected)
