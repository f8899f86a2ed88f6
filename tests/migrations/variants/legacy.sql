-- What migration 000 made before the others, with a row each, and a view of the depth.

CREATE TABLE perpetuals_ohlcv (timestamp timestamptz NOT NULL, instrument text, close numeric(20,8));
CREATE TABLE futures_ohlcv (timestamp timestamptz NOT NULL, instrument text, close numeric(20,8));
CREATE TABLE options_ohlcv (timestamp timestamptz NOT NULL, instrument text, close numeric(20,8));
CREATE TABLE options_greeks (timestamp timestamptz NOT NULL, instrument text, delta numeric(8,6));
CREATE TABLE funding_rates (timestamp timestamptz NOT NULL, instrument text, rate numeric(10,8));
CREATE TABLE index_prices (timestamp timestamptz NOT NULL, currency text, price numeric(20,8));
INSERT INTO perpetuals_ohlcv VALUES ('2025-10-01 00:00+00', 'BTC-PERPETUAL', 120000.50);
INSERT INTO futures_ohlcv VALUES ('2025-10-01 00:00+00', 'BTC-26DEC25', 121000.00);
INSERT INTO options_ohlcv VALUES ('2025-10-01 00:00+00', 'BTC-26DEC25-90000-C', 0.3);
INSERT INTO options_greeks VALUES ('2025-10-01 00:00+00', 'BTC-26DEC25-90000-C', 0.9);
INSERT INTO funding_rates VALUES ('2025-10-01 00:00+00', 'BTC-PERPETUAL', 0.0001);
INSERT INTO index_prices VALUES ('2025-10-01 00:00+00', 'BTC', 120000);
CREATE MATERIALIZED VIEW latest_orderbook AS SELECT DISTINCT ON (instrument) *
    FROM eth_option_orderbook_depth ORDER BY instrument, timestamp DESC WITH NO DATA;
CREATE UNIQUE INDEX latest_orderbook_instrument ON latest_orderbook (instrument);
