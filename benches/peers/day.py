"""One measurement of one peer, as a line of JSON: day.py SYSTEM write|read SETTING COLUMNS OUT FILE...

Writing: the rows of the files are in memory, in the system's own table, in the archive's order. CPU
time is the process's, all threads; the memory is what was added at most while it was measured.
"""

import json
import os
import sys
import time

system, what, setting, columns, out, *files = sys.argv[1:]
columns = columns.split(",")


def status(name):
    with open("/proc/self/status") as lines:
        return next(int(line.split()[1]) for line in lines if line.startswith(name))


def measure(work):
    with open("/proc/self/clear_refs", "w") as refs:
        refs.write("5")
    kib, before = status("VmRSS"), time.process_time()
    result = work()
    cpu = time.process_time() - before
    return result, cpu, (status("VmHWM") - kib) / 1024


def pyarrow():
    import pyarrow.parquet as parquet

    def read():
        return parquet.read_table(files, columns=columns)

    if what == "read":
        return lambda: read().num_rows
    table = read()
    level = {"compression": "zstd", "compression_level": 1} if setting == "zstd 1" else {}
    return lambda: parquet.write_table(table, out, **level) or table.num_rows


def polars():
    import polars

    def read():
        return polars.read_parquet(files, columns=columns, hive_partitioning=False)

    if what == "read":
        return lambda: read().height
    table = read()
    level = {"compression": "zstd", "compression_level": 1} if setting == "zstd 1" else {}
    return lambda: table.write_parquet(out, **level) or table.height


def duckdb():
    import duckdb

    connection = duckdb.connect()
    select = f"SELECT {', '.join(columns)} FROM read_parquet({files}, hive_partitioning = false)"
    if what == "read":
        # Counting alone would read no column: the table is made.
        return lambda: connection.execute(f"CREATE TABLE rows AS {select}").fetchone()[0]
    connection.execute(f"CREATE TABLE rows AS {select}")
    level = ", COMPRESSION zstd, COMPRESSION_LEVEL 1" if setting == "zstd 1" else ""
    copy = f"COPY rows TO '{out}' (FORMAT parquet{level})"
    return lambda: connection.execute(copy).fetchone()[0]


rows, cpu, mib = measure({"pyarrow": pyarrow, "polars": polars, "duckdb": duckdb}[system]())
size = os.path.getsize(out) if what == "write" else sum(map(os.path.getsize, files))
print(json.dumps({"rows": rows, "bytes": size, "cpu_s": cpu, "mib": mib}))
