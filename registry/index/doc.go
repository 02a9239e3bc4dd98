// Package index renders what cargo reads: the line of a version, the file of a crate, and config.json. It is pure; the
// server keeps what it renders in the catalog and in memory.
//
// Source: the cargo book, "Registry Index", and cargo's own schema (crates/cargo-util-schemas in cargo's repository). Lines
// carry every field that cargo before 1.84 requires, with null only where null is allowed.
package index
