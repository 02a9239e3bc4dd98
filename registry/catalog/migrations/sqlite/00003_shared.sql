-- What several replicas and several registries need to know of each other. From here on migrations/postgres has the same numbers.

-- +goose Up

-- Whose catalog this is: registry_id, made here once for all time, and instance, who claimed it.
CREATE TABLE meta (
    key   TEXT PRIMARY KEY,
    value TEXT NOT NULL
);
INSERT INTO meta (key, value) VALUES ('registry_id', lower(hex(randomblob(16))));

-- Who does periodic work: one holder at a time.
CREATE TABLE leases (
    name   TEXT    PRIMARY KEY,
    holder TEXT    NOT NULL,
    until  INTEGER NOT NULL -- milliseconds since 1970 by the database's clock
);

-- Blobs that are being removed: no version may name them meanwhile.
CREATE TABLE sweeping (
    crate  TEXT NOT NULL,
    num    TEXT NOT NULL,
    sha256 TEXT NOT NULL,
    PRIMARY KEY (crate, num, sha256)
);

CREATE INDEX crates_key ON crates (name || '/'); -- the order of storage keys
