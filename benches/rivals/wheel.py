"""The wheel as Python sees it, for `cargo xtask bench python`: a part of the measurement per call.

    wheel.py row FOREST        one row beside XGBoost and LightGBM: a folder of `forests.py`
    wheel.py h2o MODEL         one row beside h2o.mojo_predict_pandas and its Java
    wheel.py frame KIND MODEL ROWS.f64      a data frame; raw rows in the model's order
    wheel.py loop|threads|leak MODEL        an event loop, eight threads, a million predictions

Prints words and numbers, two on a line. Times are of the processor, in ns, unless they say wall.
"""

import asyncio
import csv
import gc
import os
import sys
import threading
import time
from pathlib import Path

os.environ |= {"OMP_NUM_THREADS": "1"}

import numpy as np

import stemson

ROUNDS = 5


def say(**figures):
    for name, figure in figures.items():
        print(name, figure, flush=True)


def rows_beside(model):
    with open(Path(model).with_name("input.csv"), newline="", encoding="utf-8") as file:
        return [typed(row) for row in csv.DictReader(file)]


def typed(row):
    """Numbers as numbers, as an application has them; nothing where a cell is empty."""
    return {k: v if k.startswith("c") else float(v) for k, v in row.items() if v != ""}


def least(calls, times):
    """Of several functions in turns: the least processor time of each per call."""
    best = [float("inf")] * len(calls)
    for _ in range(ROUNDS):
        for place, call in enumerate(calls):
            start = time.process_time_ns()
            for _ in range(times):
                call()
            best[place] = min(best[place], (time.process_time_ns() - start) / times)
    return best


# ---- one row -------------------------------------------------------------------------------------

def row(folder):
    import lightgbm
    import pandas
    import xgboost
    folder = Path(folder)
    model = stemson.load(folder / "model.zip")
    booster = xgboost.Booster({"nthread": 1}, model_file=folder / "xgboost.json")
    light = lightgbm.Booster(model_file=folder / "lightgbm.txt")
    names = model.columns
    values = np.fromfile(folder / "rows.f64", count=32)
    given = {name: value for name, value in zip(names, values.tolist()) if value == value}
    wide, narrow = values.reshape(1, -1), values.reshape(1, -1).astype(np.float32)
    frame = pandas.DataFrame([given], columns=names)
    ours, theirs = model.predict_row(given)["predict"], light.predict(wide, num_threads=1)[0]
    assert abs(ours - theirs) < 1e-9, (ours, theirs)
    booster.feature_names = None
    calls = {
        "stemson": lambda: model.predict_row(given),
        "stemson_numpy": lambda: model.predict(wide),
        "xgboost": lambda: booster.inplace_predict(narrow),
        "xgboost_matrix": lambda: booster.predict(xgboost.DMatrix(narrow, nthread=1)),
        "lightgbm": lambda: light.predict(wide, num_threads=1),
        "lightgbm_frame": lambda: light.predict(frame, num_threads=1),
    }
    say(**dict(zip(calls, least(list(calls.values()), 300))))


def h2o(model):
    import h2o
    import pandas
    path = str(model)
    jar = os.path.join(os.path.dirname(h2o.__file__), "backend/bin/h2o.jar")
    given = rows_beside(model)[0]
    frame = pandas.DataFrame([given])
    loaded = stemson.load(path)

    def cost(call, times):
        """This process and its children."""
        before = os.times()
        for _ in range(times):
            call()
        return (sum(os.times()[:4]) - sum(before[:4])) / times

    theirs, ours = [], []
    for _ in range(3):
        theirs.append(cost(lambda: h2o.mojo_predict_pandas(frame, path, genmodel_jar_path=jar), 1))
        ours.append(cost(lambda: loaded.predict_row(given), 50_000))
    say(h2o=min(theirs) * 1e9, stemson=min(ours) * 1e9)


# ---- data frames ---------------------------------------------------------------------------------

def columns(model, file):
    """Raw rows as columns: numbers, or the codes of levels with -1 for nothing."""
    raw = np.fromfile(file).reshape(-1, len(model.columns))
    for place, column in enumerate(model.schema):
        values = np.ascontiguousarray(raw[:, place])
        if column.kind == "categorical":
            values = np.where(np.isnan(values), -1, values).astype(np.int32)
        yield column, values


def pandas_series(kind):
    import pandas

    def make(column, codes):
        series = pandas.Series(pandas.Categorical.from_codes(codes, list(column.levels)))
        return series if kind == "category" else series.astype({"object": object, "str": "str"}[kind])
    return make


def arrow_array(kind):
    import pyarrow

    def make(column, codes):
        indices = pyarrow.array(codes, mask=codes < 0)
        array = pyarrow.DictionaryArray.from_arrays(indices, pyarrow.array(list(column.levels)))
        return array if kind == "dictionary" else array.cast(pyarrow.string())
    return make


def build(kind, model, file):
    library, _, text = kind.partition("-")
    make = pandas_series(text) if library == "pandas" else arrow_array(
        "dictionary" if text in ("dictionary", "categorical") else "string")
    made = {
        column.name: make(column, values) if column.kind == "categorical" else values
        for column, values in columns(model, file)
    }
    if library == "pandas":
        import pandas
        return pandas.DataFrame(made)
    import pyarrow
    table = pyarrow.table(made)
    if library == "pyarrow":
        return table
    import polars
    frame = polars.from_arrow(table)
    return frame.rechunk()


def memory(word):
    with open("/proc/self/status") as file:
        line = next(line for line in file if line.startswith(word))
    return int(line.split()[1]) * 1024


def size(answers):
    if hasattr(answers, "estimated_size"):
        return answers.estimated_size()
    if hasattr(answers, "nbytes"):
        return answers.nbytes
    return int(answers.memory_usage(deep=False).sum())


def parts(model, data, **options):
    """The least times of reading, of scoring, and of making the answer."""
    from stemson import _frames
    best = [float("inf")] * 3
    for _ in range(ROUNDS):
        spent = [time.process_time_ns()]
        source, give = _frames.read(model._native, data)
        spent.append(time.process_time_ns())
        answers = model._native.predict(source, **options)
        spent.append(time.process_time_ns())
        given = give(answers)
        spent.append(time.process_time_ns())
        best = [min(b, after - before) for b, before, after in zip(best, spent, spent[1:])]
        del source, give, answers, given
    return best


def frame(kind, path, file):
    model = stemson.load(path)
    data = build(kind, model, file)
    gc.collect()
    # First of all: what an earlier call has left to the allocator would hide the peak.
    model.predict(data[:1000])
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew
    before = memory("VmRSS")
    given = model.predict(data)
    more = memory("VmHWM") - before
    # One thread, as that which scores alone.
    read, native, give = parts(model, data, threads=1)
    say(rows=len(given), read=read, native=native, give=give, peak=more, output=size(given))


# ---- an event loop, threads, leaks ----------------------------------------------------------------

async def lags(seconds, work):
    """How late timers come, in ms, while `work` is started every 10 ms."""
    loop = asyncio.get_running_loop()
    late, tasks, end = [], set(), loop.time() + seconds
    following = loop.time()
    while loop.time() < end:
        when = loop.time() + 0.002
        woken = loop.create_future()
        loop.call_at(when, woken.set_result, None)
        await woken
        late.append((loop.time() - when) * 1e3)
        if work and loop.time() >= following:
            following += 0.01
            tasks.add(asyncio.ensure_future(work()))
    await asyncio.gather(*tasks)
    return np.array(late), len(tasks)


def loop(path):
    import pandas
    model = stemson.load(path)
    rows = rows_beside(path)[:64]
    few = pandas.DataFrame(rows)
    seconds = float(os.environ.get("SECONDS", "6"))

    async def dicts():
        assert len(await model.apredict(rows)) == 64

    async def frames():
        assert len(await model.apredict(few)) == 64

    async def turns():
        late = {"idle": [], "dicts": [], "frames": []}
        requests = 0
        for _ in range(3):
            late["idle"].append((await lags(seconds / 3, None))[0])
            for name, work in (("dicts", dicts), ("frames", frames)):
                await work()
                found, n = await lags(seconds, work)
                late[name].append(found)
                requests += n
        return {name: np.concatenate(found) for name, found in late.items()}, requests

    async def long():
        """While one frame is read that takes a second."""
        task, late = asyncio.ensure_future(model.apredict(large)), []
        while not task.done():
            late.append((await lags(0.05, None))[0])
        await task
        return np.concatenate(late)

    large = pandas.DataFrame(rows_beside(path) * 5_000).astype(object)
    late, requests = asyncio.run(turns())
    late["large"] = np.concatenate([asyncio.run(long()) for _ in range(ROUNDS)])
    say(requests=requests, large_rows=len(large))
    for name, values in late.items():
        for share in (50, 99, 99.9):
            say(**{f"{name}_{share}": float(np.percentile(values, share))})
        say(**{f"{name}_over": 100 * float((values > 1).mean())})
    for name, data in (("dicts", rows), ("frames", few)):
        read, native, give = np.min([parts(model, data, threads=1) for _ in range(20)], axis=0)
        say(**{f"{name}_read": read, f"{name}_native": native, f"{name}_give": give})


def threads(path):
    import pandas
    model = stemson.load(path)
    data = pandas.DataFrame(rows_beside(path) * 100)

    def run(n, calls):
        def work():
            for _ in range(calls // n):
                model.predict(data, threads=1)
        workers = [threading.Thread(target=work) for _ in range(n)]
        start, wall = time.process_time_ns(), time.perf_counter_ns()
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        return time.process_time_ns() - start, time.perf_counter_ns() - wall

    best = {}
    for _ in range(ROUNDS):
        for n in (1, 8):
            spent, wall = run(n, 16)
            old = best.get(n, (spent, wall))
            best[n] = (min(spent, old[0]), min(wall, old[1]))
    say(rows=len(data) * 16, one=best[1][0], eight=best[8][0], one_wall=best[1][1],
        eight_wall=best[8][1], cores=len(os.sched_getaffinity(0)))


def leak(path):
    import pandas
    rows = rows_beside(path)
    model, data, artifact = stemson.load(path), pandas.DataFrame(rows), Path(path).read_bytes()
    times = int(os.environ.get("TIMES", "1000000"))

    def use(times):
        for _ in range(times):
            model.predict_row(rows[0])
        for _ in range(times // 1000):
            model.predict(data)
            stemson.load(artifact)

    use(times // 10)
    gc.collect()
    before = memory("VmRSS")
    use(times)
    gc.collect()
    say(times=times, loads=times // 1000, before=before, more=memory("VmRSS") - before)


if __name__ == "__main__":
    globals()[sys.argv[1]](*sys.argv[2:])
