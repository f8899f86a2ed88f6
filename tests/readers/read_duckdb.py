"""Reads a data folder with DuckDB."""

import duckdb

import expected

KINDS = {
    "Bool": "BOOLEAN",
    "Float": "DOUBLE",
    "Int": "BIGINT",
    "Json": "VARCHAR",
    "Name": "VARCHAR",
    "Text": "VARCHAR",
    "Time": "TIMESTAMP WITH TIME ZONE",
}


def read(table):
    connection = duckdb.connect()
    connection.execute("SET TimeZone = 'UTC'")
    source = f"read_parquet('{table.pattern}', hive_partitioning = true)"
    described = connection.execute(f"DESCRIBE SELECT * FROM {source}").fetchall()
    types = {name: kind for name, kind, *_ in described}
    for key in table.keys:
        del types[key]
    result = connection.execute(f"SELECT * FROM {source}")
    names = [column[0] for column in result.description]
    rows = [dict(zip(names, row)) for row in result.fetchall()]
    for row in rows:
        # DuckDB makes a DATE of a key that looks like one.
        row.update({key: str(row[key]) for key in table.keys})
    return types, rows


expected.check("duckdb", KINDS, read)
