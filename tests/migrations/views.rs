//! Views over the predecessor's tables, kept while the tables change below them.

use tapedeck_tests::Cluster;

use super::done;

/// The predecessor's materialised view and a user's own, one made of the other.
#[test]
fn views_are_kept_as_they_were() {
    let Some(cluster) = Cluster::start("migrations::views::views_are_kept_as_they_were") else {
        return;
    };
    let url = cluster.url(cluster.database("views"));
    let sql = |sql: &str| cluster.psql("views", sql);
    let _ = sql(MADE);
    let (before, rows) = (sql(VIEWS), sql(ROWS));
    assert_eq!(before.lines().count(), 4, "{before}");
    let planned = done(&url, &["--dry-run"]);
    for words in
        ["set aside the views of btc_option_quotes: ", "make the views of eth_option_order"]
    {
        assert!(planned.contains(words), "{words}: {planned}");
    }
    assert_eq!(sql(VIEWS), before, "a dry run does nothing");
    done(&url, &[]);
    assert_eq!(sql(VIEWS), before);
    assert_eq!(sql(ROWS), rows);
    assert!(done(&url, &[]).contains("nothing to do"));
    // What the bounds would have refused is seen through the views.
    let _ = sql("INSERT INTO btc_option_quotes (timestamp, instrument, best_bid_price,
            best_ask_price, received_at, sequence)
        VALUES ('2025-11-10 00:00+00', 'BTC-28NOV25-90000-P', 12345678901234, 1, now(), 7)");
    assert_eq!(
        sql("SELECT trim_scale(mid) FROM other.\"Busy mids\" ORDER BY mid DESC LIMIT 1"),
        "6172839450617.5"
    );
    let _ = sql("UPDATE notes SET note = 'seen' WHERE note LIKE '%-C'");
    assert_eq!(sql("SELECT count(*) FROM noted"), "1", "the view's trigger works");
}

/// What is not ours and cannot be set aside stops the migration, whole.
#[test]
fn what_hangs_on_a_view_is_not_removed() {
    let name = "migrations::views::what_hangs_on_a_view_is_not_removed";
    let Some(cluster) = Cluster::start(name) else { return };
    let url = cluster.url(cluster.database("hanging"));
    let _ = cluster.psql("hanging", MADE);
    let _ = cluster.psql(
        "hanging",
        "CREATE FUNCTION newest() RETURNS SETOF mids LANGUAGE sql AS 'SELECT * FROM mids'",
    );
    let before = cluster.psql("hanging", VIEWS);
    super::refused(&url, &[], 5, &["set aside the views of btc_option_quotes", "depend on it"]);
    assert_eq!(cluster.psql("hanging", VIEWS), before);
    assert_eq!(cluster.psql("hanging", "SELECT to_regclass('tapedeck_schema')"), "∅");
}

const MADE: &str = r#"
CREATE ROLE analyst; CREATE ROLE guest; CREATE SCHEMA other;
GRANT USAGE ON SCHEMA public, other TO analyst;
CREATE TABLE btc_option_quotes (timestamp timestamptz NOT NULL, instrument varchar(50) NOT NULL,
    best_bid_price numeric(20,10), best_ask_price numeric(20,10), delta numeric(8,6),
    PRIMARY KEY (timestamp, instrument));
INSERT INTO btc_option_quotes VALUES
    ('2025-11-10 00:00+00', 'BTC-28NOV25-90000-C', 0.0123456789, 0.02, -0.25);
GRANT SELECT ON btc_option_quotes TO analyst;
CREATE TABLE eth_option_orderbook_depth (timestamp timestamptz NOT NULL,
    instrument varchar(50) NOT NULL, bids jsonb NOT NULL, asks jsonb NOT NULL,
    mark_price numeric(20,10), PRIMARY KEY (timestamp, instrument));
INSERT INTO eth_option_orderbook_depth VALUES
    ('2025-11-10 00:00+00', 'ETH-28NOV25-3000-C', '[]', '[]', 0.1);
CREATE MATERIALIZED VIEW latest_orderbook AS
    SELECT DISTINCT ON (instrument) * FROM eth_option_orderbook_depth
    ORDER BY instrument, timestamp DESC;
CREATE UNIQUE INDEX latest_orderbook_instrument ON latest_orderbook (instrument);
CREATE VIEW mids WITH (security_barrier = true) AS SELECT timestamp, instrument,
    (best_bid_price + best_ask_price) / 2 AS mid FROM btc_option_quotes WHERE instrument <> 'x';
COMMENT ON VIEW mids IS 'it''s mine'; COMMENT ON COLUMN mids.mid IS 'halfway';
GRANT SELECT ON mids TO analyst WITH GRANT OPTION; GRANT SELECT (mid) ON mids TO guest;
CREATE VIEW other."Busy mids" AS SELECT m.*, q.delta
    FROM mids m JOIN btc_option_quotes q USING (timestamp, instrument);
ALTER VIEW other."Busy mids" OWNER TO analyst;
CREATE TABLE noted (note text);
CREATE VIEW notes AS SELECT instrument AS note FROM btc_option_quotes;
CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS
    $$BEGIN INSERT INTO noted VALUES (NEW.note); RETURN NEW; END$$;
CREATE TRIGGER note INSTEAD OF UPDATE ON notes FOR EACH ROW
    EXECUTE FUNCTION note()"#;

/// All that makes them what they are but the widths that changed below.
const VIEWS: &str = "
SELECT c.oid::regclass, c.relkind, c.relowner::regrole, c.reloptions, c.relispopulated,
    regexp_replace(translate(replace(pg_get_viewdef(c.oid), '::text', ''), '()', ''), '\\s+', ' ',
        'g'),
    obj_description(c.oid, 'pg_class'), c.relacl::text[],
    (SELECT string_agg(concat(attname, attacl::text, col_description(c.oid, attnum)), ' '
        ORDER BY attnum) FROM pg_attribute WHERE attrelid = c.oid AND attnum > 0),
    (SELECT string_agg(pg_get_indexdef(indexrelid), ' ') FROM pg_index WHERE indrelid = c.oid),
    (SELECT string_agg(pg_get_triggerdef(oid), ' ') FROM pg_trigger WHERE tgrelid = c.oid)
FROM pg_class c WHERE c.relnamespace IN ('public'::regnamespace, 'other'::regnamespace)
    AND c.relkind IN ('v', 'm') ORDER BY c.relname";

const ROWS: &str = "SELECT concat_ws(' ', timestamp, instrument, round(mid, 12)) FROM mids
    UNION ALL SELECT concat_ws(' ', timestamp, instrument, bids, asks, mark_price)
    FROM latest_orderbook";
