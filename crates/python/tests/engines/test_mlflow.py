"""MLflow's registry and pyfunc, and shap's plots."""

import types

import mlflow
import numpy
import pandas
import pytest
import shap
from corpus import BENCH

import stemson
import stemson.mlflow
import stemson.shap

PATH = BENCH / "gbm100d6/model.zip"


@pytest.fixture
def tracking(tmp_path, monkeypatch):
    # Artifacts go below the working folder.
    monkeypatch.chdir(tmp_path)
    mlflow.set_tracking_uri(f"sqlite:///{tmp_path}/mlflow.db")
    mlflow.set_experiment("test")


@pytest.fixture(scope="module")
def frame():
    return pandas.read_csv(BENCH / "gbm100d6/input.csv")


def test_log_and_load(tracking, frame):
    with mlflow.start_run():
        logged = stemson.mlflow.log_model(PATH, name="churn", registered_model_name="churn")
    for uri in (logged.model_uri, "models:/churn/1"):
        assert stemson.mlflow.load_model(uri) == stemson.load(PATH)
    loaded = mlflow.pyfunc.load_model("models:/churn/1")
    expected = stemson.load(PATH).predict(frame)
    pandas.testing.assert_frame_equal(loaded.predict(frame), expected)
    assert loaded.metadata.flavors["stemson"]["digest"] == stemson.load(PATH).digest


def test_save(tmp_path, frame):
    folder = tmp_path / "model"
    stemson.mlflow.save_model(PATH, folder, input_example=frame.head(2))
    loaded = mlflow.pyfunc.load_model(str(folder))
    assert len(loaded.predict(frame.head(3))) == 3


def test_a_folder_is_written_whole_or_not_at_all(tmp_path, monkeypatch):
    def full(*_):
        raise OSError("no space left on device")

    with monkeypatch.context() as patch:
        # The last file of all; MLflow writes its own by the same library.
        patch.setattr(stemson.mlflow, "yaml", types.SimpleNamespace(safe_dump=full))
        with pytest.raises(OSError, match="no space"):
            stemson.mlflow.save_model(PATH, tmp_path / "model")
    with pytest.raises(stemson.LoadError):
        stemson.mlflow.save_model(__file__, tmp_path / "model")
    assert list(tmp_path.iterdir()) == []
    stemson.mlflow.save_model(PATH, tmp_path / "model")
    files = sorted((tmp_path / "model").iterdir())
    assert [file.name for file in files] == [
        "MLmodel", "model.zip", "python_env.yaml", "requirements.txt"
    ]
    before = [file.read_bytes() for file in files]
    with pytest.raises(FileExistsError):
        stemson.mlflow.save_model(BENCH / "glm1000/model.zip", tmp_path / "model")
    assert [file.read_bytes() for file in files] == before
    assert [entry.name for entry in tmp_path.iterdir()] == ["model"]


def test_shap(frame):
    model = stemson.load(PATH)
    explanation = stemson.shap.explanation(model, frame.head(20))
    assert isinstance(explanation, shap.Explanation)
    margin = numpy.log(model.predict(frame.head(20))["yes"] / model.predict(frame.head(20))["no"])
    total = explanation.values.sum(axis=1) + explanation.base_values
    numpy.testing.assert_allclose(total, margin, rtol=1e-4)
    assert explanation.values.shape == explanation.data.shape
