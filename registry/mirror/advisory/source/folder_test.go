package source

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestFolder(t *testing.T) {
	o := newOrigin(t)
	o.commit(map[string]string{"A-1": "a"})
	s := open(t, o.dir, "")
	has(t, s, "a", "A-1")
	if changed, err := s.Update(t.Context()); changed || err != nil {
		t.Error(changed, err)
	}
	o.commit(map[string]string{"A-2": "a"})
	if changed, err := s.Update(t.Context()); !changed || err != nil {
		t.Error(changed, err)
	}
	has(t, s, "a", "A-1", "A-2")
	if err := os.Rename(filepath.Join(o.dir, "crates"), filepath.Join(o.dir, "away")); err != nil {
		t.Fatal(err)
	}
	if changed, err := s.Update(t.Context()); changed || err == nil || !strings.Contains(err.Error(), o.dir) {
		t.Error(changed, err)
	}
	has(t, s, "a", "A-1", "A-2")
	if _, err := Open(t.Context(), filepath.Join(o.dir, "none"), ""); err == nil {
		t.Error("a folder that is not there was opened")
	}
}

// A file that cannot be read any more is told, and what it said before still holds until it can be read, or is gone.
func TestFolderWithABrokenFile(t *testing.T) {
	o := newOrigin(t)
	o.commit(map[string]string{"A-1": "a", "B-1": "b"})
	o.write("crates/c/C-1.md", "half a fi")
	s := open(t, "file://"+o.dir, "")
	faults := func(want ...string) {
		t.Helper()
		if len(s.Problems()) != len(want) {
			t.Fatal(s.Problems())
		}
		for i, p := range s.Problems() {
			if !strings.Contains(p.Error(), want[i]) {
				t.Error(p)
			}
		}
	}
	faults("crates/c/C-1.md: it does not begin with")
	before := s.DB()
	o.write("crates/a/A-1.md", "half a fi")
	if changed, err := s.Update(t.Context()); changed || err != nil || s.DB() != before {
		t.Error(changed, err)
	}
	faults("crates/a/A-1.md", "crates/c/C-1.md")
	has(t, s, "a", "A-1")
	has(t, s, "b", "B-1")
	o.commit(map[string]string{"A-2": "a", "C-1": "c"})
	if changed, err := s.Update(t.Context()); !changed || err != nil {
		t.Error(changed, err)
	}
	faults("crates/a/A-1.md")
	has(t, s, "a", "A-1", "A-2")
	has(t, s, "c", "C-1")
	if err := os.Remove(filepath.Join(o.dir, "crates/a/A-1.md")); err != nil {
		t.Fatal(err)
	}
	if changed, err := s.Update(t.Context()); !changed || err != nil {
		t.Error(changed, err)
	}
	faults()
	has(t, s, "a", "A-2")
}
