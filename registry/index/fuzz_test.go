package index

import (
	"path"
	"strings"
	"testing"
	"time"

	"github.com/crateyard/crateyard/registry/crate"
)

// The path of a name is clean, lower-case, leads nowhere else, and tells the name.
func FuzzPath(f *testing.F) {
	for _, s := range []string{"a", "ab", "Abc", "serde", "foo-bar_9", "..", "a/b", ""} {
		f.Add(s, "serde")
	}
	f.Fuzz(func(t *testing.T, name, other string) {
		if crate.CheckName(name) != nil {
			return
		}
		p := Path(name)
		if p != path.Clean(p) || path.IsAbs(p) || strings.HasPrefix(p, "..") || p != strings.ToLower(p) || path.Base(p) != strings.ToLower(name) {
			t.Errorf("%q lies at %q", name, p)
		}
		if crate.CheckName(other) == nil && !strings.EqualFold(name, other) && Path(other) == p {
			t.Errorf("%q and %q lie at %q", name, other, p)
		}
	})
}

// A time is read as the time package reads it, but for fractions, which cargo does not take.
func FuzzParsePubTime(f *testing.F) {
	for _, s := range []string{"2026-11-23T11:00:00Z", "2024-02-29T23:59:59Z", "2023-02-29T00:00:00Z", "2026-11-31T00:00:00Z", "2026-13-01T00:00:00Z", "2026-00-01T00:00:00Z", "2026-01-00T00:00:00Z", "2026-01-01T24:00:00Z",
		"2026-01-01T00:60:00Z", "2026-01-01T00:00:60Z", "2026-01-01T00:00:0.5Z", "2026-01-01t00:00:00z", "2026-01-01 00:00:00Z", "0000-01-01T00:00:00Z", "9999-12-31T23:59:59Z", "2026-01-01T00:00:00+", "202:-01-01T00:00:00Z", ""} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got, ok := ParsePubTime([]byte(s))
		want, err := time.Parse(PubTimeLayout, s)
		if ok != (err == nil && len(s) == len(PubTimeLayout)) || ok && !got.Equal(want) {
			t.Errorf("%q is %v, %v; by time.Parse %v, %v", s, got, ok, want, err)
		}
	})
}
