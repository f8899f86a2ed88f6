-- Which tables the predecessor cuts, compresses and forgets rows of.

SELECT create_hypertable(name, 'timestamp', chunk_time_interval => interval '1 day')
    FROM unnest(ARRAY['eth_option_quotes', 'eth_option_trades', 'collector_status']) AS name;
SELECT create_hypertable(name, 'timestamp', chunk_time_interval => interval '7 days')
    FROM unnest(ARRAY['perpetuals_quotes', 'perpetuals_orderbook_depth']) AS name;
SELECT create_hypertable('lifecycle_events', 'event_time', chunk_time_interval => interval '7 days');
ALTER TABLE eth_option_quotes SET (timescaledb.compress,
    timescaledb.compress_segmentby = 'instrument', timescaledb.compress_orderby = 'timestamp DESC');
ALTER TABLE eth_option_trades SET (timescaledb.compress,
    timescaledb.compress_segmentby = 'instrument', timescaledb.compress_orderby = 'timestamp DESC');
ALTER TABLE perpetuals_quotes SET (timescaledb.compress,
    timescaledb.compress_segmentby = 'instrument', timescaledb.compress_orderby = 'timestamp DESC');
ALTER TABLE perpetuals_orderbook_depth SET (timescaledb.compress,
    timescaledb.compress_segmentby = 'instrument', timescaledb.compress_orderby = 'timestamp DESC');
SELECT add_compression_policy(name, interval '7 days') FROM unnest(ARRAY['eth_option_quotes',
    'eth_option_trades', 'perpetuals_quotes', 'perpetuals_orderbook_depth']) AS name;
SELECT add_retention_policy(name, interval '90 days') FROM unnest(ARRAY['collector_status',
    'lifecycle_events', 'perpetuals_quotes', 'perpetuals_orderbook_depth']) AS name;
