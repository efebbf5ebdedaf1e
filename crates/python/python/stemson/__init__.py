"""H2O MOJO models in Python, without Java.

    import stemson

    model = stemson.load("churn.zip")
    model.predict(frame)                       # pandas, polars, pyarrow, numpy, dicts
    model.predict_row({"age": 41, "city": "Oslo"})

Answers are h2o-genmodel's, for every algorithm; see `Model`. What goes wrong is one of `errors`.
"""

from ._model import Column, Model, load
from ._native import __version__
from .errors import (
    ColumnTypeError,
    DuplicateColumnError,
    InputError,
    LoadError,
    MissingColumnsError,
    MissingColumnsWarning,
    NotOfferedError,
    RowRefusedError,
    StemsonError,
)

__all__ = [
    "Column",
    "ColumnTypeError",
    "DuplicateColumnError",
    "InputError",
    "LoadError",
    "MissingColumnsError",
    "MissingColumnsWarning",
    "Model",
    "NotOfferedError",
    "RowRefusedError",
    "StemsonError",
    "__version__",
    "load",
]
