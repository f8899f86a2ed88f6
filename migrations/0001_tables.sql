-- The tables that there are once: what its columns mean is said in docs/tables.md.
--
-- The predecessor's columns come first, in its order; ours behind. Numbers have no precision, so
-- that no value is ever too large, and no tick table has a unique index: what is stored once is
-- decided by tapedeck_sinks, at no cost. A column that a later version of tapedeck declares is
-- appended by the program, not here.

CREATE TABLE IF NOT EXISTS perpetuals_quotes (
    timestamp timestamptz NOT NULL,
    instrument text NOT NULL,
    best_bid_price numeric,
    best_bid_amount numeric,
    best_ask_price numeric,
    best_ask_amount numeric,
    mark_price numeric,
    index_price numeric,
    funding_rate numeric,
    open_interest numeric,
    received_at timestamptz NOT NULL,
    sequence bigint NOT NULL,
    current_funding numeric,
    interest_value numeric,
    last_price numeric,
    state text,
    settlement_price numeric,
    delivery_price numeric,
    estimated_delivery_price numeric,
    min_price numeric,
    max_price numeric,
    high_24h numeric,
    low_24h numeric,
    price_change_24h numeric,
    volume_24h numeric,
    volume_usd_24h numeric,
    volume_notional_24h numeric
);

CREATE TABLE IF NOT EXISTS perpetuals_trades (
    timestamp timestamptz NOT NULL,
    trade_id text NOT NULL,
    instrument text NOT NULL,
    price numeric NOT NULL,
    amount numeric NOT NULL,
    direction text NOT NULL,
    tick_direction bigint,
    liquidation boolean NOT NULL,
    received_at timestamptz NOT NULL,
    sequence bigint NOT NULL,
    liquidation_side text,
    index_price numeric,
    trade_seq bigint NOT NULL,
    mark_price numeric,
    contracts numeric,
    block_trade_id text,
    block_trade_leg_count bigint,
    combo_id text,
    combo_trade_id text,
    block_rfq_id bigint,
    starbase_match_id bigint,
    starbase_timestamp bigint
);

CREATE TABLE IF NOT EXISTS perpetuals_orderbook_depth (
    timestamp timestamptz NOT NULL,
    instrument text NOT NULL,
    bids jsonb NOT NULL,
    asks jsonb NOT NULL,
    mark_price numeric,
    index_price numeric,
    funding_rate numeric,
    open_interest numeric,
    volume_24h numeric,
    received_at timestamptz NOT NULL,
    sequence bigint NOT NULL,
    change_id bigint
);

CREATE TABLE IF NOT EXISTS perpetuals_interest (
    timestamp timestamptz NOT NULL,
    instrument text NOT NULL,
    index_price numeric,
    interest numeric,
    received_at timestamptz NOT NULL,
    sequence bigint NOT NULL
);

CREATE TABLE IF NOT EXISTS book_changes (
    timestamp timestamptz NOT NULL,
    instrument text NOT NULL,
    change_id bigint NOT NULL,
    prev_change_id bigint,
    snapshot boolean NOT NULL,
    side text,
    action text,
    price numeric,
    amount numeric,
    received_at timestamptz NOT NULL,
    sequence bigint NOT NULL
);

CREATE TABLE IF NOT EXISTS index_ticks (
    timestamp timestamptz NOT NULL,
    index_name text NOT NULL,
    price numeric NOT NULL,
    received_at timestamptz NOT NULL,
    sequence bigint NOT NULL
);

CREATE TABLE IF NOT EXISTS instruments (
    instrument_name text NOT NULL,
    observed_at timestamptz NOT NULL,
    kind text,
    currency text NOT NULL,
    state text,
    is_active boolean,
    instrument_type text,
    instrument_id bigint,
    option_type text,
    strike numeric,
    expiration_timestamp timestamptz,
    creation_timestamp timestamptz,
    settlement_period text,
    base_currency text,
    quote_currency text,
    counter_currency text,
    settlement_currency text,
    price_index text,
    tick_size numeric,
    tick_size_steps jsonb,
    contract_size numeric,
    min_trade_amount numeric,
    maker_commission numeric,
    taker_commission numeric,
    received_at timestamptz NOT NULL,
    sequence bigint NOT NULL
);

-- One row an option, kept by the triggers of 0003.
CREATE TABLE IF NOT EXISTS instrument_metadata (
    instrument_name text PRIMARY KEY,
    currency text NOT NULL,
    instrument_type text,
    strike_price numeric,
    expiry_date timestamptz,
    option_type text,
    is_active boolean NOT NULL DEFAULT true,
    listed_at timestamptz,
    expired_at timestamptz,
    last_seen_at timestamptz,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE IF NOT EXISTS lifecycle_events (
    event_time timestamptz NOT NULL,
    id bigserial,
    event_type text NOT NULL,
    instrument_name text,
    currency text,
    collector_id text,
    details jsonb,
    success boolean NOT NULL,
    error_message text,
    created_at timestamptz NOT NULL DEFAULT now(),
    received_at timestamptz NOT NULL,
    sequence bigint NOT NULL
);

CREATE TABLE IF NOT EXISTS data_gaps (
    gap_id bigserial PRIMARY KEY,
    instrument text NOT NULL,
    start_time timestamptz NOT NULL,
    end_time timestamptz,
    duration_sec bigint,
    cause text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    received_at timestamptz NOT NULL,
    sequence bigint NOT NULL,
    shard text NOT NULL,
    detail text
);

CREATE TABLE IF NOT EXISTS collector_status (
    timestamp timestamptz NOT NULL,
    collector_id text NOT NULL,
    status text NOT NULL,
    ticks_per_sec numeric,
    active_subscriptions bigint,
    buffer_usage_pct numeric,
    last_error text,
    received_at timestamptz NOT NULL,
    sequence bigint NOT NULL,
    started_at timestamptz,
    restarts bigint,
    errors_total bigint,
    rss_bytes bigint
);

CREATE TABLE IF NOT EXISTS quarantine (
    received_at timestamptz NOT NULL,
    channel text NOT NULL,
    reason text NOT NULL,
    raw text NOT NULL,
    source text NOT NULL,
    sequence bigint NOT NULL
);

-- Up to which record of a journal a sink has stored everything; moved in the transaction that
-- stores the rows.
CREATE TABLE IF NOT EXISTS tapedeck_sinks (
    sink text NOT NULL,
    journal text NOT NULL,
    position bigint NOT NULL,
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (sink, journal)
);
