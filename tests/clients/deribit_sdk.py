"""deribit-trading-sdk, unchanged: it checks every field's type; prints as JSON what it heard."""

import asyncio
import json
import sys

from deribit.core import HttpClient, SocketClient
from deribit.market_data import MarketData
from deribit.subscriptions.public import PublicSubscriptions

PERPETUAL = "BTC-PERPETUAL"
TRADES = 40
CHANGES = 60
WINDOWS = 20


async def trades(listener):
    heard = []
    async for some in listener.trades(instrument_name=PERPETUAL):
        heard += [trade(it) for it in some]
        if len(heard) >= TRADES:
            return heard


def trade(it):
    return {
        "name": it["instrument_name"],
        "seq": it["trade_seq"],
        "id": it["trade_id"],
        "timestamp": it["timestamp"],
        "price": float(it["price"]),
        "amount": float(it["amount"]),
        "side": it["direction"],
    }


async def book(listener):
    """The book after so many changes, each of them the next of its chain."""
    snapshot, changes = await listener.depth_updates(PERPETUAL, interval="100ms")
    first = await snapshot
    sides = {side: {price: amount for _, price, amount in first[side]} for side in ["bids", "asks"]}
    last, heard = first["change_id"], 0
    async for change in changes:
        assert change["prev_change_id"] == last, change
        last = change["change_id"]
        for side, levels in sides.items():
            for _, price, amount in change[side]:
                levels.pop(price, None)
                if amount:
                    levels[price] = amount
        heard += 1
        if heard == CHANGES:
            break
    rows = {side: pairs(sorted(levels.items())) for side, levels in sides.items()}
    return {"change_id": last, "bids": rows["bids"][::-1], "asks": rows["asks"]}


def pairs(levels):
    return [[float(price), float(amount)] for price, amount in levels]


async def windows(listener):
    heard = []
    async for it in listener.depth(PERPETUAL, depth=10):
        rows = {side: pairs(it[side]) for side in ["bids", "asks"]}
        heard.append({"change_id": it["change_id"]} | rows)
        if len(heard) == WINDOWS:
            return heard


async def main(domain):
    async with HttpClient(domain=domain) as client:
        asked = MarketData(client)
        # Its own check of an instrument cannot pass: it wants the option type "oops".
        listed = await asked.get_instruments("BTC", kind="option", validate=False)
        seen = {"instruments": sorted(it["instrument_name"] for it in listed["result"])}
    async with SocketClient(domain=domain) as client:
        listener = PublicSubscriptions(client)
        heard = await asyncio.gather(trades(listener), book(listener), windows(listener))
    seen |= dict(zip(["trades", "book", "windows"], heard))
    first, last = (seen["trades"][at]["seq"] for at in [0, -1])
    async with HttpClient(domain=domain) as client:
        asked = MarketData(client).get_last_trades_by_instrument
        some = await asked(PERPETUAL, start_seq=first, end_seq=last, count=1000, sorting="asc")
    seen["again"] = [trade(it) for it in some["result"]["trades"]]
    print(json.dumps(seen))


asyncio.run(main(*sys.argv[1:]))
