-- What a database lacks of a journal, and how far that has been stored from the archive.

-- The number of the last row of the record `sequence_at`: of the position, unless a program that
-- knows nothing of it has moved that alone.
ALTER TABLE tapedeck_sinks ADD COLUMN IF NOT EXISTS sequence bigint;
ALTER TABLE tapedeck_sinks ADD COLUMN IF NOT EXISTS sequence_at bigint;

-- Records that the journal no longer had when this database asked for them.
CREATE TABLE IF NOT EXISTS tapedeck_holes (
    sink text NOT NULL,
    journal text NOT NULL,
    first_record bigint NOT NULL,
    last_record bigint NOT NULL,
    -- The numbers of their rows. The first one is not known if an older program was here last.
    first_row bigint,
    last_row bigint NOT NULL,
    found_at timestamptz NOT NULL DEFAULT now(),
    -- When all their rows were here.
    filled_at timestamptz,
    PRIMARY KEY (sink, journal, last_record)
);

-- How many of a hole's rows are here, for each folder of the archive, in its order, and the number
-- of the last of them.
CREATE TABLE IF NOT EXISTS tapedeck_refills (
    sink text NOT NULL,
    journal text NOT NULL,
    last_record bigint NOT NULL,
    folder text NOT NULL,
    rows bigint NOT NULL,
    sequence bigint NOT NULL,
    PRIMARY KEY (sink, journal, last_record, folder)
);

-- Which options there are (0003), whatever comes first: rows from the archive come late. An option
-- that has expired stays so, however old what is observed of it afterwards.

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
        is_active = EXCLUDED.is_active
            AND COALESCE(known.expired_at <= EXCLUDED.last_seen_at, true),
        expired_at = CASE
            WHEN NOT EXCLUDED.is_active THEN
                COALESCE(known.expired_at, LEAST(EXCLUDED.expiry_date, EXCLUDED.last_seen_at))
            WHEN known.expired_at > EXCLUDED.last_seen_at THEN known.expired_at END,
        last_seen_at = EXCLUDED.last_seen_at
    WHERE known.last_seen_at IS NULL OR known.last_seen_at < EXCLUDED.last_seen_at;
    RETURN NULL;
END $$;

CREATE OR REPLACE FUNCTION tapedeck_expire_option() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF option_expiry(NEW.instrument_name) IS NULL THEN
        RETURN NULL;
    END IF;
    INSERT INTO instrument_metadata AS known (
        instrument_name, currency, instrument_type, strike_price, expiry_date, option_type,
        is_active, expired_at
    ) VALUES (
        NEW.instrument_name,
        COALESCE(NEW.currency, split_part(NEW.instrument_name, '-', 1)), 'option',
        replace(split_part(NEW.instrument_name, '-', 3), 'd', '.')::numeric,
        option_expiry(NEW.instrument_name),
        CASE right(NEW.instrument_name, 1) WHEN 'C' THEN 'call' ELSE 'put' END,
        false, NEW.event_time
    )
    ON CONFLICT (instrument_name) DO UPDATE SET is_active = false, expired_at = NEW.event_time
    WHERE (known.last_seen_at IS NULL OR known.last_seen_at <= NEW.event_time)
        AND (known.is_active OR known.expired_at IS NULL);
    RETURN NULL;
END $$;
