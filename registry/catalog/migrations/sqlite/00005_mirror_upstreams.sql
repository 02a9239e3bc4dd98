-- A mirror may get another upstream. What was cached of the one before is told from what is of this one.

-- +goose Up
ALTER TABLE mirrors ADD COLUMN upstream_since INTEGER NOT NULL DEFAULT 0; -- generation with which the upstream became what it is
ALTER TABLE mirror_crates ADD COLUMN generation INTEGER NOT NULL DEFAULT 0; -- of the mirror, when its upstream's index named this digest
