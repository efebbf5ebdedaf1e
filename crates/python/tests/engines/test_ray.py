"""Ray Data with two workers, and one of them killed in the middle."""

import os
import signal
import threading
import time

import numpy
import pandas
import pytest
import ray
from corpus import BENCH

import stemson
import stemson.ray

ROWS = int(os.environ.get("STEMSON_RAY_ROWS", "2000000"))


@pytest.fixture(scope="module")
def model():
    return stemson.load(BENCH / "gbm100d6_num/model.zip")


@pytest.fixture(scope="module", autouse=True)
def cluster():
    ray.init(num_cpus=4, include_dashboard=False, object_store_memory=1 << 30, log_to_driver=False)
    yield
    ray.shutdown()


def test_rows_of_a_dataset(model):
    sample = pandas.read_csv(BENCH / "gbm100d6_num/input.csv")
    dataset = ray.data.from_pandas(sample.assign(id=range(len(sample))))
    scored = stemson.ray.predict(model, dataset, keep=["id"], concurrency=2)
    found = scored.to_pandas().sort_values("id", ignore_index=True)
    expected = model.predict(sample)
    assert list(found) == ["id", *expected.columns]
    assert (found["predict"] == expected["predict"]).all()
    assert (found.iloc[:, 2] == expected.iloc[:, 1]).all()


def test_what_is_wrong_is_said_at_once(model):
    with pytest.raises(stemson.InputError, match="no column is the model's"):
        stemson.ray.predict(model, ray.data.range(3))


def generated(model, rows, blocks):
    """Rows of arithmetic on their number, the same wherever they are made; and the function that
    makes them."""
    names = model.columns

    # In here, so that it goes to the workers by value.
    def columns(ids):
        part = {
            name: (ids * (7 + 2 * place) % 1_013) / 250.0 - 2.0
            for place, name in enumerate(names[:10])
        }
        part.update({name: numpy.full(len(ids), numpy.nan) for name in names[10:]})
        return part

    dataset = ray.data.range(rows, override_num_blocks=blocks).map_batches(
        lambda batch: {"id": batch["id"], **columns(batch["id"])}, batch_format="numpy"
    )
    return dataset, columns


def test_beside_a_plain_function(model, capsys):
    """Printed, not judged: rows per second beside a Python function that scores row by row, which
    gets fewer of them, for it takes longer."""

    def row_by_row(row):
        number = row.pop("id")
        return {"id": number, **model.predict_row(row)}

    def rate(rows, score):
        dataset = generated(model, rows, 8)[0].materialize()
        start = time.monotonic()
        assert score(dataset).materialize().count() == rows
        return rows / (time.monotonic() - start)

    plain = rate(50_000, lambda dataset: dataset.map(row_by_row))
    ours = rate(
        1_000_000,
        lambda dataset: stemson.ray.predict(model, dataset, keep=["id"], concurrency=2),
    )
    with capsys.disabled():
        print(f"\nmap_batches {ours:,.0f} rows/s, Python function {plain:,.0f} rows/s:"
              f" {ours / plain:.1f}x, the start of the workers included")


def test_a_worker_that_dies(model, capsys):
    dataset, columns = generated(model, ROWS, 64)
    scored = stemson.ray.predict(
        model,
        dataset,
        keep=["id"],
        concurrency=2,
        ray_remote_args={"max_restarts": 3, "max_task_retries": 3},
    )
    killed = []

    def kill():
        """The first actor that shows up."""
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline and not killed:
            time.sleep(0.2)
            for entry in filter(str.isdigit, os.listdir("/proc")):
                try:
                    with open(f"/proc/{entry}/cmdline", "rb") as file:
                        name = file.read()
                except OSError:
                    continue
                if name.startswith(b"ray::") and b"_Actor" in name:
                    time.sleep(1)
                    os.kill(int(entry), signal.SIGKILL)
                    killed.append(entry)
                    return

    killer = threading.Thread(target=kill)
    killer.start()
    start = time.monotonic()
    rows, high, seen = 0, 0, set()
    for batch in scored.iter_batches(batch_format="numpy", batch_size=65_536):
        rows += len(batch["id"])
        seen.update(batch["id"].tolist())
        probability = list(batch)[-1]
        high += int((batch[probability] > 0.5).sum())
    took = time.monotonic() - start
    killer.join()
    assert killed, "no actor was found to kill"
    assert rows == len(seen) == ROWS
    expected = 0
    for first in range(0, ROWS, 500_000):
        ids = numpy.arange(first, min(first + 500_000, ROWS))
        expected += int((model.predict(columns(ids))[probability] > 0.5).sum())
    assert high == expected
    with capsys.disabled():
        print(f"\n{ROWS:,} rows with a dead worker: {took:.1f} s, {ROWS / took:,.0f} rows/s")
