"""The MOJO corpus: models, rows, and what h2o-genmodel answered."""

import csv
import gzip
import io
import json
import math
import struct
from pathlib import Path

import stemson

ROOT = Path(__file__).resolve().parents[3]
CORPUS = ROOT / "tests/corpora/mojo"
BENCH = ROOT / "benches/models"


class Case:
    """A folder of the corpus: a model, rows, and what h2o-genmodel answered."""

    def __init__(self, folder):
        self.folder = folder
        # Some of these models are answered wrongly by genmodel, which is asked for on purpose here.
        quirks = folder.name.startswith("xgb_enc_")
        self.model = stemson.load(folder / "model.zip", genmodel_quirks=quirks)
        text = (folder / "input.csv").read_bytes().decode()
        # A carriage return outside of quotes is no part of a cell: Python takes it for a line end.
        parts = text.split('"')
        parts[::2] = [part.replace("\r", "") for part in parts[::2]]
        self.header, *cells = csv.reader(io.StringIO('"'.join(parts), newline=""))
        # A blank line is a row where there is one column.
        self.cells = [row or [""] for row in cells if row or len(self.header) == 1]
        # An empty cell is an absent value.
        self.rows = [
            {name: cell for name, cell in zip(self.header, cells) if cell != ""}
            for cells in self.cells
        ]
        with gzip.open(folder / "expected.jsonl.gz", "rt", encoding="utf-8") as file:
            head, *lines = map(json.loads, file)
        self.head = head["model"]
        self.lenient = {x["row"]: x for x in lines if x.get("cfg") == "lenient" and "row" in x}
        self.strict = dict(self.lenient)
        self.strict.update({x["row"]: x for x in lines if x.get("cfg") == "strict"})

    def columns(self):
        """Each column of the input as a list of text and None."""
        return {
            name: [cells[place] if cells[place] != "" else None for cells in self.cells]
            for place, name in enumerate(self.header)
        }

    def expected(self, row, names, strict=False):
        """The answer's columns for a row; None where it is refused."""
        line = (self.strict if strict else self.lenient)[row]
        if "error" in line:
            return None
        if "embeddings" in line["out"]:
            # Floats: as many digits as they need. Cells that the row does not have have no vector.
            return {
                f"{column}_V{place}": struct.unpack("f", struct.pack("f", float(number)))[0]
                for column, vector in line["out"]["embeddings"].items()
                for place, number in enumerate(vector, 1)
            }
        return dict(zip(names, flat(line["out"])))


def flat(out):
    """genmodel's answer as the values of H2O's columns, in order."""
    number = lambda value: float(value) if isinstance(value, str) else value
    if "p" in out:
        return [out["label"], *map(number, out["p"])]
    if "value" in out:
        return [number(out["value"])]
    if "cluster" in out:
        return [out["cluster"]]
    if "normalized" in out:
        flag = [] if out.get("is_anomaly") is None else [int(out["is_anomaly"])]
        return [*flag, number(out["normalized"]), number(out["score"])]
    if "mse" in out:
        return [*map(number, out["reconstructed"]), number(out["mse"])]
    if "dimensions" in out:
        return list(map(number, out["dimensions"]))
    if "transformations" in out:
        return list(map(number, out["transformations"]))
    return list(map(number, out["uplift"]))


def close(found, expected):
    """Equal text; equal numbers, or as close as the last step of a logistic answer may be."""
    if isinstance(expected, str) or expected is None:
        return found == expected
    if isinstance(found, str):
        return False
    if math.isnan(expected):
        return math.isnan(found)
    return found == expected or abs(found - expected) <= 1e-12 * abs(expected)


def folders():
    return sorted(path.parent for path in CORPUS.glob("*/model.zip"))
