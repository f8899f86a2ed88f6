"""An export holds the archive's rows: nothing of ours is used to say so.

usage: check.py DATA OUT

Reads the archive with pyarrow, chooses and sorts in Python, and compares every file of the export
as pyarrow, polars and pandas read it; the digests are computed anew as docs/research.md says.
"""

import fnmatch
import hashlib
import json
import struct
import sys
from datetime import datetime, timezone
from pathlib import Path

import pandas
import polars
import pyarrow as pa
import pyarrow.csv
import pyarrow.feather
import pyarrow.parquet

UTC_US = pa.timestamp("us", "UTC")
NAMES = {"index_ticks": "index_name", "instruments": "instrument_name"}
TIMES = {
    "instruments": "observed_at",
    "lifecycle_events": "event_time",
    "data_gaps": "start_time",
    "quarantine": "received_at",
}
WITHOUT_NAMES = {"lifecycle_events", "data_gaps", "collector_status", "quarantine"}


def main(data, out):
    manifest = json.loads((out / "manifest.json").read_text())
    assert manifest["finished"]
    request = manifest["request"]
    rows = 0
    for entry in manifest["files"]:
        path = out / entry["path"]
        assert len(path.read_bytes()) == entry["bytes"], path
        assert hashlib.sha256(path.read_bytes()).hexdigest() == entry["sha256"], path
        expected = archived(data, entry, request)
        assert expected.num_rows == entry["rows"], (path, expected.num_rows, entry["rows"])
        assert digest(expected) == entry["rows_sha256"], path
        for reader, found in read(path, request["format"], expected.schema):
            assert found.schema.names == expected.schema.names, (reader, path)
            assert digest(found) == entry["rows_sha256"], difference(reader, path, found, expected)
        rows += entry["rows"]
    files = {str(path.relative_to(out)) for path in out.rglob("*") if path.is_file()}
    named = {entry["path"] for entry in manifest["files"]} | {"manifest.json"}
    assert files == named, files ^ named
    what = f"{request['format']}, {request['schema']}, {request['order']}"
    print(f"{what}: {len(manifest['files'])} files, {rows} rows")


def archived(data, entry, request):
    """The rows of one file, out of the archive."""
    table = entry["table"]
    tardis = request["schema"] == "tardis"
    folder = data / "parquet" / table
    paths = folder.rglob("*.parquet")
    if entry["currency"] is not None:
        paths = (folder / f"currency={entry['currency']}").rglob("*.parquet")
    # Read as files, so that the folders' names add no columns.
    rows = pa.concat_tables([pa.parquet.ParquetFile(path).read() for path in sorted(paths)])
    time = "received_at" if tardis else TIMES.get(table, "timestamp")
    name = None if table in WITHOUT_NAMES else NAMES.get(table, "instrument")
    start, end = (micros(entry["interval"][end]) for end in ("from", "to"))
    globs = request["instruments"]
    chosen = [
        start <= at < end
        and (not globs or any(fnmatch.fnmatchcase(text, glob) for glob in globs))
        for at, text in zip(integers(rows[time]), rows[name or time].to_pylist())
    ]
    rows = rows.filter(pa.array(chosen, pa.bool_()))
    by_name = [name] if name is not None and table != "instruments" else []
    by_time = [TIMES.get(table, "timestamp")]
    orders = {"instrument": by_name + by_time, "timestamp": by_time, "received_at": ["received_at"]}
    keys = orders[request["order"]]
    columns = [rows[key].to_pylist() for key in keys + ["sequence"]]
    order = sorted(range(rows.num_rows), key=lambda row: [column[row] for column in columns])
    rows = rows.take(pa.array(order, pa.int64()))
    return chain(rows) if tardis else rows


def chain(quotes):
    """Option quotes as tardis.dev's options_chain, from its documentation."""
    names = quotes["instrument"].to_pylist()
    parts = [name.split("-") for name in names]
    is_option = [len(part) == 4 and part[3] in "CP" for part in parts]

    def of_option(what):
        return [what(part) if option else None for part, option in zip(parts, is_option)]

    def expiration(part):
        day = datetime.strptime(part[1].title() + "+0000", "%d%b%y%z")
        return int(day.timestamp() + 8 * 3600) * 1_000_000

    def present(name):
        return pa.array([one or None for one in quotes[name].to_pylist()], pa.float64())

    columns = {
        "exchange": pa.array(["deribit"] * len(names), pa.string()),
        "symbol": pa.array([name.upper() for name in names], pa.string()),
        "timestamp": quotes["timestamp"].cast(pa.int64()),
        "local_timestamp": quotes["received_at"].cast(pa.int64()),
        "type": pa.array(of_option(lambda p: {"C": "call", "P": "put"}[p[3]]), pa.string()),
        "strike_price": pa.array(of_option(lambda p: float(p[2].replace("d", "."))), pa.float64()),
        "expiration": pa.array(of_option(expiration), pa.int64()),
        "open_interest": quotes["open_interest"],
        "last_price": present("last_price"),
        "bid_price": present("best_bid_price"),
        "bid_amount": present("best_bid_amount"),
        "bid_iv": present("bid_iv"),
        "ask_price": present("best_ask_price"),
        "ask_amount": present("best_ask_amount"),
        "ask_iv": present("ask_iv"),
    }
    same = "mark_price mark_iv underlying_index underlying_price delta gamma vega theta rho"
    columns |= {name: quotes[name] for name in same.split()}
    return pa.table(columns)


def read(path, format, schema):
    """The file as its readers see it."""
    if format == "parquet":
        yield "pyarrow", pa.parquet.ParquetFile(path).read()
        yield "polars", polars.read_parquet(path, hive_partitioning=False).to_arrow()
        frame = pandas.read_parquet(path, dtype_backend="pyarrow", partitioning=None)
        yield "pandas", pa.Table.from_pandas(frame, schema, preserve_index=False)
    elif format == "arrow":
        yield "pyarrow", pa.feather.read_table(path)
        yield "polars", polars.read_ipc(path).to_arrow()
        frame = pandas.read_feather(path, dtype_backend="pyarrow")
        yield "pandas", pa.Table.from_pandas(frame, schema, preserve_index=False)
    else:
        # An empty text stands in quotes, a missing cell is nothing.
        yield "pyarrow", pa.csv.read_csv(
            path,
            parse_options=pa.csv.ParseOptions(newlines_in_values=True),
            convert_options=pa.csv.ConvertOptions(
                column_types=schema,
                null_values=[""],
                strings_can_be_null=True,
                quoted_strings_can_be_null=False,
            ),
        )
        frame = polars.read_csv(path, schema_overrides=dict.fromkeys(schema.names, polars.String))
        yield "polars", typed(frame.to_dict(as_series=False), schema)


def typed(columns, schema):
    """Columns of texts as what they mean."""

    def cell(kind, text):
        if text is None or pa.types.is_string(kind):
            return text
        if pa.types.is_timestamp(kind):
            return micros(text)
        if pa.types.is_boolean(kind):
            return {"true": True, "false": False}[text]
        return float(text) if pa.types.is_floating(kind) else int(text)

    arrays = [
        pa.array([cell(field.type, text) for text in columns[field.name]], field.type)
        for field in schema
    ]
    return pa.Table.from_arrays(arrays, schema=schema)


def digest(rows):
    """SHA-256 of the columns' SHA-256, as docs/research.md says."""
    whole = hashlib.sha256()
    for column in rows.columns:
        one = hashlib.sha256()
        kind = column.type
        for value in integers(column) if pa.types.is_timestamp(kind) else column.to_pylist():
            if value is None:
                one.update(b"\0")
            elif isinstance(value, bool):
                one.update(b"\1" + bytes([value]))
            elif isinstance(value, str):
                text = value.encode()
                one.update(b"\1" + struct.pack("<I", len(text)) + text)
            else:
                one.update(b"\1" + struct.pack("<d" if isinstance(value, float) else "<q", value))
        whole.update(one.digest())
    return whole.hexdigest()


def integers(column):
    return column.cast(UTC_US).cast(pa.int64()).to_pylist()


def micros(text):
    at = datetime.strptime(text, "%Y-%m-%dT%H:%M:%S.%fZ").replace(tzinfo=timezone.utc)
    seconds = int(at.replace(microsecond=0).timestamp())
    return seconds * 1_000_000 + at.microsecond


def difference(reader, path, found, expected):
    """The first cell in which two tables differ."""
    for name in expected.schema.names:
        pairs = zip(found[name].to_pylist(), expected[name].to_pylist())
        for row, (mine, theirs) in enumerate(pairs):
            if repr(mine) != repr(theirs):
                return f"{reader}: {path.name}: {name}[{row}] is {mine!r}, not {theirs!r}"
    return f"{reader}: {path}: {found.num_rows} rows, {expected.num_rows} expected; {found.schema}"


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
