"""pandas' own ways to columns and frames, and the public ones where a version has not got them."""

import numpy
import pandas
import pytest

import stemson
from stemson import _frames


@pytest.fixture
def frame(gbm_rows):
    """All kinds of columns, strangers among them."""
    frame = pandas.DataFrame(gbm_rows)
    numbers = {name: pandas.to_numeric(frame[name]) for name in frame if name.startswith("n")}
    frame = frame.assign(**numbers).assign(
        # Nothing in whole numbers is whole all the same.
        n01=numbers["n01"].fillna(0).astype("int32"),
        n02=numbers["n02"].round().astype("Int64"),
        n04=numbers["n04"].astype("float32"),
        n05=numbers["n05"].astype(object),
        n06=pandas.date_range("2024-01-01", periods=len(frame), freq="h"),
        c0=frame["c0"].astype("category"),
        c1=frame["c1"].astype(object),
        stranger=1.5,
        other="x",
    )
    # One array for all columns of a type, in which strangers stand.
    return frame[sorted(frame)].copy()


def without(patch, ways):
    """Takes from pandas what is not public."""
    for way in ways:
        if way == "_mgr":
            patch.setattr(_frames, "_blocks", lambda source, frame, names: range(len(names)))
        else:
            patch.delattr(pandas.DataFrame, way)


WAYS = ["_mgr", "_get_column_array", "_from_arrays"]


@pytest.mark.parametrize("ways", [[way] for way in WAYS] + [WAYS], ids=" ".join)
@pytest.mark.parametrize("strict", [False, True])
def test_answers_are_the_same_without(gbm, frame, monkeypatch, ways, strict):
    frame = frame.set_index(pandas.Index([f"r{i}" for i in range(len(frame))], name="id"))
    # Rows that are refused under `strict`: nothing stands beside text.
    frame["c2"] = frame["c2"].where(numpy.arange(len(frame)) % 4 > 0, "no such level")
    if not strict:
        # Booleans are no numbers.
        frame = frame.assign(n07=frame["n07"] > 0, n08=frame["n08"] > 0)
    for data in (frame, frame.iloc[:0], frame.iloc[::3], pandas.concat([frame] * 25)):
        expected = gbm.predict(data, strict=strict)
        with monkeypatch.context() as patch:
            without(patch, ways)
            found = gbm.predict(data, strict=strict)
        refused = found["predict"].isna()
        assert refused.tolist() == [strict and text == "no such level" for text in data["c2"]]
        pandas.testing.assert_frame_equal(found, expected)
        assert found.index.equals(data.index) and found.index.name == "id"
        plain = {name: column.to_numpy() for name, column in found.items()}
        # What pandas itself makes of the same.
        made = pandas.DataFrame(plain, index=data.index)
        pandas.testing.assert_series_equal(made.dtypes, found.dtypes)


def test_columns_that_are_not_shown_are_read_one_by_one(gbm, frame):
    source, names = gbm._native.frame(len(frame)), list(frame)
    assert list(_frames._blocks(source, object(), names)) == list(range(len(names)))


def test_columns_in_one_array_are_their_values(frame):
    """In whatever order they lie in it."""
    model = stemson.load(_bench("gbm100d6_num"))
    numbers = numpy.random.default_rng(1).normal(size=(50, len(model.columns)))
    numbers[::7, 3] = numpy.nan
    expected = model.predict(pandas.DataFrame(numbers, columns=model.columns))
    together = pandas.DataFrame(numbers, columns=model.columns)
    apart = pandas.DataFrame({name: numbers[:, i].copy() for i, name in enumerate(model.columns)})
    backwards = together[together.columns[::-1]]
    between = pandas.DataFrame(
        numpy.repeat(numbers, 2, axis=1),
        columns=[name for column in model.columns for name in (column, f"not {column}")],
    )
    for data in (together, apart, backwards, between, together.iloc[:, :].copy(), together[::-1]):
        found = model.predict(data).sort_index()
        pandas.testing.assert_frame_equal(found, expected)
    by_row = [model.predict_row(row)["yes"] for row in together.to_dict("records")]
    assert by_row == expected["yes"].tolist()


def _bench(name):
    from corpus import BENCH

    return BENCH / name / "model.zip"


def test_answers_share_nothing(gbm, frame):
    first, second = gbm.predict(frame), gbm.predict(frame)
    expected = second.copy()
    first.columns.name = "answers"
    first.loc[:, "yes"] = 0.0
    first.iloc[0, 0] = "no"
    first.index.name = "id"
    pandas.testing.assert_frame_equal(second, expected)
    assert second.columns.name is None
    assert gbm.predict(frame).columns.name is None and frame.index.name is None
    rows = pandas.MultiIndex.from_product([["a", "b"], range(len(frame) // 2)])
    assert gbm.predict(frame.set_index(rows)).index.equals(rows)


@pytest.mark.parametrize("rows", [100, 5_000])
def test_nothing_at_all_is_no_text(gbm, frame, rows):
    import pyarrow  # noqa: F401  It makes the text of many rows.

    refused = pandas.concat([frame] * (rows // len(frame) + 1)).assign(c2="no such level")
    answers = gbm.predict(refused, strict=True)
    assert answers["predict"].isna().all() and answers["predict"].dtype == object
    assert answers["error"].str.contains("no such level").all()


def test_texts_beyond_those_that_are_kept_in_mind(gbm, frame):
    """So many that they are not looked for among those before: the same answers."""
    rows = 80_000
    texts = [f"text {i % 40_000}" for i in range(rows)]
    levels = [column.levels for column in gbm.schema if column.name == "c0"][0]
    texts[::5] = [levels[i % len(levels)] for i in range(len(texts[::5]))]
    column = pandas.Series(texts, dtype=object)
    # Equal texts, other objects.
    column = column.map(lambda text: text[:1] + text[1:])
    data = pandas.DataFrame({"c0": column, "n00": numpy.arange(rows) % 7 - 3.0})
    with pytest.warns(stemson.MissingColumnsWarning):
        found = gbm.predict(data)
        expected = gbm.predict(data.astype({"c0": "category"}))
    pandas.testing.assert_frame_equal(found, expected)
    assert found["yes"].nunique() > 5
