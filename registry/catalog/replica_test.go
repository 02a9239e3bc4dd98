package catalog

import (
	"bytes"
	"testing"

	"github.com/crateyard/crateyard/registry/fault"
	"github.com/crateyard/crateyard/test/postgres"
)

// A URI of two hosts leads to the one that takes writes: when that dies and its replica is promoted, publishes go on there, without a restart, and what
// was acknowledged is there. A catalog on the replica alone says that it takes no writes, and follows the changes that come to it; promoted, it is one as others.
func TestReplica(t *testing.T) {
	s := postgres.StartTest(t, postgres.Options{})
	uri, err := s.NewDatabase()
	if err != nil {
		t.Fatal(err)
	}
	r, err := s.Replica()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	})
	either, replica := s.WithReplica(r, uri)
	c := openPostgres(t, either)
	alice := users(t, c, "alice")[0]
	there := openPostgres(t, replica)
	heard := make(chan Change, 100)
	there.Follow(func(ch Change) { heard <- ch })
	hears := func(name string) {
		t.Helper()
		eventually(t, func() bool {
			select {
			case ch := <-heard:
				return ch.Crate == name
			default:
				return false
			}
		})
	}
	for _, name := range []string{"first", "second"} {
		if err := publishAs(t, c, alice, name, "1.0.0", "00"); err != nil {
			t.Fatal(err)
		}
		hears(name)
	}
	if err := publishAs(t, there, alice, "third", "1.0.0", "00"); fault.KindOf(err) != fault.Unavailable {
		t.Errorf("a publish to a replica: %v", err)
	}
	if err := there.Ping(t.Context()); fault.KindOf(err) != fault.Unavailable {
		t.Errorf("a replica is ready: %v", err)
	}

	if err := s.Kill(); err != nil {
		t.Fatal(err)
	}
	err = c.Ping(t.Context())
	noPassword(t, err)
	if fault.KindOf(err) != fault.Unavailable {
		t.Errorf("without a database that takes writes: %v", err)
	}
	if err := r.Promote(); err != nil {
		t.Fatal(err)
	}
	eventually(t, func() bool {
		err := publishAs(t, c, alice, "fourth", "1.0.0", "00")
		return err == nil || fault.KindOf(err) == fault.Conflict // one before it was done, and its answer lost
	})
	hears("fourth")
	eventually(t, func() bool { return there.Ping(t.Context()) == nil })
	for _, on := range []*Catalog{c, there} {
		for _, name := range []string{"first", "second", "fourth"} {
			if f, err := on.IndexFile(t.Context(), name); err != nil || !bytes.Contains(f.Text, []byte(`"1.0.0"`)) {
				t.Errorf("%s: %+v, %v", name, f, err)
			}
		}
	}
}
