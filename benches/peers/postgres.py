"""One client storing quotes, as a line of JSON: postgres.py CLIENT URL FILE...

A file is a transaction: rows as COPY writes them, binary for psql-binary and text for the others.
What is stored is in the client's own objects before the clock starts. CPU time is the process's.
"""

import asyncio
import json
import resource
import subprocess
import sys
import tempfile
import time
from datetime import datetime
from decimal import Decimal

client, url, *files = sys.argv[1:]
COLUMNS = """timestamp instrument best_bid_price best_bid_amount best_ask_price best_ask_amount
    underlying_price mark_price delta gamma theta vega rho implied_volatility bid_iv ask_iv mark_iv
    open_interest last_price""".split()


def rows(file, number):
    def cell(text):
        return None if text == "\\N" else number(text)

    with open(file) as lines:
        for line in lines:
            time, name, *cells = line.rstrip("\n").split("\t")
            yield datetime.fromisoformat(time), name, *map(cell, cells)


def transactions(number):
    return [list(rows(file, number)) for file in files]


def psql(format):
    with tempfile.NamedTemporaryFile("w") as script:
        for file in files:
            print(f"\\copy quotes from '{file}' with (format {format})", file=script)
        script.flush()
        done = ["psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", url, "-f", script.name]
        return measure(lambda: subprocess.run(done, check=True), resource.RUSAGE_CHILDREN)


def adbc():
    import pyarrow
    from adbc_driver_postgresql import dbapi
    from pyarrow import csv

    decimal = pyarrow.decimal128(38, 10)
    types = {column: decimal for column in COLUMNS[2:]}
    types |= {"timestamp": pyarrow.timestamp("us", "UTC"), "instrument": pyarrow.string()}
    reading = {
        "read_options": csv.ReadOptions(column_names=COLUMNS),
        "parse_options": csv.ParseOptions(delimiter="\t"),
        "convert_options": csv.ConvertOptions(column_types=types, null_values=["\\N"]),
    }
    tables = [csv.read_csv(file, **reading) for file in files]
    with dbapi.connect(url) as connection, connection.cursor() as cursor:

        def work():
            for table in tables:
                cursor.adbc_ingest("quotes", table, mode="append")
                connection.commit()

        return measure(work)


def with_asyncpg(number, store):
    import asyncpg

    stored = transactions(number)

    async def session():
        connection = await asyncpg.connect(url)
        before = start()
        for transaction in stored:
            await store(connection, transaction)
        result = stop(before)
        await connection.close()
        return result

    return asyncio.run(session())


async def copied(connection, records):
    await connection.copy_records_to_table("quotes", records=records, columns=COLUMNS)


async def inserted(connection, records):
    await connection.executemany(INSERT, records)


async def upserted(connection, records):
    await connection.executemany(UPSERT, records)


def psycopg():
    import psycopg

    stored = transactions(Decimal)
    types = ["timestamptz", "text"] + ["numeric"] * 17
    with psycopg.connect(url) as connection, connection.cursor() as cursor:

        def work():
            for transaction in stored:
                with cursor.copy("COPY quotes FROM STDIN (FORMAT BINARY)") as copy:
                    copy.set_types(types)
                    for row in transaction:
                        copy.write_row(row)
                connection.commit()

        return measure(work)


def start(who=resource.RUSAGE_SELF):
    used = resource.getrusage(who)
    return time.perf_counter(), used.ru_utime + used.ru_stime, who


def stop(before):
    wall, cpu, who = before
    used = resource.getrusage(who)
    return {
        "wall_s": time.perf_counter() - wall,
        "client_s": used.ru_utime + used.ru_stime - cpu,
    }


def measure(work, who=resource.RUSAGE_SELF):
    before = start(who)
    work()
    return stop(before)


INSERT = f"INSERT INTO quotes VALUES ({', '.join(f'${n + 1}' for n in range(len(COLUMNS)))})"
# Its statement, and its numbers: what json.loads makes of them.
UPSERT = f"{INSERT} ON CONFLICT (timestamp, instrument) DO UPDATE SET " + ", ".join(
    f"{column} = COALESCE(EXCLUDED.{column}, quotes.{column})" for column in COLUMNS[2:]
)
CLIENTS = {
    "psql-binary": lambda: psql("binary"),
    "psql-text": lambda: psql("text"),
    "adbc": adbc,
    "asyncpg": lambda: with_asyncpg(Decimal, copied),
    "psycopg": psycopg,
    "insert": lambda: with_asyncpg(Decimal, inserted),
    "predecessor": lambda: with_asyncpg(float, upserted),
}
print(json.dumps(CLIENTS[client]()))
