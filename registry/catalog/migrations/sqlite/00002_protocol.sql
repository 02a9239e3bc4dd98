-- Nothing that was published is ever taken out of these tables: what is deleted is marked, so that the history of the index
-- can be told again from its beginning, and a version number is never used twice.

-- +goose Up
ALTER TABLE users ADD COLUMN claims TEXT NOT NULL DEFAULT ''; -- patterns of names that the user may give to new crates; empty: any

ALTER TABLE tokens ADD COLUMN parent_id INTEGER REFERENCES tokens (id) ON DELETE CASCADE; -- the token that made it for its own holder
CREATE INDEX tokens_parent ON tokens (parent_id);

CREATE TABLE groups (
    id         INTEGER PRIMARY KEY AUTOINCREMENT, -- an owner id to cargo, like a user's
    name       TEXT    NOT NULL UNIQUE,
    created_at INTEGER NOT NULL
);

INSERT INTO sqlite_sequence (name, seq) VALUES ('groups', 2147483647); -- apart from the ids of users, and still 32 bits

CREATE TABLE group_members (
    group_id INTEGER NOT NULL REFERENCES groups (id) ON DELETE CASCADE,
    user_id  INTEGER NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    PRIMARY KEY (group_id, user_id)
);
CREATE INDEX group_members_user ON group_members (user_id);

ALTER TABLE crates ADD COLUMN restricted INTEGER NOT NULL DEFAULT 0; -- seen by owners, readers and admins only
ALTER TABLE crates ADD COLUMN keywords TEXT NOT NULL DEFAULT '';   -- of the newest publish, as on crates.io; words
ALTER TABLE crates ADD COLUMN categories TEXT NOT NULL DEFAULT '';
ALTER TABLE crates ADD COLUMN deleted_at INTEGER;                    -- set: canonical is no longer the name's, but "name#id"

CREATE INDEX crates_downloads ON crates (downloads DESC, canonical); -- the order of lists; it changes with the counts, which come in batches

CREATE TABLE group_owners (
    crate_id INTEGER NOT NULL REFERENCES crates (id),
    group_id INTEGER NOT NULL REFERENCES groups (id) ON DELETE CASCADE,
    PRIMARY KEY (crate_id, group_id)
);
CREATE INDEX group_owners_group ON group_owners (group_id);

CREATE TABLE readers (
    crate_id INTEGER NOT NULL REFERENCES crates (id),
    user_id  INTEGER NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    PRIMARY KEY (crate_id, user_id)
);
CREATE INDEX readers_user ON readers (user_id);

CREATE TABLE group_readers (
    crate_id INTEGER NOT NULL REFERENCES crates (id),
    group_id INTEGER NOT NULL REFERENCES groups (id) ON DELETE CASCADE,
    PRIMARY KEY (crate_id, group_id)
);
CREATE INDEX group_readers_group ON group_readers (group_id);

-- Who has a standing with a crate, in person or through a group.
CREATE VIEW crate_users AS
    SELECT crate_id, user_id, 1 AS owner FROM owners
    UNION ALL SELECT o.crate_id, m.user_id, 1 FROM group_owners o JOIN group_members m ON m.group_id = o.group_id
    UNION ALL SELECT crate_id, user_id, 0 FROM readers
    UNION ALL SELECT r.crate_id, m.user_id, 0 FROM group_readers r JOIN group_members m ON m.group_id = r.group_id;

-- Names of deleted crates that nobody may take yet.
CREATE TABLE blocked_names (
    canonical TEXT    PRIMARY KEY,
    until     INTEGER NOT NULL
);

ALTER TABLE versions ADD COLUMN publisher_id INTEGER; -- of the user, who may be gone; another may have taken the name
UPDATE versions SET publisher_id = (SELECT u.id FROM users u WHERE u.name = published_by);
ALTER TABLE versions ADD COLUMN yank_message TEXT NOT NULL DEFAULT '';
ALTER TABLE versions ADD COLUMN deleted_at INTEGER;              -- set: in no answer; its number stays taken
ALTER TABLE versions ADD COLUMN details TEXT NOT NULL DEFAULT '{}'; -- JSON: what the manifest says beyond the line, without the readme
UPDATE versions SET details = json_object(
    'description', json_extract(metadata, '$.description'), 'homepage', json_extract(metadata, '$.homepage'),
    'documentation', json_extract(metadata, '$.documentation'), 'repository', json_extract(metadata, '$.repository'),
    'license', json_extract(metadata, '$.license'), 'license_file', json_extract(metadata, '$.license_file'),
    'rust_version', json_extract(metadata, '$.rust_version'), 'links', json_extract(metadata, '$.links'),
    'keywords', json(coalesce(json_extract(metadata, '$.keywords'), '[]')),
    'categories', json(coalesce(json_extract(metadata, '$.categories'), '[]')));

-- Crates of this registry that a version depends on, by their canonical names, for "who depends on this".
CREATE TABLE dependencies (
    crate      TEXT    NOT NULL,
    version_id INTEGER NOT NULL REFERENCES versions (id),
    PRIMARY KEY (crate, version_id)
);
INSERT OR IGNORE INTO dependencies (crate, version_id)
    SELECT replace(lower(coalesce(json_extract(d.value, '$.package'), json_extract(d.value, '$.name'))), '-', '_'), v.id
    FROM versions v, json_each(v.line, '$.deps') d WHERE json_extract(d.value, '$.registry') IS NULL;

-- The columns of the same names, to find crates by.
CREATE TABLE crate_keywords (
    keyword  TEXT    NOT NULL, -- lower case
    crate_id INTEGER NOT NULL REFERENCES crates (id),
    PRIMARY KEY (keyword, crate_id)
);
CREATE INDEX crate_keywords_crate ON crate_keywords (crate_id);

CREATE TABLE crate_categories (
    category TEXT    NOT NULL, -- slug, lower case
    crate_id INTEGER NOT NULL REFERENCES crates (id),
    PRIMARY KEY (category, crate_id)
);
CREATE INDEX crate_categories_crate ON crate_categories (crate_id);

-- What a search looks in: the words of name, keywords and description, lower case. Found by their beginning.
CREATE TABLE crate_words (
    word     TEXT    NOT NULL,
    crate_id INTEGER NOT NULL REFERENCES crates (id),
    PRIMARY KEY (word, crate_id)
) WITHOUT ROWID;
CREATE INDEX crate_words_crate ON crate_words (crate_id);
INSERT OR IGNORE INTO crate_words (word, crate_id) SELECT canonical, id FROM crates; -- the rest comes with the next publish

CREATE TABLE version_downloads (
    version_id INTEGER NOT NULL REFERENCES versions (id),
    day        INTEGER NOT NULL, -- days since 1970 in UTC
    downloads  INTEGER NOT NULL,
    PRIMARY KEY (version_id, day)
) WITHOUT ROWID;

-- The change feed says what happened, so that the git index can tell its history again, commit by commit, on every replica.
DROP TABLE changes;
CREATE TABLE changes (
    seq        INTEGER PRIMARY KEY AUTOINCREMENT,
    crate      TEXT    NOT NULL, -- name as published
    kind       TEXT    NOT NULL, -- see registry/index, ChangeKind
    version_id INTEGER REFERENCES versions (id),
    lines      TEXT,             -- of a "restore": the whole file
    hidden     INTEGER NOT NULL DEFAULT 0, -- the crate was restricted: not in the git index, which cannot ask who reads
    at         INTEGER NOT NULL
);
INSERT INTO changes (crate, kind, version_id, at)
    SELECT c.name, 'publish', v.id, v.created_at FROM versions v JOIN crates c ON c.id = v.crate_id ORDER BY v.id;
INSERT INTO changes (crate, kind, version_id, at)
    SELECT c.name, 'yank', v.id, c.updated_at FROM versions v JOIN crates c ON c.id = v.crate_id WHERE v.yanked = 1 ORDER BY v.id;

-- Every change, by whom, from where. Names, not references: the record outlives what it tells of.
CREATE TABLE audit (
    id       INTEGER PRIMARY KEY AUTOINCREMENT,
    at       INTEGER NOT NULL,
    actor    TEXT    NOT NULL, -- user
    token_id INTEGER NOT NULL, -- 0: none, the server itself
    token    TEXT    NOT NULL, -- name of the token
    address  TEXT    NOT NULL, -- of the client
    action   TEXT    NOT NULL,
    crate    TEXT    NOT NULL DEFAULT '',
    version  TEXT    NOT NULL DEFAULT '',
    subject  TEXT    NOT NULL DEFAULT '', -- user, group or token that was changed
    before   TEXT    NOT NULL DEFAULT '', -- JSON, or empty
    after    TEXT    NOT NULL DEFAULT ''
);
CREATE INDEX audit_crate ON audit (crate, id);
CREATE INDEX audit_actor ON audit (actor, id);
