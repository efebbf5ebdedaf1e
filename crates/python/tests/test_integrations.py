"""The drop-in functions of h2o-py, scikit-learn's estimators, FastAPI."""

import asyncio
import csv
import shutil

import numpy
import pandas
import pytest
from corpus import BENCH
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
