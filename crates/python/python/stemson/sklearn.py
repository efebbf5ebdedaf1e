"""MOJOs as scikit-learn's estimators: for pipelines, metrics and model selection that expect them.

They are trained already: `fit` checks its input and learns nothing.
"""

from __future__ import annotations

import os
from typing import Any

import numpy
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin

from ._model import Model, load

__all__ = ["MojoClassifier", "MojoRegressor"]


class _Mojo(BaseEstimator):  # type: ignore[misc]
    def __init__(self, model: Model | str | os.PathLike[str]) -> None:
        """`model`: a `stemson.Model`, or the path of one."""
        self.model = model

    @property
    def model_(self) -> Model:
        """The model, loaded."""
        if isinstance(self.model, Model):
            return self.model
        # The path may be another one since: `set_params`.
        path, loaded = self.__dict__.get("_loaded", (None, None))
        if loaded is None or path != self.model:
            loaded = load(self.model)
            self._loaded = (self.model, loaded)
        model: Model = loaded
        return model

    def __sklearn_is_fitted__(self) -> bool:
        return True

    @property
    def feature_names_in_(self) -> numpy.ndarray[Any, Any]:
        """The columns that the model takes."""
        return numpy.array(self.model_.columns, dtype=object)

    @property
    def n_features_in_(self) -> int:
        """How many there are."""
        return len(self.model_.columns)

    def fit(self, X: Any, y: Any = None) -> Any:
        """Checks that the model can read `X`; it was trained by H2O."""
        self.model_.predict(X[:1])
        return self

    def _answers(self, X: Any) -> Any:
        answers = self.model_.predict(X)
        if isinstance(answers, numpy.ndarray):
            return {name: answers[name] for name in answers.dtype.names or ()}
        return answers


class MojoRegressor(RegressorMixin, _Mojo):  # type: ignore[misc]
    """A regression: `predict` gives its values."""

    def predict(self, X: Any) -> numpy.ndarray[Any, Any]:
        """Values, one per row: float64."""
        # `predict`, of a Cox model `lp`.
        first = self.model_.output_names()[0]
        return numpy.asarray(self._answers(X)[first], dtype=float)


class MojoClassifier(ClassifierMixin, _Mojo):  # type: ignore[misc]
    """A classification: `predict` gives labels, `predict_proba` probabilities in the order of
    `classes_`."""

    @property
    def classes_(self) -> numpy.ndarray[Any, Any]:
        """The labels, in the model's order."""
        return numpy.array(self.model_.labels, dtype=object)

    def predict(self, X: Any) -> numpy.ndarray[Any, Any]:
        """Labels, one per row, by the model's own threshold: text."""
        return numpy.asarray(self._answers(X)["predict"], dtype=object)

    def predict_proba(self, X: Any) -> numpy.ndarray[Any, Any]:
        """Probabilities: rows x classes."""
        answers = self._answers(X)
        names = self.model_.output_names()[1:]
        return numpy.column_stack([numpy.asarray(answers[name], dtype=float) for name in names])
