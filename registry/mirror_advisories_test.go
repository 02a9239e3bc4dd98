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

// Advisories that cannot be read are told to whoever makes the mirror, to those who ask it for something, and in its status; and they are read as soon as they can be.
func TestMirrorAdvisoriesUnreadable(t *testing.T) {
	m := openMirror(t, nil, "acme 1.0.0")
	dir := filepath.Join(t.TempDir(), "advisory-db")
	spec := wire.MirrorSpec{Upstream: wire.MirrorUpstream{Index: "sparse+" + m.proxy.URL + "/index/"}, Policy: wire.MirrorPolicy{Advisories: &wire.MirrorAdvisories{Source: dir}}}
	made, err := m.client.PutMirror(t.Context(), "m", wire.MirrorChange{Spec: spec})
	if said := strings.Join(made.Warnings, " "); err != nil || !strings.Contains(said, "no such file or directory") || !strings.Contains(said, "check policy.advisories.source") {
		t.Errorf("%v, %q", err, said)
	}
	if a := made.Status.Advisories; !made.Unadvised() || a.Backend != dir || !strings.Contains(a.Message, "no such file or directory") {
		t.Errorf("%+v", a)
	}
	if a := m.index("acme"); a.status != 503 || !strings.Contains(a.body, "no such file or directory") || !strings.Contains(a.body, "trying again is of no use") {
		t.Errorf("%d %s", a.status, a.body)
	}
	if d, err := m.client.TryPolicy(t.Context(), "m", spec.Policy); err != nil || !strings.Contains(d.Withheld, "gives nothing out until the advisories of "+dir) {
		t.Errorf("to try it: %v, %+v", err, d)
	}
	spec.Policy.Advisories.Action = "Warn"
	if d, err := m.client.TryPolicy(t.Context(), "m", spec.Policy); err != nil || d.Withheld != "" || !strings.Contains(strings.Join(d.Problems, " "), "none are looked at") {
		t.Errorf("to try it with Warn: %v, %+v", err, d)
	}
	if made, err = m.client.PutMirror(t.Context(), "m", wire.MirrorChange{Spec: spec}); err != nil || made.Unadvised() || made.Status.Advisories.Ready ||
		!strings.Contains(strings.Join(made.Warnings, " "), "warns of nothing") {
		t.Errorf("with Warn: %v, %q, %+v", err, made.Warnings, made.Status.Advisories)
	}
	if a := m.index("acme"); a.status != 200 {
		t.Errorf("with Warn: %d %s", a.status, a.body)
	}
	if err := os.Rename(advisoriesOf(t, "acme"), dir); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the advisories are read", func() bool {
		now, err := m.client.Mirror(t.Context(), "m")
		return err == nil && now.Status.Advisories.Ready && now.Status.Advisories.Message == "" && len(now.Status.Problems) == 0
	})
}

// A file of the database that cannot be read is told to whoever makes the mirror or tries a policy, and in the mirror's status; the others count.
func TestMirrorAdvisoriesWithFaults(t *testing.T) {
	m := openMirror(t, nil, "acme 1.0.0")
	dir := advisoriesOf(t, "acme")
	broken := filepath.Join(dir, "crates", "acme", "RUSTSEC-2020-0002.md")
	if err := os.WriteFile(broken, []byte("```toml\n[advisory]\nid = \n"), 0o600); err != nil {
		t.Fatal(err)
	}
	const says = "crates/acme/RUSTSEC-2020-0002.md: "
	spec := wire.MirrorSpec{Upstream: wire.MirrorUpstream{Index: "sparse+" + m.proxy.URL + "/index/"}, Policy: wire.MirrorPolicy{Advisories: &wire.MirrorAdvisories{Source: dir}}}
	dry, err := m.client.TryPolicy(t.Context(), "m", spec.Policy)
	if err != nil || len(dry.Problems) != 1 || !strings.Contains(dry.Problems[0], says) {
		t.Errorf("%v %q", err, dry.Problems)
	}
	made, err := m.client.PutMirror(t.Context(), "m", wire.MirrorChange{Spec: spec})
	if err != nil || len(made.Warnings) != 1 || !strings.Contains(made.Warnings[0], says) {
		t.Errorf("%v %q", err, made.Warnings)
	}
	if a := m.index("acme"); a.status != 200 || !strings.Contains(a.body, `"yanked":true`) {
		t.Errorf("%d %s", a.status, a.body)
	}
	eventually(t, "the status tells of the file", func() bool {
		s := m.status()
		return s.Advisories.Ready && len(s.Problems) == 1 && strings.Contains(s.Problems[0], says)
	})
	spec.Policy.Advisories.Source = "http://advisories.invalid/db"
	if made, err = m.client.PutMirror(t.Context(), "m", wire.MirrorChange{Spec: spec}); err != nil || !strings.Contains(strings.Join(made.Warnings, " "), "come over http, and who is on the way can leave some out") {
		t.Errorf("%v %q", err, made.Warnings)
	}
}
