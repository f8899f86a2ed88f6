-- The predecessor's tables, of what its users know of them. GREEK and IV are what migration 010
-- changed of BTC's; what stands between «» is missing where one file made the schema.

CREATE TABLE eth_option_quotes (timestamp timestamptz NOT NULL, instrument text NOT NULL,
    best_bid_price numeric(18,8), best_bid_amount numeric(18,8), best_ask_price numeric(18,8),
    best_ask_amount numeric(18,8), underlying_price numeric(18,8), mark_price numeric(18,8),
    delta numeric(8,6), gamma numeric(8,6), theta numeric(8,6), vega numeric(8,6), rho numeric(8,6),
    implied_volatility numeric(8,4), bid_iv numeric(8,4), ask_iv numeric(8,4), mark_iv numeric(8,4),
    open_interest numeric(18,8), last_price numeric(18,8), PRIMARY KEY (timestamp, instrument));
CREATE INDEX eth_quotes_instrument ON eth_option_quotes (instrument, timestamp DESC);
CREATE TABLE eth_option_trades (timestamp timestamptz NOT NULL, instrument text NOT NULL,
    trade_id text NOT NULL, price numeric(18,8) NOT NULL, amount numeric(18,8) NOT NULL,
    direction text CHECK (direction IN ('buy', 'sell')), iv numeric(8,4), index_price numeric(18,8),
    PRIMARY KEY (timestamp, instrument, trade_id));
CREATE TABLE eth_option_orderbook_depth (timestamp timestamptz NOT NULL,
    instrument varchar(50) NOT NULL, bids jsonb NOT NULL, asks jsonb NOT NULL,
    mark_price numeric(20,10), underlying_price numeric(20,10), open_interest numeric(20,8),
    volume_24h numeric(20,8), PRIMARY KEY (timestamp, instrument));
CREATE TABLE btc_option_quotes (timestamp timestamptz NOT NULL, instrument varchar(50) NOT NULL,
    best_bid_price numeric(20,10), best_bid_amount numeric(20,8), best_ask_price numeric(20,10),
    best_ask_amount numeric(20,8), underlying_price numeric(20,10), mark_price numeric(20,10),
    delta GREEK, gamma GREEK, theta GREEK, vega GREEK, rho GREEK, implied_volatility IV, bid_iv IV,
    ask_iv IV, mark_iv IV, open_interest numeric(20,8), last_price numeric(18,8),
    «volume_24h numeric(20,8),» PRIMARY KEY (timestamp, instrument));
CREATE TABLE btc_option_trades (timestamp timestamptz NOT NULL, instrument varchar(50) NOT NULL,
    trade_id varchar(50) NOT NULL, price numeric(20,10) NOT NULL, amount numeric(20,8) NOT NULL,
    direction varchar(10) NOT NULL, iv numeric(8,4), «index_price numeric(18,8),»
    PRIMARY KEY (timestamp, instrument, trade_id));
CREATE TABLE btc_option_orderbook_depth (LIKE eth_option_orderbook_depth INCLUDING ALL);
CREATE TABLE perpetuals_quotes (timestamp timestamptz NOT NULL, instrument varchar(50) NOT NULL,
    best_bid_price numeric(20,10), best_bid_amount numeric(20,8), best_ask_price numeric(20,10),
    best_ask_amount numeric(20,8), mark_price numeric(20,10), index_price numeric(20,10),
    funding_rate numeric(10,8), open_interest numeric(20,8), PRIMARY KEY (timestamp, instrument));
CREATE TABLE perpetuals_trades (timestamp timestamptz NOT NULL, trade_id varchar(50) NOT NULL,
    instrument varchar(50) NOT NULL, price numeric(20,10) NOT NULL, amount numeric(20,8) NOT NULL,
    direction varchar(10) NOT NULL, «tick_direction integer, liquidation boolean,»
    PRIMARY KEY (trade_id, instrument));
CREATE TABLE perpetuals_orderbook_depth (timestamp timestamptz NOT NULL,
    instrument varchar(50) NOT NULL, bids jsonb NOT NULL, asks jsonb NOT NULL,
    mark_price numeric(20,10), index_price numeric(20,10), funding_rate numeric(10,8),
    open_interest numeric(20,8), volume_24h numeric(20,8), PRIMARY KEY (timestamp, instrument));
CREATE TABLE instrument_metadata (instrument_name varchar(50) PRIMARY KEY,
    currency varchar(10) NOT NULL, instrument_type varchar(20) NOT NULL,
    strike_price numeric(18,8), expiry_date timestamptz, option_type varchar(10),
    is_active boolean NOT NULL DEFAULT true, listed_at timestamptz, expired_at timestamptz,
    last_seen_at timestamptz, created_at timestamptz DEFAULT now(),
    updated_at timestamptz DEFAULT now());
CREATE FUNCTION update_updated_at() RETURNS trigger LANGUAGE plpgsql AS
    $$BEGIN NEW.updated_at = now(); RETURN NEW; END$$;
CREATE TRIGGER update_updated_at BEFORE UPDATE ON instrument_metadata FOR EACH ROW
    EXECUTE FUNCTION update_updated_at();
CREATE TABLE lifecycle_events (event_time timestamptz NOT NULL DEFAULT now(), id serial,
    event_type varchar(50) NOT NULL, instrument_name varchar(50), currency varchar(10),
    collector_id varchar(50), details jsonb, success boolean NOT NULL DEFAULT true,
    error_message text, created_at timestamptz DEFAULT now(), PRIMARY KEY (event_time, id));
CREATE TABLE data_gaps (gap_id serial PRIMARY KEY, instrument varchar(50) NOT NULL,
    start_time timestamptz NOT NULL, end_time timestamptz, duration_sec integer,
    cause varchar(50), created_at timestamptz DEFAULT now());
CREATE TABLE collector_status (timestamp timestamptz NOT NULL, collector_id varchar(50) NOT NULL,
    status varchar(20) NOT NULL, ticks_per_sec numeric(8,2), active_subscriptions integer,
    buffer_usage_pct numeric(5,2), last_error text, PRIMARY KEY (timestamp, collector_id));
CREATE VIEW spreads AS SELECT timestamp, instrument, best_ask_price - best_bid_price AS spread
    FROM eth_option_quotes;
CREATE VIEW all_quotes AS SELECT timestamp, instrument, mark_price FROM eth_option_quotes
    UNION ALL SELECT timestamp, instrument, mark_price FROM btc_option_quotes;
