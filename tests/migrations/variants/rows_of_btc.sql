-- Rows of the tables that the schema of one file could not write.

INSERT INTO btc_option_quotes SELECT '2025-11-10 00:00+00'::timestamptz + i * interval '11 min',
    'BTC-28NOV25-' || 90000 + i % 7 * 1000 || '-C', 0.0123456789, i, NULL, 1.50, 100000 + i, 0.05,
    0.512345, 0.000001, -99.999999, 1, -0.000000, 61.5, NULL, 62.1250, 61.75, 10.0, 0.0500, 12.0
    FROM generate_series(1, 380) AS i;
INSERT INTO btc_option_trades SELECT '2025-11-10 00:00+00'::timestamptz + i * interval '37 min',
    'BTC-28NOV25-90000-P', 'BTC-' || i, 0.0500, i, 'sell', 61.5, 100000.50
    FROM generate_series(1, 110) AS i;
INSERT INTO btc_option_orderbook_depth SELECT * FROM eth_option_orderbook_depth;
INSERT INTO perpetuals_trades SELECT '2025-11-10 00:00+00'::timestamptz + i * interval '37 min',
    'P' || i, 'BTC-PERPETUAL', 100000.50, i, 'buy', i % 4, false FROM generate_series(1, 110) AS i;
