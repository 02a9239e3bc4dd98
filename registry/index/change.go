package index

import "time"

// Kind says what a change did to the file of a crate.
type Kind string

// The kinds. Every state of the index is what the changes before it made of an empty one.
const (
	Publish     Kind = "publish"      // Lines, one line that is not yanked, was added at the end
	Yank        Kind = "yank"         // the line of version Num was yanked
	Unyank      Kind = "unyank"       // and no longer is
	Remove      Kind = "remove"       // the line of version Num went
	RemoveCrate Kind = "remove-crate" // the file went
	Restore     Kind = "restore"      // Lines became the whole file
)

// Change is one change of the index, as the catalog's change feed tells it.
type Change struct {
	Seq   int64 // ascends, with gaps
	At    time.Time
	Crate string // name as published
	Kind  Kind
	Num   string // version; empty where the whole crate changed
	Lines []byte
}
