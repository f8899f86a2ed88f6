"""What the sink was given, and the comparison of it with what a reader finds."""

import datetime
import json
import pathlib
import struct
import sys

UTC = datetime.timezone.utc
EPOCH = datetime.datetime(1970, 1, 1, tzinfo=UTC)


class Table:
    """One table of expected.json."""

    def __init__(self, data, name, entry):
        self.name = name
        self.columns = dict(entry["columns"])  # name: kind
        self.folder = data / "parquet" / name
        currency, date = entry["currency_of"], entry["date_of"]
        keys = [("currency", currency), ("date", date)]
        self.keys = [key for key, column in keys if column is not None]
        self.pattern = str(self.folder / "/".join(["*"] * len(self.keys) + ["*.parquet"]))
        self.rows = []
        for cells in entry["rows"]:
            kinds = zip(self.columns.items(), cells, strict=True)
            row = {name: value(kind, cell) for (name, kind), cell in kinds}
            if currency is not None:
                row["currency"] = entry["currencies"][row[currency]]
            if date is not None:
                row["date"] = row[date].date().isoformat()
            self.rows.append(row)


def value(kind, cell):
    """A cell of expected.json as Python's own value."""
    if cell is None:
        return None
    if kind == "Float":
        return struct.unpack(">d", bytes.fromhex(cell[2:]))[0]
    if kind == "Time":
        return EPOCH + datetime.timedelta(microseconds=cell)
    return cell


def same(found, expected):
    """Whether two cells have one type and one value, a float to the bit, a time in UTC."""
    if type(found) is not type(expected):
        return False
    if isinstance(expected, float):
        return repr(found) == repr(expected)
    if isinstance(expected, datetime.datetime):
        return found == expected and found.utcoffset() == datetime.timedelta(0)
    return found == expected


def compare(table, types, kinds, rows):
    """The faults of a table as read.

    types: what the reader calls the type of each column, the folders' keys left out
    kinds: what it should call each kind
    rows: dictionaries of Python's own values
    """
    expected = {name: kinds[kind] for name, kind in table.columns.items()}
    for name in expected | types:
        if types.get(name) != expected.get(name):
            yield f"{name} has type {types.get(name)} instead of {expected.get(name)}"
    if len(rows) != len(table.rows):
        yield f"{len(rows)} rows instead of {len(table.rows)}"
    ordered = sorted(rows, key=lambda row: row["sequence"])
    for found, row in zip(ordered, table.rows):
        if found.keys() != row.keys():
            yield f"a row has the columns {list(found)} instead of {list(row)}"
            return
        for name, cell in row.items():
            if not same(found[name], cell):
                where = f"row {row['sequence']}, {name}"
                yield f"{where}: {found[name]!r} instead of {cell!r}"


def check(reader, kinds, read):
    """Compares every table; read(table) gives its types and rows."""
    data = pathlib.Path(sys.argv[1])
    text = (data / "expected.json").read_text(encoding="utf-8")
    tables = [Table(data, *item) for item in json.loads(text).items()]
    faults = []
    for table in tables:
        types, rows = read(table)
        faults += [f"{table.name}: {fault}" for fault in compare(table, types, kinds, rows)]
    if faults:
        shown = "\n".join(faults[:20])
        sys.exit(f"{reader}: {len(faults)} faults, the first of them:\n{shown}")
    rows = sum(len(table.rows) for table in tables)
    print(f"{reader}: {len(tables)} tables, {rows} rows as written")
