"""What can go wrong. Every exception is a `StemsonError`; those about values are `ValueError`s too.

`kind` holds the same words as the command line and the server: `not_mojo`, `unknown_level`, ...
"""

from __future__ import annotations

from collections.abc import Sequence


class StemsonError(Exception):
    """Anything that Stemson raises itself."""

    def __init__(self, message: str = "", **attributes: object) -> None:
        super().__init__(message)
        for name, value in attributes.items():
            setattr(self, name, value)

    def __reduce__(self) -> tuple[object, ...]:
        # With its attributes, so that it survives the way back from a worker process.
        return (type(self), self.args, self.__dict__)


class LoadError(StemsonError, ValueError):
    """The file is no MOJO, is damaged, or is one that cannot be scored."""

    kind: str = "bad_entry"


class NotOfferedError(StemsonError, ValueError):
    """An explanation is asked for that the model does not have."""


class InputError(StemsonError, ValueError):
    """The data does not fit the model."""

    column: str | None = None


class MissingColumnsError(InputError):
    """`strict`, and columns of the model are not there."""

    columns: Sequence[str] = ()


class DuplicateColumnError(InputError):
    """Two columns have the same name."""


class ColumnTypeError(InputError, TypeError):
    """A column, or a value in it, has a type that the model cannot read."""


class RowRefusedError(StemsonError, ValueError):
    """A single row has no prediction. In frames such a row has nothing in all columns, and the
    reason in the column `error`."""

    kind: str = "model"
    column: str | None = None


class MissingColumnsWarning(UserWarning):
    """Columns of the model are not in the data: they are missing in every row."""
