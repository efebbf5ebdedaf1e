"""A model, and how to get one."""

from __future__ import annotations

import asyncio
import os
import warnings
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from . import _frames, _native
from .errors import MissingColumnsWarning, StemsonError

LeafAssignment = Literal["paths", "ids"]


class _Readable(Protocol):
    def read(self) -> bytes: ...


@dataclass(frozen=True, slots=True)
class Column:
    """A column that a model takes."""

    name: str
    kind: Literal["numeric", "categorical"]
    """`numeric`: numbers. `categorical`: one of `levels`."""
    levels: tuple[str, ...]
    """The levels that the model knows, in its order; empty for numbers."""
    role: Literal["feature", "offset"]
    """`offset`: added to the margin, 0 where it is absent."""


def load(
    source: str | os.PathLike[str] | bytes | _Readable, *, genmodel_quirks: bool = False
) -> Model:
    """Loads a MOJO: the path of its zip file, its bytes, or a file that is open for reading.

    Args:
        genmodel_quirks: also load models that genmodel answers wrongly without an error (XGBoost
            trained with another encoding of categories), and answer as it does.

    Raises:
        LoadError: it is no MOJO, or is damaged; `kind` says what.
        OSError: the file cannot be read.
    """
    path = None
    if isinstance(source, (bytes, bytearray, memoryview)):
        artifact = bytes(source)
    elif isinstance(source, (str, os.PathLike)):
        path = os.path.abspath(os.fspath(source))
        with open(path, "rb") as file:
            artifact = file.read()
    else:
        artifact = source.read()
        if not isinstance(artifact, bytes):
            raise TypeError("the file is open for text, expected it to be open for bytes ('rb')")
    return Model(artifact, path, genmodel_quirks)


class Model:
    """A model that is loaded: immutable, safe to share between threads and to send to processes.

    It pickles with the bytes of its artifact, or with its path and digest where it was loaded from
    a path and `by_path` was called: workers then read the same file, and refuse another one.
    """

    __slots__ = ("_artifact", "_native", "_path", "_pickles_path", "_quirks", "__weakref__")

    def __init__(
        self, artifact: bytes, path: str | None = None, genmodel_quirks: bool = False
    ) -> None:
        """Use `load`."""
        self._native = _native.Model(artifact, genmodel_quirks)
        self._path, self._quirks = path, genmodel_quirks
        self._pickles_path = False
        # A file can be read again; bytes cannot.
        self._artifact = None if path else artifact

    # What it is.

    @property
    def info(self) -> dict[str, Any]:
        """Facts: algorithm, category, digest, versions, response, labels, sizes, what the model
        can explain (`offers`), warnings."""
        return self._native.info

    @property
    def digest(self) -> str:
        """SHA-256 of the artifact, which is the model's identity: 64 hexadecimal digits."""
        return self._native.digest

    @property
    def algorithm(self) -> str:
        """H2O's name of the algorithm: `gbm`, `glm`, `deeplearning`, ..."""
        return self._native.algorithm

    @property
    def category(self) -> str:
        """H2O's category: `Binomial`, `Multinomial`, `Regression`, `Clustering`, ..."""
        return self._native.category

    @property
    def schema(self) -> tuple[Column, ...]:
        """The columns that the model takes, in its order, an offset column last."""
        return tuple(
            Column(name, kind, tuple(levels), role)  # type: ignore[arg-type]
            for name, kind, levels, role in self._native.columns
        )

    @property
    def columns(self) -> list[str]:
        """Names of the columns that the model takes, in its order."""
        return self._native.names

    @property
    def labels(self) -> list[str]:
        """Names of the classes, in the model's order; empty where there are none."""
        return self._native.labels

    @property
    def response(self) -> str | None:
        """The column that the model predicts."""
        return self._native.response

    @property
    def default_threshold(self) -> float | None:
        """Binomial: from which probability of the second class on it is the answer."""
        return self._native.default_threshold

    def output_names(
        self,
        *,
        contributions: bool = False,
        leaf_assignment: LeafAssignment | None = None,
        staged: bool = False,
        calibrated: bool = False,
        distances: bool = False,
    ) -> list[str]:
        """Names of the columns of `predict` under the same options, without `error`."""
        return self._native.output_names(
            contributions=contributions,
            leaf_assignment=leaf_assignment,
            staged=staged,
            calibrated=calibrated,
            distances=distances,
        )

    def __repr__(self) -> str:
        info = self._native.info
        what = f"{info['algorithm']} {info['category']}"
        response = f" of {info['response']}" if info["response"] else ""
        trees = f", {info['trees']} trees" if info["trees"] else ""
        columns = len(self._native.columns)
        return f"<stemson.Model {what}{response}: {columns} columns{trees}, {info['digest'][:12]}>"

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Model)
            and self.digest == other.digest
            and self._quirks == other._quirks
        )

    def __hash__(self) -> int:
        return hash(self.digest)

    def __copy__(self) -> Model:
        return self

    def __deepcopy__(self, memo: Any) -> Model:
        # Nothing in it changes.
        return self

    # To other processes.

    def by_path(self) -> Model:
        """The same model, which pickles as the path of its file and its digest instead of its
        bytes: for large models that all workers can read from the same place.

        Raises:
            ValueError: it was not loaded from a path.
        """
        if self._path is None:
            raise ValueError("the model was loaded from bytes: there is no path to send")
        other = object.__new__(Model)
        other._native, other._artifact = self._native, None
        other._path, other._pickles_path, other._quirks = self._path, True, self._quirks
        return other

    def __reduce__(self) -> tuple[Any, ...]:
        if self._pickles_path:
            return (_open, (self._path, self.digest, self._quirks))
        artifact = self._artifact or _read(self._path, self.digest)
        return (Model, (artifact, None, self._quirks))

    # Predictions.

    def predict(
        self,
        data: Any,
        *,
        contributions: bool = False,
        leaf_assignment: LeafAssignment | None = None,
        staged: bool = False,
        calibrated: bool = False,
        distances: bool = False,
        strict: bool = False,
        offset_column: str | None = None,
        threads: int | None = None,
        row_index: int = 0,
    ) -> Any:
        """Scores many rows. The answer is of the same kind as `data`, one row for each, in order.

        Args:
            data: a pandas or polars `DataFrame`; a pyarrow `Table` or `RecordBatch`; a numpy array
                (rows x columns in the order of `columns`, or structured); a list of dicts; a dict
                of columns; anything with `__arrow_c_stream__` or `__dataframe__`, which gives a
                pyarrow `Table`. Columns go by name; those that the model does not know are ignored.
                None, NaN, NaT and NA are absent.
            contributions: also the contribution of each column to the margin, and `BiasTerm`.
            leaf_assignment: also the leaf in each tree, by its path or its number (`leaf_T1.C1`).
            staged: also the answer after each tree (`staged_T1.C1`).
            calibrated: also calibrated probabilities (`cal_p1`).
            distances: also the distance to each cluster (`distance_1`).
            strict: an unknown level or text that is no number refuses its row, a missing column the
                call. Else they are missing values, with a `MissingColumnsWarning` for columns.
            offset_column: another name of the model's offset column.
            threads: at most so many; without, as many as there are cores. Changes no answer.
            row_index: the number of the first row; GLRM draws by row number.

        Returns:
            H2O's columns: `predict` and the probabilities of a classification (`p0`, `p1`, or the
            level names), `predict` of a regression, `cluster`, ... A row that is refused has
            nothing in them and the reason in the column `error`, which is there only where rows
            can be refused. pandas: with the index of `data`. numpy: a structured array.

        Raises:
            InputError: no column is the model's, or a column cannot be read (see `errors`).
            NotOfferedError: the model does not have what is asked for.
        """
        source, give = _frames.read(self._native, data, offset_column)
        answers = self._native.predict(
            source,
            strict=strict,
            contributions=contributions,
            leaf_assignment=leaf_assignment,
            staged=staged,
            calibrated=calibrated,
            distances=distances,
            complete=strict,
            offset_column=offset_column,
            threads=threads,
            row_index=row_index,
        )
        missing = answers.summary["missing"]
        if missing:
            names = ", ".join(f"`{name}`" for name in missing)
            warnings.warn(
                f"the data has no {names}: missing in every row", MissingColumnsWarning, stacklevel=2
            )
        return give(answers)

    def predict_row(self, row: Mapping[str, Any], **options: Any) -> dict[str, Any]:
        """Scores one row, a mapping from column to value, at once.

        Args:
            row: absent keys and `None` are absent; NaN is missing, which some encodings tell apart.
            options: `contributions`, `leaf_assignment`, `staged`, `calibrated`, `distances`,
                `strict`, `row_index`, as in `predict`.

        Returns:
            A dict with H2O's column names: `{"predict": "yes", "no": 0.2, "yes": 0.8}`.

        Raises:
            RowRefusedError: the row has no prediction; `kind` and `column` say why.
            InputError: no key is a column of the model, or a value cannot be read.
        """
        return self._native.predict_row(row, **options)

    async def apredict(self, data: Any, **options: Any) -> Any:
        """`predict` for `async` code: scores on a thread, so that the event loop goes on."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(_executor(), lambda: self.predict(data, **options))


_pool: tuple[int, ThreadPoolExecutor] | None = None


def _executor() -> ThreadPoolExecutor:
    """As many threads as cores, one pool per process: after a fork the threads are not there."""
    global _pool
    if _pool is None or _pool[0] != os.getpid():
        _pool = (os.getpid(), ThreadPoolExecutor(os.cpu_count() or 1, "stemson"))
    return _pool[1]


def _read(path: str | None, digest: str) -> bytes:
    """The bytes of a file that must not have changed."""
    import hashlib

    with open(str(path), "rb") as file:
        artifact = file.read()
    found = hashlib.sha256(artifact).hexdigest()
    if found != digest:
        raise StemsonError(f"{path} has changed: its digest is {found[:12]}, expected {digest[:12]}")
    return artifact


def _open(path: str, digest: str, genmodel_quirks: bool) -> Model:
    return Model(_read(path, digest), path, genmodel_quirks).by_path()
