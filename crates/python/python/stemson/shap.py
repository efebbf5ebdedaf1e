"""Contributions as the `shap` package has them, for its plots."""

from __future__ import annotations

from typing import Any

import numpy

from ._model import Model

__all__ = ["explanation"]


def explanation(model: Model, data: Any) -> Any:
    """A `shap.Explanation` of the margin: `values` rows x columns, `base_values` the bias, `data`
    the rows as they were given.

    `data`: what `Model.predict` takes, with columns by name.

    Raises:
        NotOfferedError: the model has no contributions.
    """
    import pandas
    import shap

    frame = data if isinstance(data, pandas.DataFrame) else pandas.DataFrame(data)
    names = model.output_names(contributions=True)[len(model.output_names()) :]
    answers = model.predict(frame, contributions=True)
    values = answers[names].to_numpy(dtype=numpy.float64)
    columns = names[:-1]
    shown = frame.reindex(columns=columns).to_numpy()
    return shap.Explanation(
        values=values[:, :-1], base_values=values[:, -1], data=shown, feature_names=columns
    )
