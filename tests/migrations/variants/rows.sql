-- Rows of three days, with values that the next type would spell otherwise.

INSERT INTO eth_option_quotes SELECT '2025-11-10 00:00+00'::timestamptz + i * interval '11 min',
    'ETH-28NOV25-' || 2000 + i % 7 * 100 || '-C', i / 700.0, i, NULLIF(i % 5, 0), 1.50, 3000 + i, 0.05,
    0.512345, 0.000001, -99.999999, 1, -0.000000, 61.5, NULL, 62.1250, 61.75, 10.0, 0.0500
    FROM generate_series(1, 380) AS i;
INSERT INTO eth_option_trades SELECT '2025-11-10 00:00+00'::timestamptz + i * interval '37 min',
    'ETH-28NOV25-3000-P', 'ETH-' || i, 0.0500, i, CASE i % 2 WHEN 0 THEN 'buy' ELSE 'sell' END, 61.5,
    NULL FROM generate_series(1, 110) AS i;
INSERT INTO eth_option_orderbook_depth SELECT '2025-11-10 00:00+00'::timestamptz
    + i * interval '37 min', 'ETH-28NOV25-' || i % 3 || '-P',
    '[{"price": 0.0500, "amount": 10}, {"price": 0.04, "amount": 1.0}]', '[]', 0.05, NULL, 1, 0.0
    FROM generate_series(1, 110) AS i;
INSERT INTO perpetuals_quotes SELECT '2025-11-10 00:00+00'::timestamptz + i * interval '11 min',
    CASE i % 2 WHEN 0 THEN 'BTC-PERPETUAL' ELSE 'ETH-PERPETUAL' END, 100000.50 + i, i, 100001, 1.10,
    NULL, 100000, -0.00001234, 1000000 FROM generate_series(1, 380) AS i;
INSERT INTO perpetuals_orderbook_depth SELECT '2025-11-10 00:00+00'::timestamptz
    + i * interval '1 day', 'BTC-PERPETUAL', '[{"price": 100000.50, "amount": 10}]', '[]', 100000, NULL,
    0.0001, 1000, 2000 FROM generate_series(1, 9) AS i;
INSERT INTO instrument_metadata SELECT 'ETH-28NOV25-' || i || '-C', 'ETH', 'option', i,
    '2025-11-28 08:00+00', 'call', i % 2 = 0, '2025-11-01 00:00+00', NULL, '2025-11-12 00:00+00',
    '2025-11-01 00:00+00', '2025-11-12 00:00+00' FROM generate_series(2000, 2020) AS i;
INSERT INTO lifecycle_events (event_time, event_type, instrument_name, currency, collector_id,
    details, error_message, created_at) SELECT '2025-11-10 00:00+00'::timestamptz
    + i * interval '5 h', CASE i % 2 WHEN 0 THEN 'instrument_expired' ELSE 'instrument_listed' END,
    'ETH-28NOV25-' || 2000 + i || '-C', 'ETH', 'eth-options-0', '{"k": 1.0}', NULL,
    '2025-11-10 00:00+00' FROM generate_series(1, 40) AS i;
INSERT INTO data_gaps (instrument, start_time, end_time, duration_sec, cause, created_at) VALUES
    ('ETH-PERPETUAL', '2025-11-10 00:00+00', '2025-11-10 00:01+00', 60, 'reconnect',
        '2025-11-10 00:02+00'), ('ETH-PERPETUAL', '2025-11-11 00:00+00', NULL, NULL, NULL, NULL);
INSERT INTO collector_status SELECT '2025-11-10 00:00+00'::timestamptz + i * interval '1 h',
    'eth-options-0', 'running', 479.10, 205, 0.50, NULL FROM generate_series(1, 60) AS i;
