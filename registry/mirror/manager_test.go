package mirror

import (
	"encoding/json"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"

	"github.com/crateyard/crateyard/registry/catalog"
	"github.com/crateyard/crateyard/registry/fault"
	"github.com/crateyard/crateyard/registry/index"
	"github.com/crateyard/crateyard/registry/wire"
)

// uncounted is Metrics for a manager whose mirrors do nothing.
type uncounted struct{ Metrics }

func (uncounted) Forget(string) {}

// idle is a manager with mirrors that do nothing.
func idle(t *testing.T, names ...string) *Manager {
	t.Helper()
	c, err := catalog.Open(t.Context(), filepath.Join(t.TempDir(), "catalog.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	m := &Manager{Catalog: c, Metrics: uncounted{}, Log: slog.New(slog.DiscardHandler)}
	m.mirrors.Store(&map[string]*Mirror{})
	m.changes = make(chan struct{}, 1)
	for _, name := range names {
		if _, err := c.PutMirror(t.Context(), catalog.Actor{}, name, `{}`, nil); err != nil {
			t.Fatal(err)
		}
	}
	if err := m.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	return m
}

// What changes of one mirror leaves the files of the others in memory as they are.
func TestReloadLetsTheOthersBe(t *testing.T) {
	m := idle(t, "a", "b")
	epochs := func() [2]int64 { return [2]int64{m.Mirror("a").epoch.Load(), m.Mirror("b").epoch.Load()} }
	reload := func(names ...string) {
		t.Helper()
		if err := m.Reload(t.Context(), names...); err != nil {
			t.Fatal(err)
		}
	}
	a, b := m.Mirror("a"), m.Mirror("b")
	if reload("a"); epochs() != [2]int64{1, 0} {
		t.Errorf("after a change of a: %v", epochs())
	}
	if _, err := m.Catalog.PutMirror(t.Context(), catalog.Actor{}, "b", `{"mode":"Pinned"}`, nil); err != nil {
		t.Fatal(err)
	}
	if reload(); epochs() != [2]int64{1, 0} || m.Mirror("a") != a || m.Mirror("b") == b {
		t.Errorf("after another spec of b: %v", epochs())
	}

	m.changed(catalog.Change{Kind: index.KindPublish, Crate: "a"})
	if m.touched.take()("a") {
		t.Error("a hosted crate of the name is no change of the mirror")
	}
	m.changed(catalog.Change{Kind: index.KindMirror, Crate: "a"})
	if in := m.touched.take(); !in("a") || in("b") || m.touched.take()("a") {
		t.Error("a change of a is told wrongly")
	}
	m.changed(catalog.Change{})
	if in := m.touched.take(); !in("a") || !in("b") {
		t.Error("any may have changed, and not all are looked at")
	}
}

// A mirror whose policy was taken before contradictions of its kind were seen can be changed in all else, as its operator does after an upgrade.
func TestPutKeepsAPolicyThatWasTaken(t *testing.T) {
	m := started(t)
	spec := wire.MirrorSpec{Mode: Pinned, Policy: wire.MirrorPolicy{Deny: []string{"*"}}}
	put := func() ([]string, error) {
		_, warnings, err := m.Put(t.Context(), catalog.Actor{}, "m", wire.MirrorChange{Spec: spec})
		return warnings, err
	}
	if _, err := put(); fault.KindOf(err) != fault.Invalid {
		t.Fatalf("a new one: %v", err)
	}
	text, err := json.Marshal(WithDefaults(spec))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := m.Catalog.PutMirror(t.Context(), catalog.Actor{}, "m", string(text), nil); err != nil {
		t.Fatal(err)
	}
	if err := m.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := put(); err != nil {
		t.Errorf("the same again: %v", err)
	}
	spec.Schedule = "0 3 * * *"
	if warnings, err := put(); err != nil || len(warnings) == 0 || !strings.Contains(warnings[0], `deny[0] "*": denies every crate`) {
		t.Errorf("with another schedule: %q %v", warnings, err)
	}
	spec.Policy.Deny = []string{"*", "a"}
	if _, err := put(); fault.KindOf(err) != fault.Invalid {
		t.Errorf("with another policy: %v", err)
	}
}
