"""Reads a data folder with pandas, and with pyarrow, which pandas reads Parquet with."""

import pandas
import pyarrow
import pyarrow.dataset

import expected

KINDS = {
    "Bool": pyarrow.bool_(),
    "Float": pyarrow.float64(),
    "Int": pyarrow.int64(),
    "Json": pyarrow.string(),
    "Name": pyarrow.string(),
    "Text": pyarrow.string(),
    "Time": pyarrow.timestamp("us", tz="UTC"),
}


def read_arrow(table):
    source = pyarrow.dataset.dataset(table.folder, partitioning="hive").to_table()
    types = {field.name: field.type for field in source.schema if field.name not in table.keys}
    return types, source.to_pylist()


def read(table):
    # pandas' own types have no missing integer, so that one would come as a float.
    frame = pandas.read_parquet(table.folder, dtype_backend="pyarrow")
    types = {
        name: kind.pyarrow_dtype for name, kind in frame.dtypes.items() if name not in table.keys
    }
    rows = [{name: plain(cell) for name, cell in row.items()} for row in frame.to_dict("records")]
    arrow_types, arrow_rows = read_arrow(table)
    faults = list(expected.compare(table, arrow_types, KINDS, arrow_rows))
    if faults:
        raise SystemExit(f"pyarrow: {table.name}: {faults[0]}")
    return types, rows


def plain(cell):
    """pandas' missing value and its own kind of time as Python's."""
    if cell is pandas.NA or cell is pandas.NaT:
        return None
    return cell.to_pydatetime() if isinstance(cell, pandas.Timestamp) else cell


expected.check("pandas", KINDS, read)
