-- Times are seconds since 1970 in UTC. Lists (scopes, crate patterns) are words separated by spaces.

-- +goose Up
CREATE TABLE users (
    id         INTEGER PRIMARY KEY AUTOINCREMENT, -- cargo's owner id: a u32, never used twice
    name       TEXT    NOT NULL UNIQUE,
    role       TEXT    NOT NULL,
    suspended  INTEGER NOT NULL DEFAULT 0,
    created_at INTEGER NOT NULL
);

CREATE TABLE tokens (
    id           INTEGER PRIMARY KEY AUTOINCREMENT,
    user_id      INTEGER NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    name         TEXT    NOT NULL,
    hash         BLOB    NOT NULL UNIQUE, -- SHA-256 of the token; the token itself is stored nowhere
    scopes       TEXT    NOT NULL,        -- empty: all that the user's role allows
    crates       TEXT    NOT NULL,        -- empty: every crate
    created_at   INTEGER NOT NULL,
    expires_at   INTEGER,
    last_used_at INTEGER
);
CREATE INDEX tokens_user ON tokens (user_id);

CREATE TABLE crates (
    id          INTEGER PRIMARY KEY AUTOINCREMENT,
    name        TEXT    NOT NULL,        -- as first published
    canonical   TEXT    NOT NULL UNIQUE, -- lower case, '-' as '_': what may exist once
    description TEXT    NOT NULL,
    max_version TEXT    NOT NULL,        -- highest that is not yanked; 0.0.0 when all are
    downloads   INTEGER NOT NULL DEFAULT 0,
    created_at  INTEGER NOT NULL,
    updated_at  INTEGER NOT NULL
);

CREATE TABLE versions (
    id           INTEGER PRIMARY KEY AUTOINCREMENT, -- publish order, which is the order of the lines in the index
    crate_id     INTEGER NOT NULL REFERENCES crates (id),
    num          TEXT    NOT NULL,
    release      TEXT    NOT NULL, -- num without build metadata: what may exist once
    sha256       TEXT    NOT NULL,
    size         INTEGER NOT NULL,
    yanked       INTEGER NOT NULL DEFAULT 0,
    line         TEXT    NOT NULL, -- index line, rendered at publish
    downloads    INTEGER NOT NULL DEFAULT 0,
    published_by TEXT    NOT NULL, -- name, so that it outlives the user
    created_at   INTEGER NOT NULL,
    metadata     TEXT    NOT NULL, -- JSON as cargo sent it; last, because it can be long
    UNIQUE (crate_id, release)
);

CREATE TABLE owners (
    crate_id INTEGER NOT NULL REFERENCES crates (id),
    user_id  INTEGER NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    PRIMARY KEY (crate_id, user_id)
);
CREATE INDEX owners_user ON owners (user_id);

-- The change feed: what index caches follow. A row is written in the transaction of the change itself.
CREATE TABLE changes (
    seq   INTEGER PRIMARY KEY AUTOINCREMENT,
    crate TEXT    NOT NULL,
    at    INTEGER NOT NULL
);
