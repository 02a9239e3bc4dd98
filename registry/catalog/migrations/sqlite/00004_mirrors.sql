-- Mirrors: what they are to be, and what they have cached. The cache can be fetched again and is in no dump.

-- +goose Up
CREATE TABLE mirrors (
    id           INTEGER PRIMARY KEY AUTOINCREMENT,
    name         TEXT    NOT NULL UNIQUE,
    spec         TEXT    NOT NULL,            -- JSON, see wire.MirrorSpec
    generation   INTEGER NOT NULL DEFAULT 1,  -- grows with each change of spec, token and lockfiles
    token        TEXT    NOT NULL DEFAULT '', -- for upstream; in no dump and no answer
    status       TEXT    NOT NULL DEFAULT '', -- JSON of what the servers tell each other of it
    requested_at INTEGER NOT NULL DEFAULT 0,  -- when a sync was asked for, in milliseconds
    created_at   INTEGER NOT NULL
);

CREATE TABLE mirror_lockfiles (
    mirror_id INTEGER NOT NULL REFERENCES mirrors (id) ON DELETE CASCADE,
    name      TEXT    NOT NULL,
    sha256    TEXT    NOT NULL, -- of the file
    pins      TEXT    NOT NULL, -- JSON: [[crate, version, checksum], …]
    skipped   TEXT    NOT NULL, -- JSON: what of it is no crate of upstream
    PRIMARY KEY (mirror_id, name)
);

CREATE TABLE mirror_index (
    mirror_id     INTEGER NOT NULL REFERENCES mirrors (id) ON DELETE CASCADE,
    crate         TEXT    NOT NULL, -- in lower case, as in the file's path
    canonical     TEXT    NOT NULL, -- and with '-' as '_'
    etag          TEXT    NOT NULL,
    last_modified TEXT    NOT NULL,
    checked_at    INTEGER NOT NULL, -- when upstream last said that this is the file, in milliseconds
    file          BLOB,             -- gzip of upstream's bytes; NULL: upstream has no such crate
    PRIMARY KEY (mirror_id, crate)
);
CREATE INDEX mirror_index_canonical ON mirror_index (canonical);

CREATE TABLE mirror_crates (
    mirror_id INTEGER NOT NULL REFERENCES mirrors (id) ON DELETE CASCADE,
    name      TEXT    NOT NULL, -- as upstream spells it
    num       TEXT    NOT NULL,
    sha256    TEXT    NOT NULL,
    size      INTEGER NOT NULL,
    license   TEXT    NOT NULL DEFAULT '', -- of its Cargo.toml
    inspected INTEGER NOT NULL DEFAULT 0,  -- 1: license is known
    pinned    INTEGER NOT NULL DEFAULT 0,  -- 1: by the mirror's list, 2: by a lockfile
    stored_at INTEGER NOT NULL,            -- seconds
    used_at   INTEGER NOT NULL,            -- seconds
    PRIMARY KEY (mirror_id, name, num)
);
CREATE INDEX mirror_crates_used ON mirror_crates (mirror_id, used_at);
