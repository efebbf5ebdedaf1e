"""Beside h2o-py itself, with its Java: the same frames in, the same columns out."""

import os
import shutil
import subprocess

import h2o
import numpy
import pandas
import pytest
from corpus import BENCH, CORPUS, Case

import stemson
import stemson.h2o

CASES = """gbm_bernoulli gbm_multi gbm_gaussian gbm_enc_eigen gbm_bernoulli_offset drf_bin drf_multi
drf_regression glm_binomial glm_gaussian glm_multinomial glm_ordinal dl_rectifier dl_tanh_multi
dl_autoencoder isofor isofor_flag extisofor kmeans_mixed xgb_bernoulli xgb_multi rulefit_binomial
se_binomial isotonic coxph_plain pca_standardize gam_cs""".split()


def jar():
    return os.path.join(os.path.dirname(h2o.__file__), "backend/bin/h2o.jar")


@pytest.mark.parametrize("name", CASES)
def test_the_same_frame(name):
    folder = CORPUS / name
    case = Case(folder)
    # A backslash is an escape there, and a letter here.
    frame = pandas.DataFrame(case.columns(), dtype=object).replace({"back\\slash": None}).head(50)
    path = str(folder / "model.zip")
    try:
        theirs = h2o.mojo_predict_pandas(frame, path, genmodel_jar_path=jar(), setInvNumNA=True)
    except subprocess.CalledProcessError:
        # A row that the algorithm refuses ends the whole run there, and so it does here.
        with pytest.raises(stemson.RowRefusedError):
            stemson.h2o.mojo_predict_pandas(frame, path, setInvNumNA=True)
        return
    ours = stemson.h2o.mojo_predict_pandas(frame, path, setInvNumNA=True)
    assert list(ours.columns) == list(theirs.columns)
    assert ours.dtypes.astype(str).tolist() == theirs.dtypes.astype(str).tolist()
    for name in ours:
        if ours[name].dtype.kind == "f":
            numpy.testing.assert_allclose(ours[name], theirs[name], rtol=1e-12, atol=1e-15)
        else:
            assert ours[name].tolist() == theirs[name].tolist()


ODD = {
    "empty text": {"c3": ["", "red"], "x1": ["", "1.5"]},
    "booleans": {"c3": [True, False]},
    "numbers for levels": {"c3": [1.0, 2.0]},
    "times for numbers": {"x1": pandas.to_datetime(["2024-01-31", "2024-02-01"])},
    "words for nothing": {"c3": ["NA", "-"], "x1": ["N/A", "2"]},
    "no column of the model": {"stranger": [1, 2]},
    "a label that is no text": {0: [1, 2], "x1": [0.5, 1.5]},
}


@pytest.mark.parametrize("what", [*ODD, "a named index"])
def test_frames_that_are_odd(what):
    path = str(CORPUS / "gbm_bernoulli/model.zip")
    if what == "a named index":
        frame = pandas.DataFrame({"c3": ["red", "blue"]}, index=pandas.Index([-3.5, 3.5], name="x1"))
    else:
        frame = pandas.DataFrame(ODD[what])
    theirs = h2o.mojo_predict_pandas(frame, path, genmodel_jar_path=jar(), setInvNumNA=True)
    ours = stemson.h2o.mojo_predict_pandas(frame, path, setInvNumNA=True)
    pandas.testing.assert_frame_equal(ours, theirs, rtol=1e-12)


@pytest.mark.parametrize("name", ["kmeans_mixed", "gbm_bernoulli", "isofor_flag", "glm_gaussian"])
def test_the_text_of_a_csv(name, tmp_path):
    """All of it, numbers as Java writes them."""
    path = str(CORPUS / name / "model.zip")
    page = tmp_path / "rows.csv"
    frame = pandas.DataFrame({"x1": [0.5, 1e-9, 1e9, None], "c3": ["red", "blue", "?", None]})
    frame.to_csv(page, index=False)
    texts = []
    for score, extra in (
        (h2o.mojo_predict_csv, {"genmodel_jar_path": jar()}),
        (stemson.h2o.mojo_predict_csv, {}),
    ):
        out = tmp_path / "out.csv"
        score(str(page), path, str(out), setInvNumNA=True, **extra)
        texts.append(out.read_text())
    assert texts[0] == texts[1]


def test_contributions():
    frame = pandas.read_csv(BENCH / "gbm100d6/input.csv").head(20)
    path = str(BENCH / "gbm100d6/model.zip")
    theirs = h2o.mojo_predict_pandas(
        frame, path, genmodel_jar_path=jar(), predict_contributions=True
    )
    ours = stemson.h2o.mojo_predict_pandas(frame, path, predict_contributions=True)
    assert list(ours.columns) == list(theirs.columns)
    numpy.testing.assert_allclose(ours, theirs, rtol=1e-6)


def test_csv(tmp_path):
    frame = pandas.read_csv(BENCH / "gbm100d6/input.csv").head(50)
    page = str(tmp_path / "rows.csv")
    frame.to_csv(page, index=False)
    # Both write beside the model where nothing else is said.
    path = shutil.copy(BENCH / "gbm100d6/model.zip", tmp_path)
    theirs = h2o.mojo_predict_csv(page, path, genmodel_jar_path=jar())
    ours = stemson.h2o.mojo_predict_csv(page, path)
    assert [list(row) for row in ours] == [list(row) for row in theirs]
    for one, other in zip(ours, theirs):
        assert one["predict"] == other["predict"]
        assert float(one["yes"]) == pytest.approx(float(other["yes"]), rel=1e-14)


def test_the_time_of_one_row(capsys):
    """The ratio is printed: processor time of this process and of its children."""
    frame = pandas.read_csv(BENCH / "gbm100d6/input.csv").head(1)
    path = str(BENCH / "gbm100d6/model.zip")
    model = stemson.load(path)
    row = frame.iloc[0].to_dict()

    def cost(call, times):
        before = os.times()
        for _ in range(times):
            call()
        after = os.times()
        return (sum(after[:4]) - sum(before[:4])) / times

    theirs = min(
        cost(lambda: h2o.mojo_predict_pandas(frame, path, genmodel_jar_path=jar()), 1)
        for _ in range(3)
    )
    ours = min(cost(lambda: model.predict_row(row), 20_000) for _ in range(3))
    with capsys.disabled():
        print(f"\none row: h2o {theirs:.3f} s, predict_row {ours * 1e6:.2f} us, {theirs / ours:,.0f}x")
    assert ours < theirs
