package index

import (
	"bytes"
	"fmt"
	"time"
)

// Kind says what a change does to the file of a crate.
type Kind string

// The kinds of change.
const (
	KindPublish     Kind = "publish"      // Lines, one line, is appended
	KindYank        Kind = "yank"         // the line of version Num says yanked
	KindUnyank      Kind = "unyank"       // the line of version Num says not yanked
	KindRemove      Kind = "remove"       // the line of version Num goes
	KindRemoveCrate Kind = "remove-crate" // the file goes
	KindRestore     Kind = "restore"      // Lines is the whole file from here on
	KindMirror      Kind = "mirror"       // nothing: a mirror of the name that stands in Crate was changed; never in IndexChanges
)

// Change is one committed change of the index.
type Change struct {
	Seq   int64     // its number in the feed: ascending, gaps are possible
	At    time.Time // when it was committed
	Crate string    // the crate's name as published
	Kind  Kind
	Num   string // the version, where the kind names one
	Lines []byte // publish: the version's line as it was published; restore: the whole file
}

// Apply gives the file of the crate after the change; file is what it was before and stays as it is. An empty result means that
// there is no file. An error means that the feed and the file do not belong together.
func (c Change) Apply(file []byte) ([]byte, error) {
	switch c.Kind {
	case KindPublish:
		return append(bytes.Clone(file), c.Lines...), nil
	case KindRestore:
		return bytes.Clone(c.Lines), nil
	case KindRemoveCrate:
		return nil, nil
	case KindYank, KindUnyank, KindRemove:
	default:
		return nil, fmt.Errorf("change %d of %s is of a kind that this program does not know: %q", c.Seq, c.Crate, c.Kind)
	}
	start, end, ok := findLine(file, c.Num)
	if !ok {
		return nil, fmt.Errorf("change %d (%s) names version %s of %s, which the index does not have", c.Seq, c.Kind, c.Num, c.Crate)
	}
	var line []byte
	if c.Kind != KindRemove {
		line = SetYanked(file[start:end], c.Kind == KindYank)
	}
	out := make([]byte, 0, len(file)+1)
	return append(append(append(out, file[:start]...), line...), file[end:]...), nil
}

// findLine gives where the line of version num begins and where it ends, its newline included. The text it looks for can stand
// nowhere else in a line: inside a JSON string its quotes would be escaped, and a feature's value is a list.
func findLine(file []byte, num string) (start, end int, ok bool) {
	at := bytes.Index(file, []byte(`"vers":"`+num+`"`))
	if at < 0 {
		return 0, 0, false
	}
	start = bytes.LastIndexByte(file[:at], '\n') + 1
	if i := bytes.IndexByte(file[at:], '\n'); i >= 0 {
		return start, at + i + 1, true
	}
	return start, len(file), true
}
