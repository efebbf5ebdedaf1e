"""The model as an object: what it says of itself, rows, processes, threads, async."""

import asyncio
import datetime
import gc
import io
import os
import pickle
import resource
import shutil
import subprocess
import sys
import sysconfig
import threading
import time
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context

import pandas
import pytest
from corpus import BENCH

import stemson

PATH = BENCH / "gbm100d6/model.zip"


def test_what_it_is(gbm):
    assert repr(gbm).startswith("<stemson.Model gbm Binomial of y_bin: 40 columns, 100 trees, ")
    assert gbm.columns[0] == "n00" and len(gbm.columns) == 40
    column = gbm.schema[30]
    assert column.kind == "categorical" and column.levels and column.role == "feature"
    assert gbm.labels == ["no", "yes"] and gbm.response == "y_bin"
    assert gbm.info["offers"]["contributions"] and not gbm.info["offers"]["distances"]
    assert 0 < gbm.default_threshold < 1


def test_models_with_and_without_quirks_are_two(gbm):
    quirky = stemson.load(PATH, genmodel_quirks=True)
    assert quirky != gbm == stemson.load(PATH)
    assert stemson.__version__.count(".") == 2


def test_what_is_wrong_with_a_file_says_why(gbm, tmp_path):
    with pytest.raises(stemson.InputError, match="No such file"):
        gbm._native.predict_csv("no/such.csv", str(tmp_path / "out.csv"))


def test_ways_to_load(gbm):
    artifact = PATH.read_bytes()
    for source in (str(PATH), PATH, artifact, bytearray(artifact), io.BytesIO(artifact), open(PATH, "rb")):
        assert stemson.load(source) == gbm
    with pytest.raises(FileNotFoundError):
        stemson.load("no/such/model.zip")
    with pytest.raises(TypeError, match="'rb'"):
        stemson.load(io.StringIO("text"))


@pytest.mark.parametrize(
    "artifact, kind",
    [(b"", "empty"), (b"class Model {}", "not_zip"), (PATH.read_bytes()[:-100], None)],
)
def test_what_is_no_model(artifact, kind):
    with pytest.raises(stemson.LoadError) as caught:
        stemson.load(artifact)
    assert isinstance(caught.value, stemson.StemsonError) and caught.value.kind
    assert kind is None or caught.value.kind == kind


def test_one_row(gbm, gbm_rows):
    answer = gbm.predict_row(gbm_rows[0])
    assert list(answer) == ["predict", "no", "yes"] and answer["no"] + answer["yes"] == pytest.approx(1)
    assert answer == gbm.predict(gbm_rows[:1])[0]
    explained = gbm.predict_row(gbm_rows[0], contributions=True, leaf_assignment="paths")
    assert {k: explained[k] for k in answer} == answer
    assert "BiasTerm" in explained and set("LR") >= set(explained["leaf_T1.C1"])
    assert gbm.predict_row(pandas.Series(gbm_rows[0])) == answer
    with pytest.raises(stemson.RowRefusedError) as caught:
        gbm.predict_row(dict(gbm_rows[0], c0="?"), strict=True)
    assert (caught.value.kind, caught.value.column) == ("unknown_level", "c0")
    with pytest.raises(stemson.InputError, match="no column of the model"):
        gbm.predict_row({"a": 1})
    with pytest.raises(stemson.ColumnTypeError, match="`c0`: a time; .* is categorical"):
        gbm.predict_row({"c0": datetime.date(2024, 1, 31)})
    with pytest.raises(stemson.InputError, match="mapping"):
        gbm.predict_row([1, 2])


def test_errors_survive_the_way_between_processes():
    error = stemson.RowRefusedError("bad", kind="unknown_level", column="c0")
    back = pickle.loads(pickle.dumps(error))
    assert (type(back), str(back), back.kind, back.column) == (
        stemson.RowRefusedError, "bad", "unknown_level", "c0",
    )


def test_pickles(gbm, gbm_rows, tmp_path):
    path = tmp_path / "m.zip"
    shutil.copyfile(PATH, path)
    model = stemson.load(path)
    by_bytes, by_path = pickle.dumps(model), pickle.dumps(model.by_path())
    assert len(by_path) < 1_000 < len(by_bytes)
    for text in (by_bytes, by_path, pickle.dumps(stemson.load(path.read_bytes()))):
        assert pickle.loads(text).predict_row(gbm_rows[0]) == gbm.predict_row(gbm_rows[0])
    path.write_bytes((BENCH / "glm1000/model.zip").read_bytes())
    with pytest.raises(stemson.StemsonError, match="has changed"):
        pickle.loads(by_path)
    with pytest.raises(stemson.StemsonError, match="has changed"):
        pickle.dumps(model)
    with pytest.raises(ValueError, match="no path"):
        stemson.load(b"" + PATH.read_bytes()).by_path()


@pytest.mark.parametrize("method", ["spawn", "fork"])
def test_worker_processes(gbm, gbm_rows, method):
    with ProcessPoolExecutor(2, mp_context=get_context(method)) as pool:
        answers = list(pool.map(gbm.predict_row, gbm_rows[:8]))
    assert answers == [gbm.predict_row(row) for row in gbm_rows[:8]]


def test_threads_share_a_model(gbm, gbm_rows):
    frame = pandas.DataFrame(gbm_rows)
    expected = gbm.predict(frame)
    with ThreadPoolExecutor(8) as pool:
        for answers in pool.map(lambda _: gbm.predict(frame), range(64)):
            pandas.testing.assert_frame_equal(answers, expected)
        rows = list(pool.map(gbm.predict_row, gbm_rows * 4))
    assert rows == [gbm.predict_row(row) for row in gbm_rows] * 4


def test_the_interpreter_is_free_while_a_frame_is_scored(gbm, gbm_rows):
    """Another thread goes on meanwhile: it counts, and would not count if it had to wait."""
    frame = pandas.DataFrame(gbm_rows * 200)
    data = gbm._native.frame(len(frame))
    from stemson._frames import _values

    for name in gbm.columns:
        _values(data, name, frame[name].array)
    counted, done = [], threading.Event()

    def count():
        while not done.is_set():
            counted.append(None)
            time.sleep(0)

    thread = threading.Thread(target=count)
    thread.start()
    while not counted:
        time.sleep(0)
    before = len(counted)
    gbm._native.predict(data, threads=1)
    during = len(counted) - before
    done.set()
    thread.join()
    assert during > 10


def test_a_long_column_leaves_turns_to_other_threads(gbm):
    """The interpreter's own switching is off: who waits goes on only where it is left to him."""
    objects = [float(place) for place in range(2_000_000)]
    data = gbm._native.frame(len(objects))
    turns, done = [], threading.Event()

    def count():
        while not done.is_set():
            turns.append(None)
            time.sleep(0)

    thread, interval = threading.Thread(target=count), sys.getswitchinterval()
    sys.setswitchinterval(1_000)
    try:
        thread.start()
        while not turns:
            time.sleep(0)
        before = len(turns)
        data.add_objects("n00", objects)
        during = len(turns) - before
    finally:
        done.set()
        sys.setswitchinterval(interval)
        thread.join()
    assert during > 4


@pytest.mark.skipif(not sysconfig.get_config_var("Py_GIL_DISABLED"), reason="there is a global lock")
def test_the_global_lock_stays_away():
    """An interpreter without one takes it back when a library does not say that it needs none."""
    line = "import sys, stemson; sys.exit(sys._is_gil_enabled())"
    subprocess.run([sys.executable, "-W", "error", "-c", line], check=True)


def test_async(gbm, gbm_rows):
    async def many():
        return await asyncio.gather(*(gbm.apredict(gbm_rows[:64]) for _ in range(20)))

    answers = asyncio.run(many())
    assert all(answer == gbm.predict(gbm_rows[:64]) for answer in answers)


def resident():
    gc.collect()
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize()


@pytest.mark.parametrize("many", [pytest.param(1_000_000, marks=pytest.mark.long), 30_000])
def test_nothing_leaks(gbm, gbm_rows, many):
    frame = pandas.DataFrame(gbm_rows)
    artifact = (BENCH / "glm1000/model.zip").read_bytes()

    def use(times):
        for _ in range(times):
            gbm.predict_row(gbm_rows[0])
        for _ in range(times // 1_000):
            gbm.predict(frame)
            stemson.load(artifact)

    use(many // 10)
    before = resident()
    use(many)
    assert resident() - before < 8 << 20


def test_forked_children_can_await(gbm, gbm_rows):
    """The threads of `apredict` do not survive a fork: a child makes its own."""
    asyncio.run(gbm.apredict(gbm_rows[:4]))
    child = os.fork()
    if child == 0:
        answer = asyncio.run(gbm.apredict(gbm_rows[:4]))
        os._exit(0 if len(answer) == 4 else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
