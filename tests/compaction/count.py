"""Counts an archive with several readers again and again while it is stored and merged.

A look may fail, where a file was merged between listing and opening: a marker has its name for a
while, and then nothing has. It may never count wrong."""

import itertools
import pathlib
import re
import sys

import duckdb
import polars as pl
import pyarrow.dataset

data, records, rows = pathlib.Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
archive = data / "parquet"
connection = duckdb.connect()


def with_duckdb(glob):
    found = "count(*), count(DISTINCT sequence), min(sequence), max(sequence)"
    query = f"SELECT {found} FROM read_parquet('{archive}/{glob}')"
    return connection.execute(query).fetchone()


def with_polars():
    sequence = pl.col("sequence")
    every = pl.scan_parquet(f"{archive}/**/*.parquet")
    wanted = [sequence.count().alias("rows"), sequence.n_unique().alias("distinct")]
    wanted += [sequence.min().alias("least"), sequence.max().alias("greatest")]
    return every.select(wanted).collect().row(0)


def with_pyarrow():
    every = pyarrow.dataset.dataset(archive / "index_ticks", format="parquet", partitioning="hive")
    sequence = every.to_table(columns=["sequence"])["sequence"].to_pylist()
    return len(sequence), len(set(sequence)), min(sequence), max(sequence)


readers = {
    "duckdb": lambda: with_duckdb("index_ticks/*/*/*.parquet"),
    "duckdb, everything below": lambda: with_duckdb("**/*.parquet"),
    "polars, everything below": with_polars,
    "pyarrow": with_pyarrow,
}


def stored():
    return int((data / "stored").read_text())


# What each reader says of a file that is no Parquet file. polars does not say of which.
no_parquet = {
    "duckdb": (duckdb.InvalidInputException, r"No magic bytes found at end of file '(.+?)'"),
    "polars": (pl.exceptions.ComputeError, r"File out of specification: .*PAR1 or \"?PARE"),
    "pyarrow": (pyarrow.ArrowInvalid, r"input source '(.+?)': Parquet magic bytes not found"),
}
MARKER = b"This is no Parquet file but a note of tapedeck, which belongs to merged-"


def is_marker(path):
    """Whether a marker has that name, or had it and is removed by now."""
    try:
        return pathlib.Path(path).read_bytes().startswith(MARKER)
    except FileNotFoundError:
        return True


def names():
    return set(archive.glob("**/*.parquet"))


def has_vanished(name, error, listed):
    """Whether the reader met a name that was merged away: nothing there, or a marker."""
    if isinstance(error, (duckdb.Error, pl.exceptions.PolarsError, OSError)):
        if "No such file" in str(error):
            return True
    kind, says = no_parquet[name.split(",")[0]]
    said = re.search(says, str(error), re.DOTALL) if isinstance(error, kind) else None
    if said is None or said.groups():
        return said is not None and is_marker(said.group(1))
    return any(map(is_marker, listed | names()))


counters = [{name: 0 for name in readers} for _ in range(3)]
looks, gone, marked = counters
for name in itertools.cycle(readers):
    before, listed = stored(), names()
    try:
        found = readers[name]()
    except Exception as error:
        if not has_vanished(name, error, listed):
            raise
        (gone if "No such file" in str(error) else marked)[name] += 1
        continue
    after = stored() + 1
    count, distinct, least, greatest = found
    whole = count % rows == 0 and before <= count // rows <= after
    if not whole or distinct != count or (least, greatest) != (0, count - 1):
        sys.exit(f"{name}: {found} of {before} to {after} records of {rows} rows")
    looks[name] += 1
    if before == records and (data / "merged").exists() and min(looks.values()) > 10:
        break
for name in readers:
    met = f"{marked[name]} met a marker, {gone[name]} a name that was gone"
    print(f"{name}: {looks[name]} looks counted right; {met}")
