"""The drop-in functions of h2o-py, scikit-learn's estimators, FastAPI."""

import asyncio
import copy
import csv
import functools
import shutil
import threading

import numpy
import pandas
import pytest
import sklearn.base
from corpus import BENCH, CORPUS
from fastapi import Depends, FastAPI
from fastapi.testclient import TestClient
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

import stemson
import stemson.fastapi
import stemson.h2o
import stemson.sklearn

PATH = str(BENCH / "gbm100d6/model.zip")


@pytest.fixture(scope="module")
def frame(gbm_rows):
    return pandas.DataFrame(gbm_rows)


# h2o


def test_pandas_as_h2o_does(gbm, frame):
    other = frame.set_index(frame.index + 7)
    answers = stemson.h2o.mojo_predict_pandas(other, PATH, genmodel_jar_path="x", verbose=True)
    expected = gbm.predict(frame)
    assert list(answers) == ["predict", "no", "yes"] and answers.index.equals(pandas.RangeIndex(len(frame)))
    assert answers["predict"].tolist() == expected["predict"].tolist()
    assert (answers["yes"] == expected["yes"]).all()
    contributions = stemson.h2o.mojo_predict_pandas(frame, PATH, predict_contributions=True)
    assert list(contributions)[-1] == "BiasTerm" and "predict" not in contributions


def test_invalid_numbers_as_h2o_does(frame):
    odd = frame.assign(n00="ten")
    with pytest.raises(stemson.InputError, match="setInvNumNA"):
        stemson.h2o.mojo_predict_pandas(odd, PATH)
    stemson.h2o.mojo_predict_pandas(odd, PATH, setInvNumNA=True)
    # Unknown levels are missing values, always.
    stemson.h2o.mojo_predict_pandas(frame.assign(c0="no such level"), PATH)


def test_csv_as_h2o_does(gbm, frame, tmp_path):
    page, model = tmp_path / "rows.csv", shutil.copy(PATH, tmp_path)
    frame.to_csv(page)
    rows = stemson.h2o.mojo_predict_csv(str(page), model)
    with open(tmp_path / "prediction.csv", newline="") as file:
        assert rows == list(csv.DictReader(file))
    assert [float(row["yes"]) for row in rows] == gbm.predict(frame)["yes"].tolist()
    out = tmp_path / "out.csv"
    rows = stemson.h2o.mojo_predict_csv(str(page), PATH, str(out), predict_contributions=True)
    assert "BiasTerm" in rows[0] and "predict" not in rows[0]
    frame.assign(n00="ten").to_csv(page)
    with pytest.raises(stemson.InputError):
        stemson.h2o.mojo_predict_csv(str(page), PATH, str(tmp_path / "never.csv"))
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "model.zip", "out.csv", "prediction.csv", "rows.csv",
    ]
    with pytest.raises(FileNotFoundError):
        stemson.h2o.mojo_predict_csv("no/such.csv", PATH)


def h2o_case(name, values, **others):
    """Answers of the drop-in function to a column, and of `predict` to what it stands for there."""
    path = str(CORPUS / "gbm_bernoulli/model.zip")
    frame = pandas.DataFrame({name: values, **others})
    return stemson.h2o.mojo_predict_pandas(frame, path, setInvNumNA=True)["yes"].tolist()


def test_cells_are_those_of_a_csv_as_for_h2o():
    """H2O's tool reads what pandas writes."""
    absent = h2o_case("other", [1, 1])
    assert h2o_case("c3", ["", "NA"]) == absent == h2o_case("x1", ["-", None])
    # `True` is no level, and neither is `1.0`.
    flags = h2o_case("c3", [True, False])
    assert flags == h2o_case("c3", ["True", "no such level"])
    path = str(CORPUS / "gbm_bernoulli/model.zip")
    named = pandas.DataFrame({"other": [1, 2]}, index=pandas.Index([0.5, 3.5], name="x1"))
    assert stemson.h2o.mojo_predict_pandas(named, path)["yes"].tolist() == h2o_case("x1", [0.5, 3.5])
    with pytest.raises(stemson.DuplicateColumnError):
        stemson.h2o.mojo_predict_pandas(pandas.DataFrame([[1, 2]], columns=["x1", "x1"]), path)


@pytest.mark.parametrize(
    "number, text",
    [
        (float("nan"), "NA"),
        (3.0, "3.0"),
        (0.001, "0.001"),
        (0.00012, "1.2E-4"),
        (-1e-5, "-1.0E-5"),
        (9999999.5, "9999999.5"),
        (12345678.0, "1.2345678E7"),
        (1e21, "1.0E21"),
        (float("-inf"), "-Infinity"),
        (-0.0, "-0.0"),
    ],
)
def test_numbers_as_java_writes_them(number, text):
    assert stemson.h2o._java(number) == text


def test_the_csv_is_a_file_like_others(tmp_path):
    page, out = tmp_path / "rows.csv", tmp_path / "out.csv"
    page.write_text("x1,c3,spare,spare\n0.5,red,,\n1.5,,,\n")
    path = str(CORPUS / "kmeans_mixed/model.zip")
    rows = stemson.h2o.mojo_predict_csv(str(page), path, str(out))
    assert all(row["cluster"].endswith(".0") for row in rows)
    assert out.stat().st_mode == page.stat().st_mode


# scikit-learn


def test_classifier(gbm, frame):
    classifier = make_pipeline(FunctionTransformer(), stemson.sklearn.MojoClassifier(PATH))
    probabilities = classifier.predict_proba(frame)
    expected = gbm.predict(frame)
    assert (probabilities == expected[["no", "yes"]].to_numpy()).all()
    assert (classifier.predict(frame) == expected["predict"].to_numpy(object)).all()
    assert list(classifier.classes_) == ["no", "yes"]
    assert roc_auc_score(expected["predict"] == "yes", probabilities[:, 1]) == 1
    assert classifier.fit(frame).score(frame, expected["predict"].to_numpy(object)) == 1


def test_regressor():
    model = stemson.load(BENCH / "gbm500d8/model.zip")
    regressor = stemson.sklearn.MojoRegressor(model)
    values = regressor.predict(pandas.DataFrame({"n00": [1.0, 2.0]}).reindex(columns=model.columns))
    assert values.shape == (2,) and values.dtype == numpy.float64
    assert regressor.n_features_in_ == 40
    assert sklearn.base.clone(regressor).model is model is copy.deepcopy(model) is copy.copy(model)
    cox = stemson.sklearn.MojoRegressor(CORPUS / "coxph_plain/model.zip")
    rows = pandas.read_csv(CORPUS / "coxph_plain/input.csv").head(20)
    numpy.testing.assert_array_equal(cox.predict(rows), cox.model_.predict(rows)["lp"])


# FastAPI


@pytest.fixture
def deployment():
    return stemson.fastapi.Deployment(PATH, slo_ms=5_000)


@pytest.fixture
def client(deployment):
    app = FastAPI(lifespan=deployment.lifespan)
    app.include_router(deployment.router(), prefix="/churn")

    @app.get("/digest")
    async def digest(current: stemson.fastapi.Deployment = Depends(deployment)):
        return current.model.digest

    with TestClient(app) as client:
        yield client


def test_routes(client, gbm, gbm_rows):
    answer = client.post("/churn/predict", json={"instances": gbm_rows[:5], "contributions": True})
    assert answer.status_code == 200, answer.text
    body = answer.json()
    assert body["revision"] == gbm.digest
    assert body["predictions"] == gbm.predict(gbm_rows[:5], contributions=True)
    assert client.get("/churn/model").json()["algorithm"] == "gbm"
    assert client.get("/digest").json() == gbm.digest
    many = client.post("/churn/predict", json={"instances": gbm_rows * 10})
    assert many.json()["predictions"] == gbm.predict(gbm_rows * 10)


def test_what_is_wrong_with_a_request(client, gbm_rows):
    row = gbm_rows[0]
    post = lambda body, **headers: client.post("/churn/predict", json=body, headers=headers)
    assert post({"instances": [row], "contribution": True}).status_code == 422
    assert post({"instances": [dict(row, n00=[1])]}).status_code == 422
    assert post({"instances": [{"stranger": 1}]}).status_code == 422
    refused = post({"instances": [dict(row, c0="?"), row], "strict": True}).json()["predictions"]
    assert "error" in refused[0] and refused[1]["predict"] in ("no", "yes")


def test_the_schema_is_the_models(client):
    schema = client.get("/openapi.json").json()["components"]["schemas"]["Row"]["properties"]
    assert "n00" in schema and "one of: " in schema["c0"]["description"]


def test_late_requests_are_refused_at_once(gbm_rows):
    deployment = stemson.fastapi.Deployment(PATH, slo_ms=20, threads=1)

    async def burst():
        work = [deployment.predict(gbm_rows * 5) for _ in range(50)]
        return await asyncio.gather(*work, return_exceptions=True)

    answers = asyncio.run(burst())
    refused = [answer for answer in answers if isinstance(answer, Exception)]
    assert refused and all(error.status_code in (503, 504) for error in refused)
    assert any(int(error.headers["Retry-After"]) >= 1 for error in refused if error.status_code == 503)
    assert deployment._admission.requests == 0
    # The first one has nobody to wait for.
    assert len(answers) > len(refused)


def test_swap(gbm_rows):
    deployment = stemson.fastapi.Deployment(PATH)

    async def swaps():
        before = await deployment.predict(gbm_rows[:1])
        with pytest.raises(stemson.LoadError):
            await deployment.swap(b"no model")
        with pytest.raises(stemson.InputError, match="allow_schema_change"):
            await deployment.swap(BENCH / "gbm500d8/model.zip")
        assert await deployment.predict(gbm_rows[:1]) == before
        await deployment.swap(BENCH / "gbm500d8/model.zip", allow_schema_change=True)
        assert await deployment.predict(gbm_rows[:1]) != before

    asyncio.run(swaps())


def test_a_swap_to_other_columns_through_the_route(client, deployment):
    """The types of a row are those of the first model; what it does not know goes to the next."""
    other = stemson.load(CORPUS / "gbm_bernoulli/model.zip")
    row = {"x1": 0.5, "c3": "red"}
    assert client.post("/churn/predict", json={"instances": [{"x1": 0.5}]}).status_code == 422
    client.portal.call(
        functools.partial(deployment.swap, CORPUS / "gbm_bernoulli/model.zip", allow_schema_change=True)
    )
    with pytest.warns(stemson.MissingColumnsWarning):
        body = client.post("/churn/predict", json={"instances": [row]}).json()
        assert body["revision"] == other.digest
        assert body["predictions"] == other.predict([row]) != other.predict([{"x1": 0.5}])


def test_json_says_what_a_value_is(client, gbm, gbm_rows):
    rows = [dict(gbm_rows[0], n00=True), dict(gbm_rows[0], n00=1), dict(gbm_rows[0], c0=True)]
    found = client.post("/churn/predict", json={"instances": rows}).json()["predictions"]
    assert found == [gbm.predict_row(row) for row in rows]
    strict = client.post("/churn/predict", json={"instances": rows, "strict": True}).json()
    assert "`true` is not a number" in strict["predictions"][0]["error"]
    huge = client.post("/churn/predict", json={"instances": [dict(gbm_rows[0], n00=10**400)]})
    assert huge.status_code == 422


def test_an_application_may_start_twice(deployment, gbm_rows):
    app = FastAPI(lifespan=deployment.lifespan)
    app.include_router(deployment.router())
    for _ in range(2):
        with TestClient(app) as client:
            answer = client.post("/predict", json={"instances": gbm_rows * 10})
            assert answer.status_code == 200, answer.text


def test_no_deadline_is_none(gbm, gbm_rows):
    deployment = stemson.fastapi.Deployment(PATH, slo_ms=float("inf"))
    rows = gbm_rows[:2]
    answers = [
        asyncio.run(deployment.predict(rows, **options))
        for options in ({}, {"timeout": float("inf")}, {"threads": 2})
    ]
    assert answers == [gbm.predict(rows)] * 3


def test_explained_rows_have_a_price_of_their_own(gbm_rows):
    deployment = stemson.fastapi.Deployment(PATH, slo_ms=60_000, threads=1)

    async def learn():
        for _ in range(20):
            await deployment.predict(gbm_rows)
            await deployment.predict(gbm_rows, contributions=True)

    asyncio.run(learn())
    plain, explained = (deployment._admission.offer(1, asked, 60.0) for asked in (0, 1))
    assert explained > 2 * plain


def test_a_caller_who_is_gone_leaves_its_place_when_the_work_is_done(gbm_rows):
    deployment = stemson.fastapi.Deployment(PATH, slo_ms=60_000, threads=1)
    begun, go_on = threading.Event(), threading.Event()

    class Slow:
        def predict(self, rows, **options):
            begun.set()
            go_on.wait(60)
            return []

    async def cancel():
        task = asyncio.ensure_future(deployment._score(Slow(), gbm_rows * 10, None, {}))
        await asyncio.to_thread(begun.wait, 60)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        held = deployment._admission.requests
        go_on.set()
        return held

    assert asyncio.run(cancel()) == 1
    deployment._threads.shutdown(wait=True)
    assert deployment._admission.requests == 0
