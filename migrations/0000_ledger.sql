-- What has been applied to this database, and who can use it. Run before anything else.

CREATE TABLE IF NOT EXISTS tapedeck_schema (
    one boolean PRIMARY KEY DEFAULT true CHECK (one),
    -- The newest migration that this database has.
    version integer NOT NULL,
    -- The oldest version of the program's migrations that can use it as it is now.
    readable_from integer NOT NULL
);

CREATE TABLE IF NOT EXISTS tapedeck_migrations (
    version integer NOT NULL,
    -- The currency, or nothing.
    scope text NOT NULL,
    name text NOT NULL,
    checksum text NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now(),
    -- The program that did it.
    program text NOT NULL,
    PRIMARY KEY (version, scope)
);
