"""Libraries that not every interpreter has."""

import sysconfig

import pytest


class Absent:
    """Stands for a library in whose place it skips the test that asks it for anything."""

    def __init__(self, name):
        self._name = name

    def __bool__(self):
        return False

    def __getattr__(self, name):
        if "pytest" in name or name.startswith("_"):
            # Asked by pytest itself, of all that a module holds.
            raise AttributeError(name)
        pytest.skip(f"{self._name} has no wheel for this interpreter")


try:
    import polars
except ImportError:
    # Its wheels need a global lock; every other interpreter must have it.
    if not sysconfig.get_config_var("Py_GIL_DISABLED"):
        raise
    polars = Absent("polars")
