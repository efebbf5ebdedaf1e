"""A flavour of MLflow: MOJOs in its registry, loaded and served without Java.

    stemson.mlflow.log_model("churn.zip", name="model")
    stemson.mlflow.load_model("models:/churn/3")        # a stemson.Model
    mlflow.pyfunc.load_model("models:/churn/3").predict(frame)
"""

from __future__ import annotations

import errno
import os
import platform
import shutil
import tempfile
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import mlflow
import yaml
from mlflow.models import Model as MlflowModel
from mlflow.models.model import MLMODEL_FILE_NAME
from mlflow.tracking.artifact_utils import _download_artifact_from_uri

from ._model import Model, load
from ._native import __version__

if TYPE_CHECKING:
    import pandas

__all__ = ["load_model", "log_model", "save_model"]

FLAVOR_NAME = "stemson"
_ARTIFACT = "model.zip"


def save_model(
    model: str | os.PathLike[str],
    path: str | os.PathLike[str],
    mlflow_model: MlflowModel | None = None,
    signature: Any = None,
    input_example: Any = None,
    pip_requirements: list[str] | None = None,
) -> None:
    """Writes a folder in MLflow's format, whole or not at all.

    Args:
        model: path of the MOJO.
        path: the folder, which must not be there yet.
        signature: MLflow's description of the columns. Without one MLflow checks nothing, and the
            model takes integers, floats and text alike, as H2O does.

    Raises:
        FileExistsError: there is something at `path`.
        LoadError: `model` is no MOJO, or is damaged.
    """
    loaded = load(model)
    folder = os.path.abspath(os.fspath(path))
    if os.path.lexists(folder):
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), folder)
    beside = os.path.dirname(folder)
    os.makedirs(beside, exist_ok=True)
    # Aside first: what has the name is whole.
    with tempfile.TemporaryDirectory(prefix=".model", dir=beside) as temporary:
        whole = os.path.join(temporary, "model")
        os.mkdir(whole)
        description = mlflow_model or MlflowModel()
        description.signature = signature
        if input_example is not None:
            from mlflow.models.utils import _save_example

            _save_example(description, input_example, whole)
        _write(whole, model, loaded, description, pip_requirements)
        os.rename(whole, folder)


def _write(
    folder: str,
    source: str | os.PathLike[str],
    model: Model,
    description: MlflowModel,
    pip_requirements: list[str] | None,
) -> None:
    """The files of a folder in MLflow's format."""
    shutil.copyfile(source, os.path.join(folder, _ARTIFACT))
    mlflow.pyfunc.add_to_model(
        description, loader_module="stemson.mlflow", data=_ARTIFACT, python_env="python_env.yaml"
    )
    info = model.info
    description.add_flavor(
        FLAVOR_NAME,
        artifact=_ARTIFACT,
        digest=info["digest"],
        algorithm=info["algorithm"],
        h2o_version=info["h2o_version"],
    )
    description.save(os.path.join(folder, MLMODEL_FILE_NAME))
    # What answers here answers there.
    requirements = pip_requirements or [f"stemson=={__version__}", f"pandas=={version('pandas')}"]
    with open(os.path.join(folder, "requirements.txt"), "w", encoding="utf-8") as file:
        file.write("\n".join(requirements) + "\n")
    environment = {"python": platform.python_version(), "dependencies": ["-r requirements.txt"]}
    with open(os.path.join(folder, "python_env.yaml"), "w", encoding="utf-8") as file:
        yaml.safe_dump(environment, file)


def log_model(
    model: str | os.PathLike[str], name: str = "model", **arguments: Any
) -> Any:
    """Logs a MOJO to the current run, as MLflow's own flavours do.

    Args:
        model: path of the MOJO.
        name: of the model, or its path in the run's artifacts.
        arguments: of `mlflow.models.Model.log` (`registered_model_name`, ...) and `save_model`.
    """
    import sys

    return MlflowModel.log(
        artifact_path=name, flavor=sys.modules[__name__], model=model, **arguments
    )


def load_model(model_uri: str, dst_path: str | None = None) -> Model:
    """The model of a URI of MLflow's (`runs:/...`, `models:/...`, a folder)."""
    folder = _download_artifact_from_uri(artifact_uri=model_uri, output_path=dst_path)
    return load(os.path.join(folder, _ARTIFACT))


def _load_pyfunc(path: str) -> _Pyfunc:
    """MLflow's way to a model of any flavour."""
    file = path if os.path.isfile(path) else os.path.join(path, _ARTIFACT)
    return _Pyfunc(load(file))


class _Pyfunc:
    def __init__(self, model: Model) -> None:
        self.model = model

    def predict(self, data: Any, params: dict[str, Any] | None = None) -> pandas.DataFrame:
        """`params`: options of `Model.predict`."""
        import numpy
        import pandas

        if isinstance(data, numpy.ndarray) and data.dtype.names is None:
            # Its columns have no names: they are the model's, in its order.
            return pandas.DataFrame(self.model.predict(data, **(params or {})))
        frame = data if isinstance(data, pandas.DataFrame) else pandas.DataFrame(data)
        result: pandas.DataFrame = self.model.predict(frame, **(params or {}))
        return result
