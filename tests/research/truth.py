"""What the recipes must find, from the frames that the exchange sent, in plain Python."""

import bisect
import json
import re
import statistics
from collections import Counter
from datetime import datetime, timezone
from pathlib import Path

from pyarrow.parquet import ParquetFile


class Truth:
    """Every frame of the truth log, by kind, in the order of sending."""

    def __init__(self, path, gaps):
        self.tickers = {}
        self.trades = {}
        self.books = {}
        self.sent = []
        for line in path.read_text().splitlines():
            try:
                line = json.loads(line)
            except ValueError:
                continue  # cut by the end of the simulator
            if "frame" not in line:
                continue
            params = json.loads(line["frame"]).get("params") or {}
            if "channel" not in params:
                continue
            self.sent.append(line["sent_at"])
            kind, data = params["channel"].split(".")[0], params["data"]
            if kind == "ticker":
                ticks = self.tickers.setdefault(data["instrument_name"], [])
                # A ticker that repeats the one before is one ticker.
                if not ticks or ticks[-1] != data:
                    ticks.append(data)
            elif kind == "trades":
                for trade in data:
                    self.trades[trade["instrument_name"], trade["trade_seq"]] = trade
            elif kind == "book":
                self.books.setdefault(data["instrument_name"], []).append(data)
        # What was sent right before the end of a recording may not have been read any more.
        # A hole in the trades of one instrument, up to its next trade, says nothing of quotes.
        ends = (gap["to"] for gap in gaps if gap["cause"] != "trade_seq")
        self.begin = max(instant(end) for end in ends if end) + 1_000_000
        self.end = self.sent[-1] - 1_000_000
        self.gaps = gaps

    def of(self, recipe, at):
        """The rows of a recipe, and which of its rows they can be compared with."""
        everything = lambda row: True
        match recipe:
            case "chain":
                return self.chain(at), everything
            case "smile":
                return self.smile(at), everything
            case "interest":
                return self.interest(at), everything
            case "book":
                return self.book("BTC-PERPETUAL", at), everything
            case "spread":
                return self.spread(), lambda row: self.covers(row["time"])
            case "funding":
                return self.funding(), lambda row: self.covers(row["time"])
            case "trades":
                inside = lambda row: self.begin <= row["timestamp"] < self.end
                return self.stood(inside), inside
            case "coverage":
                return coverage(self.gaps), everything
            case "calls":
                return calls(), everything
            case "tardis":
                return tardis(), everything
            case "replay":
                return replay(), everything
        raise AssertionError(f"nobody knows what {recipe} must find")

    def covers(self, bucket):
        return self.begin <= bucket and bucket + BUCKET_US <= self.end

    def newest(self, at):
        """The newest ticker of each BTC option at a time."""
        for name, ticks in sorted(self.tickers.items()):
            if name.startswith("BTC-") and name[-2:] in ("-C", "-P"):
                known = [tick for tick in ticks if micros(tick) <= at]
                # Of one millisecond the one that was sent last.
                if known:
                    yield name, max(reversed(known), key=micros)

    def chain(self, at):
        return [
            {
                "instrument": name,
                "timestamp": micros(tick),
                "best_bid_price": tick["best_bid_price"],
                "best_ask_price": tick["best_ask_price"],
                "mark_price": tick["mark_price"],
                "mark_iv": tick["mark_iv"],
                "delta": tick["greeks"]["delta"],
                "open_interest": tick["open_interest"],
                "underlying_price": tick["underlying_price"],
            }
            for name, tick in self.newest(at)
        ]

    def smile(self, at):
        chain = [(option(name), tick) for name, tick in self.newest(at)]
        first = min(expiry for (expiry, _, _), _ in chain if expiry > at)
        rows = [
            {
                "strike": strike,
                "option_type": kind,
                "bid_iv": tick["bid_iv"],
                "mark_iv": tick["mark_iv"],
                "ask_iv": tick["ask_iv"],
            }
            for (expiry, strike, kind), tick in chain
            if expiry == first and (kind == "call") == (strike >= tick["underlying_price"])
        ]
        return sorted(rows, key=lambda row: row["strike"])

    def interest(self, at):
        strikes = {}
        for name, tick in self.newest(at):
            _, strike, kind = option(name)
            row = strikes.setdefault(strike, {"strike": strike, "calls": None, "puts": None})
            row[kind + "s"] = (row[kind + "s"] or 0) + tick["open_interest"]
        return [strikes[strike] for strike in sorted(strikes)]

    def spread(self):
        buckets = {}
        for name, ticks in self.tickers.items():
            if not name.startswith("BTC-") or name[-2:] not in ("-C", "-P"):
                continue
            for tick in ticks:
                bid, ask = tick["best_bid_price"], tick["best_ask_price"]
                if bid and ask:
                    spread = (ask - bid) / tick["mark_price"]
                    buckets.setdefault(bucket(micros(tick)), []).append(spread)
        return [
            {"time": time, "quotes": len(spreads), "spread": statistics.median(spreads)}
            for time, spreads in sorted(buckets.items())
            if self.covers(time)
        ]

    def funding(self):
        newest = {}
        for name, ticks in self.tickers.items():
            if name.endswith("-PERPETUAL"):
                for tick in ticks:
                    key = name, bucket(micros(tick))
                    if key not in newest or micros(newest[key]) <= micros(tick):
                        newest[key] = tick
        return [
            {
                "instrument": name,
                "time": time,
                "current": tick["current_funding"],
                "eight_hours": tick["funding_8h"],
            }
            for (name, time), tick in sorted(newest.items())
            if self.covers(time)
        ]

    def stood(self, inside):
        rows = []
        for (name, number), trade in sorted(self.trades.items()):
            if name[-2:] not in ("-C", "-P") or not inside({"timestamp": micros(trade)}):
                continue
            ticks = sorted(self.tickers.get(name, []), key=micros)  # stable: the last of equals
            before = bisect.bisect_left([micros(tick) for tick in ticks], micros(trade))
            quote = ticks[before - 1] if before else None
            rows.append(
                {
                    "instrument": name,
                    "trade_seq": number,
                    "timestamp": micros(trade),
                    "direction": trade["direction"],
                    "price": trade["price"],
                    "quoted": micros(quote) if quote else None,
                    "best_bid_price": quote["best_bid_price"] if quote else None,
                    "best_ask_price": quote["best_ask_price"] if quote else None,
                }
            )
        return rows

    def book(self, name, at):
        sides = {}
        for message in self.books[name]:
            if micros(message) > at:
                break
            if message["type"] == "snapshot":
                sides = {}
            for side, levels in (("ask", message["asks"]), ("bid", message["bids"])):
                for _, price, amount in levels:
                    sides[side, price] = amount
        return [
            {"side": side, "price": price, "amount": amount}
            for (side, price), amount in sorted(sides.items())
            if amount > 0
        ]


def coverage(gaps):
    """By the gaps of an export's manifest, which the program sorted out, not a query."""
    received = [row["received_at"] for row in archived("received_at")]
    first, last = instant(min(received)), instant(max(received))
    spans = [(instant(gap["from"]), instant(gap["to"]) if gap["to"] else last) for gap in gaps]
    missing, reached = 0, first
    for start, end in sorted(spans):
        end = min(end, last)
        missing += max(end - max(start, reached), 0)
        reached = max(reached, end)
    return [{"recorded_us": last - first, "missing_us": missing}]


def calls():
    names = Counter(row["instrument"] for row in archived("instrument"))
    names = sorted(name for name in names.items() if re.fullmatch("BTC-.*-C", name[0]))
    return [{"instrument": name, "rows": rows} for name, rows in names]


def tardis():
    rows, bids = Counter(), Counter()
    for row in archived("instrument", "best_bid_price"):
        kind = option(row["instrument"])[2]
        rows[kind] += 1
        bids[kind] += bool(row["best_bid_price"])
    return [{"type": kind, "rows": rows[kind], "bids": bids[kind]} for kind in sorted(rows)]


def replay():
    rows = [row for row in archived("instrument", "received_at")]
    rows = [row for row in rows if row["instrument"].startswith("BTC-")]
    newest = max(instant(row["received_at"]) for row in rows)
    return [{"rows": len(rows), "newest": newest}]


def archived(*columns):
    """The archive's option quotes, row by row."""
    for path in Path("data/parquet/option_quotes").rglob("*.parquet"):
        yield from ParquetFile(path).read(columns=list(columns)).to_pylist()


def option(name):
    """Expiry, strike and kind, from the name alone."""
    _, day, strike, kind = name.split("-")
    expiry = datetime.strptime(day.title() + "+0000", "%d%b%y%z").timestamp() + 8 * 3600
    return int(expiry) * 1_000_000, float(strike), {"C": "call", "P": "put"}[kind]


def micros(message):
    return message["timestamp"] * 1_000


def bucket(at):
    return at - at % BUCKET_US


def instant(at):
    """The microseconds of an instant, or of its text in a manifest."""
    if isinstance(at, str):
        at = datetime.strptime(at, "%Y-%m-%dT%H:%M:%S.%fZ").replace(tzinfo=timezone.utc)
    return int(at.replace(microsecond=0).timestamp()) * 1_000_000 + at.microsecond


BUCKET_US = 10_000_000
