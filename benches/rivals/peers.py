"""A runtime of trees as an engine of `bench`: see `engine.rs` for the lines that it reads and answers.

    peers.py ENGINE FOLDER LOOPS.so

FOLDER: a forest of `forests.py`. One-row calls of C interfaces are looped in C (`loops.c`).
"""

import ctypes
import os
import sys
import time
from pathlib import Path

os.environ |= {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}

import numpy as np

WIDTH = 32


def looped(loops, name, *head):
    """A looped one-row call as a function of rows."""
    function = getattr(loops, name)

    def call(rows):
        out = np.empty(len(rows))
        failed = function(*head, rows.ctypes.data_as(ctypes.c_void_p), len(rows), WIDTH,
                          out.ctypes.data_as(ctypes.c_void_p))
        if failed:
            raise RuntimeError(f"{name}: {failed}")
        return out
    return call


def address(function):
    return ctypes.cast(function, ctypes.c_void_p)


class XGBoost:
    dtype = np.float32

    def __init__(self, folder, loops):
        import xgboost
        self.booster = xgboost.Booster({"nthread": 1}, model_file=folder / "xgboost.json")
        self.matrix = xgboost.DMatrix
        from xgboost.core import _LIB
        self.one = looped(loops, "xgboost_rows", address(_LIB.XGBoosterPredictFromDense),
                          self.booster.handle)

    def many(self, rows):
        return self.booster.inplace_predict(rows, predict_type="margin")

    def contributions(self, rows):
        return self.booster.predict(self.matrix(rows, nthread=1), pred_contribs=True)


class LightGBM:
    dtype = np.float64

    def __init__(self, folder, loops):
        import lightgbm
        from lightgbm.basic import _LIB
        self.booster = lightgbm.Booster(model_file=folder / "lightgbm.txt")
        config = ctypes.c_void_p()
        failed = _LIB.LGBM_BoosterPredictForMatSingleRowFastInit(
            self.booster._handle, 1, 0, -1, 1, WIDTH, b"num_threads=1", ctypes.byref(config))
        if failed:
            raise RuntimeError(_LIB.LGBM_GetLastError())
        self.one = looped(loops, "lightgbm_rows",
                          address(_LIB.LGBM_BoosterPredictForMatSingleRowFast), config)

    def many(self, rows):
        return self.booster.predict(rows, raw_score=True, num_threads=1)

    def contributions(self, rows):
        return self.booster.predict(rows, pred_contrib=True, num_threads=1)


class OnnxRuntime:
    dtype, one = np.float32, None

    def __init__(self, folder, _loops):
        import onnxruntime
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(
            folder / "model.onnx", options, providers=["CPUExecutionProvider"])

    def many(self, rows):
        return self.session.run(None, {"x": rows})[0].ravel()


class OneDal:
    dtype, one = np.float32, None

    def __init__(self, folder, _loops):
        import daal4py
        import xgboost
        daal4py.daalinit(1)
        booster = xgboost.Booster({"nthread": 1}, model_file=folder / "xgboost.json")
        self.model = daal4py.mb.convert_model(booster)

    def many(self, rows):
        return np.asarray(self.model.predict(rows)).ravel()


class Lleaves:
    dtype = np.float64

    def __init__(self, folder, loops):
        import lleaves
        self.model = lleaves.Model(model_file=folder / "lleaves.txt")
        self.model.compile(cache=folder / "lleaves.o")
        self.one = looped(loops, "lleaves_rows", address(self.model._c_entry_func))

    def many(self, rows):
        return self.model.predict(rows, n_jobs=1)


class Tl2cgen:
    dtype = np.float32

    def __init__(self, folder, loops):
        import tl2cgen
        library = folder / "tl2cgen.so"
        self.matrix, self.predictor = tl2cgen.DMatrix, tl2cgen.Predictor(library, nthread=1)
        self.library = ctypes.CDLL(str(library))
        self.one = looped(loops, "tl2cgen_rows", address(self.library.predict))

    def many(self, rows):
        return self.predictor.predict(self.matrix(rows), pred_margin=True).ravel()


ENGINES = {"xgboost": XGBoost, "lightgbm": LightGBM, "onnxruntime": OnnxRuntime, "onedal": OneDal,
           "lleaves": Lleaves, "tl2cgen": Tl2cgen}


class Rows:
    """Rows that go round: every call gets others."""

    def __init__(self, rows):
        self.rows, self.next = rows, 0

    def take(self, n):
        if self.next + n > len(self.rows):
            self.next = 0
        self.next += n
        return self.rows[self.next - n:self.next]


def main():
    name, folder, loops = sys.argv[1], Path(sys.argv[2]), ctypes.CDLL(sys.argv[3])
    mode = sys.argv[4]
    engine = ENGINES[name](folder, loops)
    rows = np.fromfile(folder / "rows.f64").reshape(-1, WIDTH).astype(engine.dtype)
    answer = engine.contributions if mode == "contributions" else engine.many
    answer(rows[:100])
    given = Rows(rows)
    print("ready 0", flush=True)
    for line in sys.stdin:
        words = line.split()
        if words[0] == "answers":
            np.asarray(answer(rows), "<f8").tofile(words[1])
            print(0, flush=True)
            continue
        per_call, left = int(words[1]), int(words[2])
        start = time.process_time_ns()
        if per_call == 1 and engine.one:
            while left > 0:
                part = given.take(min(left, len(rows)))
                engine.one(part)
                left -= len(part)
        else:
            while left > 0:
                answer(given.take(per_call))
                left -= per_call
        print(time.process_time_ns() - start, flush=True)


if __name__ == "__main__":
    main()
