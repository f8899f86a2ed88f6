"""ccxt, unchanged but for its addresses: prints as JSON what its own calls made of the exchange."""

import asyncio
import copy
import json
import sys

import ccxt.pro

PERPETUAL = "BTC/USD:BTC"
TRADES = 60
TICKERS = 20
BOOKS = 30


def ticker(it):
    keys = ["timestamp", "bid", "ask", "bidVolume", "askVolume", "last", "markPrice", "indexPrice"]
    return {"name": it["info"]["instrument_name"]} | {key: it[key] for key in keys}


def trade(it):
    return {key: it[key] for key in ["id", "timestamp", "price", "amount", "side"]} | {
        "name": it["info"]["instrument_name"],
        "seq": int(it["info"]["trade_seq"]),
    }


async def watched(client, option):
    """What comes over the websocket."""
    tickers, trades, books = [], {}, []
    for symbol in [PERPETUAL, option]:
        for _ in range(TICKERS if symbol == PERPETUAL else 2):
            tickers.append(ticker(await client.watch_ticker(symbol)))
    while len(trades) < TRADES:
        for it in await client.watch_trades(PERPETUAL):
            trades[it["id"]] = trade(it)
    for _ in range(BOOKS):
        book = await client.watch_order_book(PERPETUAL)
        # The book goes on changing: what it is now is copied.
        books.append(copy.deepcopy({key: book[key] for key in ["timestamp", "bids", "asks"]}))
    return {"tickers": tickers, "trades": list(trades.values()), "books": books}


async def fetched(client, option):
    """What is asked for over HTTP."""
    book = await client.fetch_order_book(PERPETUAL, 20)
    seen = {
        "time": await client.fetch_time(),
        "status": (await client.fetch_status())["status"],
        "book": {key: book[key] for key in ["nonce", "bids", "asks"]},
        "ticker": ticker(await client.fetch_ticker(PERPETUAL)),
        "trades": [trade(it) for it in await client.fetch_trades(PERPETUAL, limit=50)],
        "greeks": (await client.fetch_greeks(option))["info"],
        "chain": [summary(it) for it in (await client.fetch_option_chain("BTC")).values()],
    }
    return seen


def summary(it):
    return {"name": it["info"]["instrument_name"], "bid": it["bidPrice"], "ask": it["askPrice"]}


async def main(rest, socket):
    client = ccxt.pro.deribit({"enableRateLimit": False})
    client.urls["api"] = {"rest": rest, "ws": socket}
    try:
        markets = await client.fetch_markets()
        await client.load_markets()
        options = [it for it in markets if it["type"] == "option" and it["base"] == "BTC"]
        option = options[0]["symbol"]
        keys = ["id", "type", "base", "settle", "strike", "expiry", "optionType", "active"]
        seen = {"markets": [{key: it[key] for key in keys} for it in markets]}
        seen["watched"] = await watched(client, option)
        seen["fetched"] = await fetched(client, option)
        print(json.dumps(seen))
    finally:
        await client.close()


asyncio.run(main(*sys.argv[1:]))
