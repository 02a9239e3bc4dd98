// Package crate says what a crate is: names, versions, version requirements, the metadata that cargo sends with a publish,
// and the archive. It is pure: no files, no network, no clock.
//
// The rules are cargo's and crates.io's. Sources: the cargo book ("Registry Web API", "Registry Index", "The Manifest
// Format"), the semver 2.0.0 specification, and for the archive CVE-2026-5223 (links in archives are followed by cargo
// before 1.96, so the server is the only protection).
//
// Limits, with their reasons, are the constants below; those of an archive are in Limits because an administrator may
// raise them.
package crate

// Limits that crates.io has too; a crate that respects them can move there and back.
const (
	MaxNameLen     = 64  // bytes; crates.io's limit, and what a path element must hold
	MaxVersionLen  = 150 // bytes; crates.io's limit
	MaxDeps        = 500
	MaxFeatures    = 300 // features of a crate, and values of one feature
	MaxKeywords    = 5
	MaxKeywordLen  = 20 // bytes
	MaxCategories  = 5
	MaxDescription = 1000 // characters
)
