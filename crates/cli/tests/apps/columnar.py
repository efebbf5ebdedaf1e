"""Files of the common writers of Parquet and Arrow, each beside a CSV file of the same rows; and rows
of such files as those libraries read them.

    columnar.py write FOLDER    NAME.EXTENSION and NAME.csv for each writer and type
    columnar.py read FILE       a JSON array per row and reader, floats by their bits
"""

import datetime
import decimal
import json
import struct
import sys

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.feather as feather
import pyarrow.ipc as ipc
import pyarrow.parquet as pq

ROWS = 300
LEVELS = ["red", "green", "blue", "purple"]


def numbers():
    return [None if i % 11 == 0 else (i % 17) / 8 for i in range(ROWS)]


def levels():
    return [None if i % 13 == 0 else LEVELS[i % 4] for i in range(ROWS)]


def table():
    return pa.table({"id": list(range(ROWS)), "x1": numbers(), "c3": levels()})


class Folder:
    def __init__(self, path):
        self.path = path

    def file(self, name, x1=None, c3=None):
        """A path to write to; beside it goes the CSV of these cells."""
        cell = lambda value: "" if value is None else str(value)
        rows = zip(range(ROWS), x1 or numbers(), c3 or levels())
        with open(f"{self.path}/{name.rsplit('.', 1)[0]}.csv", "w") as out:
            out.write("id,x1,c3\n")
            out.writelines(f"{i},{cell(x)},{cell(c)}\n" for i, x, c in rows)
        return f"{self.path}/{name}"


def of_pyarrow(folder):
    plain = table()
    for codec in ["none", "snappy", "gzip", "brotli", "lz4", "zstd"]:
        pq.write_table(plain, folder.file(f"pyarrow-{codec}.parquet"), compression=codec)
    small = {"data_page_size": 256, "row_group_size": 70}
    pq.write_table(plain, folder.file("pyarrow-v2.parquet"), data_page_version="2.0", **small)
    pq.write_table(plain, folder.file("pyarrow-groups.parquet"), write_page_index=True, **small)
    pq.write_table(
        plain, folder.file("pyarrow-1.0.parquet"), version="1.0", use_dictionary=False
    )
    encodings = {"id": "DELTA_BINARY_PACKED", "x1": "BYTE_STREAM_SPLIT", "c3": "DELTA_BYTE_ARRAY"}
    for name, strings in [("delta", "DELTA_BYTE_ARRAY"), ("lengths", "DELTA_LENGTH_BYTE_ARRAY")]:
        encodings["c3"] = strings
        path = folder.file(f"pyarrow-{name}.parquet")
        pq.write_table(plain, path, use_dictionary=False, column_encoding=encodings)
    for name, codec in [("plain", None), ("lz4", "lz4"), ("zstd", "zstd")]:
        options = ipc.IpcWriteOptions(compression=codec)
        with ipc.new_file(folder.file(f"file-{name}.arrow"), plain.schema, options=options) as out:
            out.write_table(plain, max_chunksize=64)
        path = folder.file(f"stream-{name}.arrows")
        with ipc.new_stream(path, plain.schema, options=options) as out:
            out.write_table(plain, max_chunksize=64)
    for codec in ["uncompressed", "lz4", "zstd"]:
        feather.write_feather(plain, folder.file(f"feather-{codec}.feather"), compression=codec)


def replaced(folder):
    """A stream whose dictionary changes, and grows."""
    kind = pa.dictionary(pa.int16(), pa.string())
    schema = pa.schema([("id", pa.int64()), ("x1", pa.float64()), ("c3", kind)])
    options = ipc.IpcWriteOptions(emit_dictionary_deltas=True)
    with ipc.new_stream(folder.file("dictionaries.arrows"), schema, options=options) as out:
        for part in table().to_batches(max_chunksize=50):
            out.write_batch(part.cast(schema))


def of_types(folder):
    base = table()

    def write(name, place, array, **cells):
        rows = base.set_column(place, base.column_names[place], array)
        pq.write_table(rows, folder.file(f"type-{name}.parquet", **cells))
        with ipc.new_file(folder.file(f"type-{name}-ipc.arrow", **cells), rows.schema) as out:
            out.write_table(rows)

    whole = [None if i % 11 == 0 else i % 17 for i in range(ROWS)]
    for kind in ["int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"]:
        write(kind, 1, pa.array(whole, getattr(pa, kind)()), x1=whole)
    write("float32", 1, pa.array(numbers(), pa.float32()))
    halves = [np.nan if x is None else x for x in numbers()]
    write("float16", 1, pa.array(np.array(halves, dtype=np.float16)))
    write("nan", 1, pa.array(np.array(halves)))
    flags = [None if i % 11 == 0 else i % 3 == 0 for i in range(ROWS)]
    spelled = [None if flag is None else str(flag).lower() for flag in flags]
    write("bool", 1, pa.array(flags), x1=spelled)
    money = [None if x is None else decimal.Decimal(x).quantize(decimal.Decimal("0.001")) for x in numbers()]
    for bits, digits in [(32, 9), (64, 18), (128, 30), (256, 50)]:
        kind = getattr(pa, f"decimal{bits}")(digits, 3)
        if bits < 128:
            # Parquet has them as integers.
            rows = base.set_column(1, "x1", pa.array(money, pa.decimal128(digits, 3)))
            path = folder.file(f"type-decimal{bits}.parquet")
            pq.write_table(rows, path, store_decimal_as_integer=True)
        else:
            write(f"decimal{bits}", 1, pa.array(money, kind))
    days = [None if i % 11 == 0 else datetime.date(2020, 1, 1) + datetime.timedelta(i) for i in range(ROWS)]
    ms = [None if d is None else int((d - datetime.date(1970, 1, 1)).days) * 86_400_000 for d in days]
    write("date32", 1, pa.array(days, pa.date32()), x1=ms)
    write("date64", 1, pa.array(days, pa.date64()), x1=ms)
    for unit in ["s", "ms", "us", "ns"]:
        for zone in [None, "America/New_York"]:
            kind = pa.timestamp(unit, zone)
            array = pa.array(ms, pa.int64()).cast(pa.timestamp("ms")).cast(kind)
            write(f"timestamp-{unit}-{'zone' if zone else 'naive'}", 1, array, x1=ms)
    write("null", 1, pa.nulls(ROWS), x1=[None] * ROWS)
    write("text-numbers", 1, pa.array([None if x is None else str(x) for x in numbers()]))
    for kind in [pa.large_string(), pa.string_view(), pa.dictionary(pa.int8(), pa.string()),
                 pa.dictionary(pa.uint32(), pa.large_string())]:
        name = str(kind).split("<")[0] + ("-large" if "large" in str(kind) and "dict" in str(kind) else "")
        write(name, 2, pa.array(levels()).cast(pa.string()).cast(kind) if "view" not in str(kind)
              else pa.array(levels(), kind))
    # What nobody asked for may be anything.
    rows = base.append_column("lists", pa.array([[i] for i in range(ROWS)]))
    rows = rows.append_column("parts", pa.array([{"a": i, "b": [str(i)]} for i in range(ROWS)]))
    rows = rows.append_column("maps", pa.array([[("k", i)] for i in range(ROWS)],
                                               pa.map_(pa.string(), pa.int64())))
    rows = rows.append_column("bytes", pa.array([b"\xff"] * ROWS))
    rows = rows.append_column("lasts", pa.array([i for i in range(ROWS)], pa.duration("us")))
    pq.write_table(rows.select(["lists", "parts", "x1", "maps", "bytes", "c3", "id", "lasts"]),
                   folder.file("type-nested.parquet"))
    with ipc.new_file(folder.file("type-nested-ipc.arrow"), rows.schema) as out:
        out.write_table(rows)
    runs = pa.array(numbers()).dictionary_encode()
    write("dictionary-numbers", 1, runs)


def of_pandas(folder):
    frame = table().to_pandas()
    frame.to_parquet(folder.file("pandas.parquet"))
    frame.set_index("c3", drop=False).rename_axis("level").to_parquet(
        folder.file("pandas-index.parquet"))
    frame.to_feather(folder.file("pandas.feather"))
    typed = frame.astype({"c3": "category", "id": "Int32"})
    typed.to_parquet(folder.file("pandas-category.parquet"), compression="gzip")
    typed.to_feather(folder.file("pandas-category.feather"))


def of_polars(folder):
    frame = pl.from_arrow(table())
    for codec in ["zstd", "lz4", "snappy", "gzip", "brotli", "uncompressed"]:
        frame.write_parquet(folder.file(f"polars-{codec}.parquet"), compression=codec)
    frame.write_parquet(folder.file("polars-groups.parquet"), row_group_size=64, data_page_size=128)
    typed = frame.with_columns(pl.col("c3").cast(pl.Categorical), pl.col("id").cast(pl.Int16))
    typed.write_parquet(folder.file("polars-categorical.parquet"))
    enum = frame.with_columns(pl.col("c3").cast(pl.Enum(LEVELS)))
    enum.write_ipc(folder.file("polars-enum.arrow"))
    for codec in ["uncompressed", "lz4", "zstd"]:
        frame.write_ipc(folder.file(f"polars-{codec}.arrow"), compression=codec)
        frame.write_ipc_stream(folder.file(f"polars-stream-{codec}.arrows"), compression=codec)
    typed.write_ipc(folder.file("polars-categorical.arrow"))


def cell(value):
    if isinstance(value, (float, np.floating)):
        wide = isinstance(value, float)
        return struct.pack(">d" if wide else ">f", value).hex()
    return value


def read(path):
    if path.endswith(".parquet"):
        tables = [pq.read_table(path), pl.read_parquet(path).to_arrow()]
    elif path.endswith(".arrows"):
        tables = [ipc.open_stream(path).read_all(), pl.read_ipc_stream(path).to_arrow()]
    else:
        tables = [feather.read_table(path), pl.read_ipc(path).to_arrow()]
    for rows in tables:
        print(json.dumps(rows.column_names))
        for row in zip(*(column.to_pylist() for column in rows.columns)):
            print(json.dumps([cell(value) for value in row]))


if __name__ == "__main__":
    word, path = sys.argv[1:]
    if word == "read":
        read(path)
    else:
        for writers in [of_pyarrow, replaced, of_types, of_pandas, of_polars]:
            writers(Folder(path))
