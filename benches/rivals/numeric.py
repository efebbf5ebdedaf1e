"""A model of level sets made numeric: the same trees, but every test is on a number.

    numeric.py MODEL.zip ROWS.f64 OUT.zip

MODEL.zip: a MOJO of format 1.40 with trees of H2O's own; ROWS.f64: raw rows for it. A split on a set becomes one on a numeric
column, drawn by a fixed seed, at the value that a row drawn from the rows has there. Columns, leaves and shape stay.
"""

import re
import struct
import sys
import zipfile

import numpy as np

SET_INLINE, SET = 0x08, 0x0C


def numeric(code, draw):
    """The bytes of a tree with each set replaced."""
    at = 0

    def take(pattern):
        nonlocal at
        values = struct.unpack_from("<" + pattern, code, at)
        at += struct.calcsize("<" + pattern)
        return values

    def subtree():
        kind, column, direction = take("BHB")
        test = kind & 0x0C
        if direction == 1:  # missing against the rest
            split = b""
        elif test == 0:
            split = struct.pack("<f", *take("f"))
        else:
            if test == SET_INLINE:
                take("4s")
            else:
                _, bits = take("Hi")
                take(f"{(bits + 7) // 8}s")
            column, threshold = draw()
            split = struct.pack("<f", threshold)
        left_leaf, right_leaf = kind & 0x30 == 0x30, kind & 0x40 != 0
        if not left_leaf:
            take(f"{(kind & 3) + 1}s")
        left = struct.pack("<f", *take("f")) if left_leaf else subtree()
        right = struct.pack("<f", *take("f")) if right_leaf else subtree()
        size = b"" if left_leaf else len(left).to_bytes(max(1, (len(left).bit_length() + 7) // 8), "little")
        kind = (kind & 0xF0) | (0 if left_leaf else len(size) - 1)
        return struct.pack("<BHB", kind, column, direction) + split + size + left + right

    return subtree()


def main():
    model, rows, out = sys.argv[1:]
    with zipfile.ZipFile(model) as source, zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as target:
        ini = source.read("model.ini").decode()
        width = int(re.search(r"n_features = (\d+)", ini)[1])
        table = np.fromfile(rows).reshape(-1, width)
        categorical = {int(it) for it in re.findall(r"^(\d+): ", ini, re.M)}
        columns = [column for column in range(width) if column not in categorical]
        random = np.random.default_rng(1)

        def draw():
            while True:
                column = columns[random.integers(len(columns))]
                value = table[random.integers(len(table)), column]
                if not np.isnan(value):
                    return column, value

        for name in source.namelist():
            data = source.read(name)
            if re.fullmatch(r"trees/t\d+_\d+\.bin", name):
                # A tree of one leaf tests column 65,535.
                data = data if struct.unpack_from("<H", data, 1)[0] == 0xFFFF else numeric(data, draw)
            target.writestr(name, data)


if __name__ == "__main__":
    main()
