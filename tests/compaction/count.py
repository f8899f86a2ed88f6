"""Counts an archive with several readers again and again while it is stored and merged.

A look may fail, where a file was merged between listing and opening: a marker has its name for a
while, and then nothing has. It may never count wrong."""

import itertools
import pathlib
import re
import sys

import duckdb
import numpy
import polars as pl
import pyarrow.dataset

data, records, rows = pathlib.Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
archive = data / "parquet"
connection = duckdb.connect()


def with_duckdb(glob):
    query = f"SELECT sequence FROM read_parquet('{archive}/{glob}')"
    return connection.execute(query).fetchnumpy()["sequence"]


def with_polars():
    every = pl.scan_parquet(f"{archive}/**/*.parquet")
    return every.select("sequence").collect()["sequence"].to_numpy()


def with_pyarrow():
    every = pyarrow.dataset.dataset(archive / "index_ticks", format="parquet", partitioning="hive")
    return every.to_table(columns=["sequence"])["sequence"].to_numpy()


readers = {
    "duckdb": lambda: with_duckdb("index_ticks/*/*/*.parquet"),
    "duckdb, everything below": lambda: with_duckdb("**/*.parquet"),
    "polars, everything below": with_polars,
    "pyarrow": with_pyarrow,
}


def stored():
    return int((data / "stored").read_text())


# What each reader says of a file that is no Parquet file, and what DuckDB and polars do where they
# read the footer when it was one. polars does not say of which.
polars_errors = (pl.exceptions.ComputeError, pl.exceptions.PanicException)
no_parquet = {
    "duckdb": (duckdb.Error, r"(?:No magic bytes|bytes outside file).*?(/.+?\.parquet)"),
    "polars": (polars_errors, r"of specification: .*PAR1\"? or \"?PARE|range.end as u64 <= self.size"),
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
    while True:
        try:
            return set(archive.glob("**/*.parquet"))
        except FileNotFoundError:
            # A folder went while it was being listed, and said so: look again.
            continue


def has_vanished(name, error, listed):
    """Whether the reader met a name that was merged away: nothing there, or a marker."""
    if "No such file" in str(error):
        return isinstance(error, (duckdb.Error, pl.exceptions.PolarsError, OSError))
    kind, says = no_parquet[name.split(",")[0]]
    said = re.search(says, str(error)) if isinstance(error, kind) else None
    if said is None:
        return False
    met = said.groups() or listed | names()
    return any(map(is_marker, met))


counters = [{name: 0 for name in readers} for _ in range(3)]
looks, gone, marked = counters
for name in itertools.cycle(readers):
    before, listed = stored(), names()
    try:
        found = readers[name]()
    except (Exception, pl.exceptions.PanicException) as error:
        if not has_vanished(name, error, listed):
            raise
        (gone if "No such file" in str(error) else marked)[name] += 1
        continue
    after = stored() + 1
    # What was stored while it looked may be there, of each folder what it listed there.
    times = numpy.bincount(found, minlength=after * rows)
    right = len(times) == after * rows and times.max() == 1 and times[: before * rows].all()
    if not right or numpy.ptp(times.reshape(-1, rows), axis=1).any():
        kinds = zip(*numpy.unique(times, return_counts=True))
        says = ", ".join(f"{count} rows {kind} times" for kind, count in kinds)
        sys.exit(f"{name}: of {before} to {after} records of {rows} rows it sees {says}")
    looks[name] += 1
    if before == records and (data / "merged").exists() and min(looks.values()) > 10:
        break
for name in readers:
    met = f"{marked[name]} met a marker, {gone[name]} a name that was gone"
    print(f"{name}: {looks[name]} looks counted right; {met}")
