"""Reads a data folder with polars."""

import polars

import expected

KINDS = {
    "Bool": polars.Boolean(),
    "Float": polars.Float64(),
    "Int": polars.Int64(),
    "Json": polars.String(),
    "Name": polars.String(),
    "Text": polars.String(),
    "Time": polars.Datetime("us", "UTC"),
}


def read(table):
    frame = polars.scan_parquet(table.pattern, hive_partitioning=True).collect()
    types = {name: kind for name, kind in frame.schema.items() if name not in table.keys}
    rows = frame.rows(named=True)
    for row in rows:
        # polars makes a Date of a key that looks like one.
        row.update({key: str(row[key]) for key in table.keys})
    return types, rows


expected.check("polars", KINDS, read)
