-- option_chain(at): the last quote, at or before an instant, of each option open at that instant.

-- The instant at which an option of this name expires: 08:00 UTC on the day in its name.
CREATE OR REPLACE FUNCTION option_expiry(instrument text) RETURNS timestamptz
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$
    SELECT make_timestamptz(
        2000 + part[3]::int, array_position(ARRAY['JAN', 'FEB', 'MAR', 'APR', 'MAY', 'JUN', 'JUL',
            'AUG', 'SEP', 'OCT', 'NOV', 'DEC'], part[2]), part[1]::int, 8, 0, 0, 'UTC')
    FROM regexp_match(instrument, '^[^-]+-(\d{1,2})([A-Z]{3})(\d{2})-[0-9d]+-[CP]$') AS part
$$;

-- It looks back a little and then ever further, so that a busy market costs minutes of one chunk
-- and a quiet option is found none the less. `back` bounds how far.
CREATE OR REPLACE FUNCTION option_chain(at timestamptz, back interval DEFAULT '30 days')
RETURNS TABLE (
    currency text, instrument text, expiry timestamptz, strike numeric, option_type text,
    "timestamp" timestamptz, best_bid_price numeric, best_bid_amount numeric,
    best_ask_price numeric, best_ask_amount numeric, underlying_price numeric, mark_price numeric,
    delta numeric, gamma numeric, theta numeric, vega numeric, rho numeric, bid_iv numeric,
    ask_iv numeric, mark_iv numeric, open_interest numeric, last_price numeric
)
LANGUAGE plpgsql STABLE AS $$
DECLARE
    quotes text;
    newest timestamptz;
    oldest timestamptz;
    step interval;
    seen text[];
    known text[];
BEGIN
    FOR quotes IN
        SELECT c.relname FROM pg_class c
        WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'v', 'p')
            AND c.relname ~ '^[a-z0-9_]+_option_quotes$'
        ORDER BY c.relname
    LOOP
        seen := '{}';
        newest := at + interval '1 microsecond';
        SELECT COALESCE(array_agg(m.instrument_name::text), '{}') INTO known
        FROM instrument_metadata m
        WHERE lower(m.currency) = left(quotes, -length('_option_quotes'))
            AND m.expiry_date > at AND m.listed_at <= at
            AND (m.expired_at IS NULL OR m.expired_at > at);
        FOREACH step IN ARRAY ARRAY['5 minutes', '1 hour', '1 day', '1 century']::interval[] LOOP
            oldest := greatest(at - step, at - back);
            EXIT WHEN oldest >= newest;
            FOR currency, instrument, expiry, strike, option_type, "timestamp", best_bid_price,
                best_bid_amount, best_ask_price, best_ask_amount, underlying_price, mark_price,
                delta, gamma, theta, vega, rho, bid_iv, ask_iv, mark_iv, open_interest, last_price
            IN EXECUTE format($query$
                SELECT DISTINCT ON (q.instrument)
                    split_part(q.instrument, '-', 1), q.instrument, option_expiry(q.instrument),
                    replace(split_part(q.instrument, '-', 3), 'd', '.')::numeric,
                    CASE right(q.instrument, 1) WHEN 'C' THEN 'call' ELSE 'put' END,
                    q.timestamp, q.best_bid_price, q.best_bid_amount, q.best_ask_price,
                    q.best_ask_amount, q.underlying_price, q.mark_price, q.delta, q.gamma,
                    q.theta, q.vega, q.rho, q.bid_iv, q.ask_iv, q.mark_iv, q.open_interest,
                    q.last_price
                FROM %I q
                WHERE q.timestamp >= $1 AND q.timestamp < $2 AND q.instrument <> ALL ($3)
                    AND option_expiry(q.instrument) > $4
                ORDER BY q.instrument, q.timestamp DESC, q.sequence DESC NULLS LAST
                $query$, quotes) USING oldest, newest, seen, at
            LOOP
                seen := seen || instrument;
                RETURN NEXT;
            END LOOP;
            EXIT WHEN known <> '{}' AND known <@ seen;
            newest := oldest;
        END LOOP;
    END LOOP;
END $$;
