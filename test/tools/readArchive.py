"""Reads folders of an archive with one reader, and prints the rows of each by stream: readArchive.py READER FOLDER..."""

import json
import sys
from collections import Counter

reader, *folders = sys.argv[1:]
columns = ["exchange", "symbol", "data_type", "date"]


def pandas(folder):
    import pandas

    frame = pandas.read_parquet(folder)
    return frame[columns].astype(str).itertuples(index=False, name=None)


def pyarrow(folder):
    import pyarrow.parquet

    return by_column(pyarrow.parquet.read_table(folder))


def pyarrow_dataset(folder):
    import pyarrow.dataset

    partitioning = pyarrow.dataset.HivePartitioning.discover(infer_dictionary=True)
    return by_column(pyarrow.dataset.dataset(folder, partitioning=partitioning).to_table())


def by_column(table):
    return zip(*(table.column(name).to_pylist() for name in columns))


def polars(folder):
    import polars

    return polars.scan_parquet(f"{folder}/**/*.parquet", hive_partitioning=True).select(columns).collect().rows()


def duckdb(folder):
    import duckdb

    return duckdb.sql(f"SELECT {', '.join(columns)} FROM '{folder}/**/*.parquet'").fetchall()


read = globals()[reader]
print(json.dumps([Counter(" ".join(str(value) for value in row) for row in read(folder)) for folder in folders]))
