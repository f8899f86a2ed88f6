"""Counts an archive with several readers again and again while it is stored and merged."""

import itertools
import pathlib
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


# These ask of each listed name whether it is a file and leave out, in silence, what is gone by
# then (docs/archive.md): a look that an exchange falls into may lack files. It is counted and
# printed, and the next look must be whole; nothing may ever be there twice.
asking = {"duckdb", "duckdb, everything below", "pyarrow"}
looks, vanished, lacking = ({name: 0 for name in readers} for _ in range(3))
lacked = False
for name in itertools.cycle(readers):
    before = stored()
    try:
        found = readers[name]()
    except (duckdb.Error, pl.exceptions.PolarsError, OSError) as error:
        # Between listing and opening, the file was merged into another: look again.
        if "No such file" not in str(error):
            raise
        vanished[name] += 1
        continue
    after = stored() + 1
    count, distinct, least, greatest = found
    whole = count % rows == 0 and before <= count // rows <= after
    if name in asking and not whole and not lacked and distinct == count < before * rows:
        lacking[name] += 1
        lacked = True
        continue
    lacked = False
    if not whole or distinct != count or (least, greatest) != (0, count - 1):
        sys.exit(f"{name}: {found} of {before} to {after} records of {rows} rows")
    looks[name] += 1
    if before == records and (data / "merged").exists() and min(looks.values()) > 10:
        break
for name in readers:
    met = f"{vanished[name]} met a file that was just merged, {lacking[name]} left it out"
    print(f"{name}: {looks[name]} looks, {met}")
