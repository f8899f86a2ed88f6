-- Which options there are, kept by the database itself from what is copied into it.
--
-- Rows may come late or twice in spirit (a refill, a second recorder): what is kept depends on the
-- instants in the rows and not on their order.

CREATE OR REPLACE FUNCTION tapedeck_touch() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.updated_at := now();
    RETURN NEW;
END $$;

CREATE OR REPLACE TRIGGER tapedeck_touch BEFORE UPDATE ON instrument_metadata
    FOR EACH ROW EXECUTE FUNCTION tapedeck_touch();

-- An observation of an option on the exchange's list.
CREATE OR REPLACE FUNCTION tapedeck_know_option() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO instrument_metadata AS known (
        instrument_name, currency, instrument_type, strike_price, expiry_date, option_type,
        is_active, listed_at, last_seen_at
    ) VALUES (
        NEW.instrument_name, NEW.currency, 'option', NEW.strike, NEW.expiration_timestamp,
        NEW.option_type, COALESCE(NEW.is_active, true),
        COALESCE(NEW.creation_timestamp, NEW.observed_at), NEW.observed_at
    )
    ON CONFLICT (instrument_name) DO UPDATE SET
        strike_price = COALESCE(EXCLUDED.strike_price, known.strike_price),
        expiry_date = COALESCE(EXCLUDED.expiry_date, known.expiry_date),
        option_type = COALESCE(EXCLUDED.option_type, known.option_type),
        listed_at = LEAST(EXCLUDED.listed_at, known.listed_at),
        is_active = EXCLUDED.is_active,
        expired_at = CASE WHEN NOT EXCLUDED.is_active THEN
            COALESCE(known.expired_at, LEAST(EXCLUDED.expiry_date, EXCLUDED.last_seen_at)) END,
        last_seen_at = EXCLUDED.last_seen_at
    WHERE known.last_seen_at IS NULL OR known.last_seen_at < EXCLUDED.last_seen_at;
    RETURN NULL;
END $$;

CREATE OR REPLACE TRIGGER tapedeck_know_option AFTER INSERT ON instruments
    FOR EACH ROW WHEN (NEW.kind = 'option') EXECUTE FUNCTION tapedeck_know_option();

-- An option that has gone from the list.
CREATE OR REPLACE FUNCTION tapedeck_expire_option() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE instrument_metadata SET is_active = false, expired_at = NEW.event_time
    WHERE instrument_name = NEW.instrument_name
        AND (last_seen_at IS NULL OR last_seen_at <= NEW.event_time)
        AND (is_active OR expired_at IS NULL);
    RETURN NULL;
END $$;

CREATE OR REPLACE TRIGGER tapedeck_expire_option AFTER INSERT ON lifecycle_events
    FOR EACH ROW WHEN (NEW.event_type = 'instrument_expired')
    EXECUTE FUNCTION tapedeck_expire_option();
