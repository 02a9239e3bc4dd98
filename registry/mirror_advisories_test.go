package registry_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/crateyard/crateyard/registry/wire"
)

// advisoriesOf makes a database with one advisory, about all versions of a crate.
func advisoriesOf(t *testing.T, name string) string {
	t.Helper()
	dir := t.TempDir()
	file := filepath.Join(dir, "crates", name, "RUSTSEC-2020-0001.md")
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		t.Fatal(err)
	}
	text := fmt.Sprintf("```toml\n[advisory]\nid = \"RUSTSEC-2020-0001\"\npackage = %q\ndate = \"2020-01-01\"\n[versions]\npatched = []\n```\n\n# It is bad\n", name)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}

// A database that was read for one mirror is there for the next at once, and that of another source is never taken for it.
func TestMirrorAdvisoriesOfTheirSource(t *testing.T) {
	m := openMirror(t, nil, "acme 1.0.0")
	use := func(mirror, source string) {
		m.put(mirror, func(s *wire.MirrorSpec) { s.Policy.Advisories = &wire.MirrorAdvisories{Source: source} })
	}
	bad, other := advisoriesOf(t, "acme"), advisoriesOf(t, "somebody")
	use("m", bad)
	eventually(t, "the advisories are read", func() bool { return m.index("acme").status == 200 })
	if a := m.index("acme"); !strings.Contains(a.body, `"yanked":true`) {
		t.Errorf("%s", a.body)
	}
	use("n", bad)
	if a := m.do("GET", "/mirrors/n/"+path("acme"), "", nil); a.status != 200 || !strings.Contains(a.body, `"yanked":true`) {
		t.Errorf("another mirror with the same advisories: %d %s", a.status, a.body)
	}
	use("m", other)
	for a := m.index("acme"); ; a = m.index("acme") {
		if a.status == 503 {
			continue // it has not read the new ones yet
		}
		if a.status != 200 || strings.Contains(a.body, `"yanked":true`) {
			t.Errorf("with other advisories: %d %s", a.status, a.body)
		}
		return
	}
}
