package index

import (
	"path"
	"strings"
	"testing"

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
