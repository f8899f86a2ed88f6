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

-- How many of a hole's rows are here, for each folder of the archive, in its order.
CREATE TABLE IF NOT EXISTS tapedeck_refills (
    sink text NOT NULL,
    journal text NOT NULL,
    last_record bigint NOT NULL,
    folder text NOT NULL,
    rows bigint NOT NULL,
    PRIMARY KEY (sink, journal, last_record, folder)
);
