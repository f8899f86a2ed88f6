"""Runs the code blocks of docs/research.md and compares what they find.

usage: run.py PAGE FOLDER TAPEDECK

FOLDER has data/, a recording, and truth.jsonl, what the exchange sent meanwhile. A block's info
string is its language, its recipe and, for Python, the reader: a recipe's blocks must agree with
each other and with what truth.py makes of the truth without any of the readers.
"""

import json
import math
import os
import re
import subprocess
import sys
from datetime import datetime, timedelta, timezone
from pathlib import Path

import duckdb
import pandas as pd
import polars as pl
from truth import Truth

EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
# What the page says instead of the time of the recording.
PAGE_AT, PAGE_DAY, PAGE_NEXT_DAY = "2026-11-24 12:00:00Z", "2026-11-24", "2026-11-25"


def main(page, folder, tapedeck):
    os.chdir(folder)
    blocks = re.findall(r"^```(\w+) (\w+)(?: (\w+))?\n(.*?)^```$", page, re.M | re.S)
    at = moment()
    found = {}
    setup = {}
    for language, recipe, reader, code in blocks:
        code = placed(code, at)
        if recipe == "setup":
            setup[language] = code
        elif language == "sh":
            shell(code, tapedeck)
        else:
            reader = reader or "duckdb"
            run = {"sql": sql, "python": python}[language]
            rows = run(setup[language], code)
            assert rows, f"{recipe} in {reader} finds nothing"
            found.setdefault(recipe, {})[reader] = rows
    gaps = json.loads(Path("calls/manifest.json").read_text())["gaps"]
    truth = Truth(Path("truth.jsonl"), gaps)
    for recipe, results in found.items():
        judge(recipe, results, truth, at)
    readers = sum(len(results) for results in found.values())
    print(f"{len(found)} recipes, {readers} blocks, all as the exchange sent it")


def moment():
    """An instant in the last third of the recording, between two milliseconds of the exchange."""
    received = pl.scan_parquet("data/parquet/option_quotes/**/*.parquet").select("received_at")
    times = received.collect()["received_at"].sort()
    return times[len(times) * 5 // 6].replace(microsecond=500)


def placed(code, at):
    """The code of the page, at the time of the recording."""
    meant = {
        PAGE_AT: at.strftime("%Y-%m-%d %H:%M:%S.%fZ"),
        PAGE_DAY: f"{at.date()}",
        PAGE_NEXT_DAY: f"{at.date() + timedelta(days=1)}",
    }
    return re.sub("|".join(meant), lambda said: meant[said[0]], code)


def sql(setup, code):
    connection = duckdb.connect()
    connection.sql(setup)
    answer = connection.sql(code)
    names = answer.columns
    return [dict(zip(names, map(plain, row))) for row in answer.fetchall()]


def python(setup, code):
    space = {}
    exec(compile(setup, "setup", "exec"), space)
    exec(compile(code, "block", "exec"), space)
    result = space["result"]
    if isinstance(result, pd.DataFrame):
        result = result.astype(object).where(result.notna(), None)
        rows = result.to_dict("records")
    else:
        assert isinstance(result, pl.DataFrame), type(result)
        rows = result.to_dicts()
    return [{name: plain(cell) for name, cell in row.items()} for row in rows]


def shell(code, tapedeck):
    path = f"{Path(tapedeck).parent}:{os.environ['PATH']}"
    subprocess.run(["bash", "-euc", code], check=True, env=os.environ | {"PATH": path})


def plain(cell):
    """A cell as a text, a number, or the microseconds of an instant."""
    if isinstance(cell, pd.Timestamp):
        cell = cell.to_pydatetime()
    if isinstance(cell, datetime):
        return (cell - EPOCH) // timedelta(microseconds=1)
    if cell is None or isinstance(cell, (str, bool, int)):
        return cell
    return None if math.isnan(float(cell)) else float(cell)


def judge(recipe, results, truth, at):
    """Every reader against the truth, cell by cell."""
    expected, choose = truth.of(recipe, plain(at))
    assert expected, f"the truth has nothing for {recipe}; gaps: {truth.gaps}"
    for reader, rows in results.items():
        rows = [row for row in rows if choose(row)]
        compare(f"{recipe} in {reader}", rows, expected)
    # And what the truth cannot judge, among themselves.
    (first, rows), *others = results.items()
    for reader, other in others:
        compare(f"{recipe} in {reader} and {first}", other, rows)


def compare(what, rows, expected):
    for number, (row, other) in enumerate(zip(rows, expected)):
        assert set(row) == set(other), f"{what}: {sorted(row)}, not {sorted(other)}"
        for name, cell in row.items():
            assert same(cell, other[name]), f"{what}: row {number}: {row}, not {other}"
    assert len(rows) == len(expected), f"{what}: {len(rows)} rows, not {len(expected)}"


def same(cell, other):
    """Equal; a computed float to the last digits but one."""
    if isinstance(cell, (int, float)) and isinstance(other, (int, float)):
        return math.isclose(cell, other, rel_tol=1e-12, abs_tol=1e-15)
    return cell == other


if __name__ == "__main__":
    main(Path(sys.argv[1]).read_text(), Path(sys.argv[2]), sys.argv[3])
