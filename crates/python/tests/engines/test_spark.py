"""A Spark cluster of two workers, and one of them killed in the middle."""

import os
import signal
import subprocess
import sys
import threading
import time

import numpy
import pandas
import pytest
from corpus import BENCH
from pyspark.sql import SparkSession, functions

import stemson
import stemson.spark

# Workers are to find the same packages.
os.environ["PYSPARK_PYTHON"] = sys.executable

ROWS = int(os.environ.get("STEMSON_SPARK_ROWS", "5000000"))


@pytest.fixture(scope="module")
def model():
    return stemson.load(BENCH / "gbm100d6_num/model.zip")


@pytest.fixture(scope="module")
def spark():
    session = (
        SparkSession.builder.master("local-cluster[2,1,1536]")
        .config("spark.ui.enabled", "false")
        .config("spark.sql.execution.arrow.maxRecordsPerBatch", "8192")
        .config("spark.task.maxFailures", "8")
        .config("spark.driver.host", "127.0.0.1")
        .getOrCreate()
    )
    session.sparkContext.setLogLevel("ERROR")
    yield session
    session.stop()


@pytest.fixture(scope="module")
def sample():
    return pandas.read_csv(BENCH / "gbm100d6_num/input.csv")


def test_rows_of_a_frame(spark, model, sample):
    frame = spark.createDataFrame(sample.assign(id=range(len(sample)), predictor="x"))
    scored = stemson.spark.predict(model, frame, keep=["id"])
    found = scored.toPandas().sort_values("id", ignore_index=True)
    expected = model.predict(sample)
    assert list(found) == ["id", *expected.columns]
    assert (found["predict"] == expected["predict"]).all()
    assert (found.iloc[:, 2] == expected.iloc[:, 1]).all()
    explained = stemson.spark.predict(model, frame, keep=["id"], contributions=True)
    assert "BiasTerm" in explained.columns and explained.count() == len(sample)


def test_what_is_wrong_is_said_at_once(spark, model, sample):
    frame = spark.createDataFrame(sample.assign(predict=1))
    with pytest.raises(stemson.InputError, match="`predict` would stand twice"):
        stemson.spark.predict(model, frame)
    with pytest.raises(stemson.InputError, match="no column is the model's"):
        stemson.spark.predict(model, spark.range(3))
    with pytest.raises(stemson.InputError, match="no column `nobody`"):
        stemson.spark.predict(model, frame, keep=["nobody"])


def generated(spark, model):
    """Rows of arithmetic on their number, the same wherever they are made."""
    rows = spark.range(ROWS, numPartitions=64)
    numbers = [
        ((functions.col("id") * (7 + 2 * place) % 1_013) / 250.0 - 2.0).alias(name)
        for place, name in enumerate(model.columns[:10])
    ]
    return rows.select("id", *numbers)


def test_an_executor_that_dies(spark, model, capsys):
    frame = generated(spark, model)
    scored = stemson.spark.predict(model, frame, keep=["id"])
    victims = subprocess.run(
        ["pgrep", "-f", "CoarseGrainedExecutorBackend"], capture_output=True, text=True
    ).stdout.split()
    assert len(victims) >= 2

    def kill():
        time.sleep(6)
        os.kill(int(victims[0]), signal.SIGKILL)

    killer = threading.Thread(target=kill)
    killer.start()
    start = time.monotonic()
    probability = scored.columns[-1]
    found = scored.agg(
        functions.count("*").alias("rows"),
        functions.countDistinct("id").alias("distinct"),
        functions.sum(functions.when(functions.col(probability) > 0.5, 1).otherwise(0)).alias("high"),
    ).first()
    took = time.monotonic() - start
    killer.join()
    assert found["rows"] == found["distinct"] == ROWS
    # The same rows without Spark.
    high = 0
    for first in range(0, ROWS, 500_000):
        ids = numpy.arange(first, min(first + 500_000, ROWS))
        part = {
            name: (ids * (7 + 2 * place) % 1_013) / 250.0 - 2.0
            for place, name in enumerate(model.columns[:10])
        }
        part.update({name: numpy.full(len(ids), numpy.nan) for name in model.columns[10:]})
        high += int((model.predict(part)[probability] > 0.5).sum())
    assert found["high"] == high
    with capsys.disabled():
        print(f"\n{ROWS:,} rows with a dead executor: {took:.1f} s, {ROWS / took:,.0f} rows/s")


def test_beside_a_plain_function(spark, model, capsys):
    """Printed, not judged: rows per second beside a Python UDF that scores row by row, which gets
    fewer of them, for it takes longer."""
    names = model.columns[:10]
    row_by_row = functions.udf(lambda *cells: model.predict_row(dict(zip(names, cells)))["predict"])

    def rate(rows, score):
        frame = generated(spark, model).limit(rows).repartition(2).cache()
        assert frame.count() == rows
        best = 0.0
        for _ in range(2):
            start = time.monotonic()
            score(frame).write.format("noop").mode("overwrite").save()
            best = max(best, rows / (time.monotonic() - start))
        frame.unpersist()
        return best

    plain = rate(50_000, lambda frame: frame.select(row_by_row(*names)))
    ours = rate(1_000_000, lambda frame: stemson.spark.predict(model, frame, keep=["id"]))
    with capsys.disabled():
        print(f"\nmapInArrow {ours:,.0f} rows/s, Python UDF {plain:,.0f} rows/s: {ours / plain:.1f}x")
