package linear

import (
	"fmt"
	"time"
)

// behind is how far the index of one server may be behind what was done through another.
const behind = time.Second

// indexRead is one look at the index through one server; write is a change that was done, or may have been.
type indexRead struct {
	key        string
	server     int
	begin, end time.Duration
	saw        output
}

type write struct {
	input
	server     int
	begin, end time.Duration
	uncertain  bool // no answer came
}

// over reports whether a write was done so long before a read that the read may not miss it: at once through the same server, and
// after a second through any other.
func (w write) over(r indexRead) bool {
	return !w.uncertain && (w.end < r.begin-behind || w.server == r.server && w.end < r.begin)
}

// stale says what is wrong with a read of the index: that it shows what nobody had written by then, or what another write had
// undone so long ago that it had to be known.
func (r indexRead) stale(writes []write) error {
	possible := r.saw.missing // before the first publish
	for _, w := range writes {
		if w.shows(r.saw, writes) && w.begin < r.end {
			possible = true
		}
	}
	if !possible {
		return fmt.Errorf("%+v shows what nobody wrote", r)
	}
	for _, undone := range writes {
		if undone.shows(r.saw, writes) || !undone.over(r) || !undone.changes(r.saw) {
			continue
		}
		// The read is right all the same when something after it may have led back to what it shows.
		back := false
		for _, w := range writes {
			if w.shows(r.saw, writes) && w.begin < r.end && w.end > undone.begin {
				back = true
			}
		}
		if !back {
			return fmt.Errorf("%+v does not know of %+v", r, undone)
		}
	}
	return nil
}

// shows reports whether a version may look so right after the write.
func (w write) shows(saw output, writes []write) bool {
	if saw.missing {
		return w.what == deletion
	}
	switch w.what {
	case publish:
		return saw.digest == w.digest && !saw.yanked
	case yank, unyank:
		return saw.yanked == (w.what == yank) && saw.digest == published(writes)
	}
	return false
}

// changes reports whether a version that looks so cannot be what is there after the write, if nothing else is done.
func (w write) changes(saw output) bool {
	switch w.what {
	case publish:
		return saw.missing
	case yank:
		return !saw.missing && !saw.yanked
	case unyank:
		return !saw.missing && saw.yanked
	}
	return !saw.missing // a deletion
}

func published(writes []write) string {
	for _, w := range writes {
		if w.what == publish && !w.uncertain {
			return w.digest
		}
	}
	return ""
}

// checkIndex holds all reads of the index against what was done.
func (r *recorder) checkIndex() error {
	byKey := map[string][]write{}
	for _, w := range r.done {
		byKey[w.key] = append(byKey[w.key], w)
	}
	for _, read := range r.index {
		if err := read.stale(byKey[read.key]); err != nil {
			return err
		}
	}
	return nil
}
