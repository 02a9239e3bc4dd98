package catalog

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/url"
	"reflect"
	"sync"
	"testing"
	"time"

	"github.com/crateyard/crateyard/registry/fault"
	"github.com/crateyard/crateyard/test/postgres"
)

// Of several servers one has the lease on an archive, and who finds it another's, or has it from another, hears whether the archive is stored.
func TestLeaseMirrorCrates(t *testing.T) {
	c := openPostgres(t, postgres.Database(t))
	m, err := c.PutMirror(t.Context(), Actor{}, "m", "{}", nil)
	if err != nil {
		t.Fatal(err)
	}
	a, b, d := MirrorKey{m.ID, "a", "1.0.0"}, MirrorKey{m.ID, "b", "1.0.0"}, MirrorKey{m.ID, "d", "1.0.0"}
	stored := func(keys ...MirrorKey) {
		t.Helper()
		w := &MirrorWrites{Crates: map[int64][]MirrorCrate{}}
		for _, k := range keys {
			w.Crates[k.MirrorID] = append(w.Crates[k.MirrorID], MirrorCrate{Name: k.Name, Num: k.Num, SHA256: "00", Size: 7, StoredAt: time.Now(), UsedAt: time.Now()})
		}
		if err := c.WriteMirrors(t.Context(), w); err != nil {
			t.Fatal(err)
		}
	}
	turn := func(l MirrorLeases, want string) {
		t.Helper()
		if l.TTL == 0 {
			l.TTL = time.Minute
		}
		taken, err := c.LeaseMirrorCrates(t.Context(), l)
		if err != nil {
			t.Fatal(err)
		}
		got := ""
		for _, lease := range taken {
			got += fmt.Sprintf("%v ", lease.Has)
			if lease.Stored != nil {
				got += fmt.Sprintf("%s/%d ", lease.Stored.Name, lease.Stored.Size)
			}
		}
		if got != want {
			t.Errorf("%+v: %q, want %q", l, got, want)
		}
	}
	turn(MirrorLeases{Holder: "one", Take: []MirrorKey{b, a}}, "true true ")
	turn(MirrorLeases{Holder: "one", Take: []MirrorKey{a}}, "true ")
	turn(MirrorLeases{Holder: "two", Take: []MirrorKey{d, a}}, "true false ")
	stored(b)
	turn(MirrorLeases{Holder: "two", Take: []MirrorKey{a, b}, Back: []MirrorKey{a}}, "false false b/7 ") // what it gives back is not its own
	turn(MirrorLeases{Holder: "one", Take: []MirrorKey{d}, Back: []MirrorKey{b, a}}, "false ")
	turn(MirrorLeases{Holder: "two", Take: []MirrorKey{b, a}}, "true b/7 true ")
	turn(MirrorLeases{}, "")

	turn(MirrorLeases{Holder: "two", Renew: []MirrorKey{a, b}, TTL: time.Millisecond}, "")
	turn(MirrorLeases{Holder: "two", Renew: []MirrorKey{b}}, "")
	time.Sleep(20 * time.Millisecond)
	turn(MirrorLeases{Holder: "one", Take: []MirrorKey{a, b}}, "true false b/7 ")
	turn(MirrorLeases{Holder: "two", Renew: []MirrorKey{a}}, "")
	turn(MirrorLeases{Holder: "one", Take: []MirrorKey{a}}, "true ")

	// The names are those of a server that takes them one by one.
	if has, err := c.Lease(t.Context(), fmt.Sprintf("mirror/%d/a@1.0.0", m.ID), "three", time.Minute); err != nil || has {
		t.Error(has, err)
	}
	if _, err := c.LeaseMirrorCrates(t.Context(), MirrorLeases{Holder: "one", Take: []MirrorKey{{m.ID, "a\x00", "1.0.0"}}}); fault.KindOf(err) != fault.Invalid {
		t.Errorf("a name that is none: %v", err)
	}
	turn(MirrorLeases{Holder: "one", Back: []MirrorKey{a}}, "")
}

// Servers that want what others give back, as many and in any order, wait for nobody who waits for them, and never have one together.
func TestLeasesBetweenManyServers(t *testing.T) {
	c := openPostgres(t, postgres.Database(t))
	keys := make([]MirrorKey, 20)
	for i := range keys {
		keys[i] = MirrorKey{1, fmt.Sprintf("crate-%d", i), "1.0.0"}
	}
	var mu sync.Mutex
	owner := map[MirrorKey]string{}
	var servers sync.WaitGroup
	for s := range 4 {
		holder := fmt.Sprint("server", s)
		servers.Go(func() {
			has := map[MirrorKey]bool{}
			for range 50 {
				l := MirrorLeases{Holder: holder, TTL: time.Minute}
				for _, i := range rand.Perm(len(keys)) {
					switch k := keys[i]; {
					case !has[k]:
						l.Take = append(l.Take, k)
					case rand.IntN(2) == 0:
						l.Back = append(l.Back, k)
						delete(has, k)
						mu.Lock()
						delete(owner, k)
						mu.Unlock()
					default:
						l.Renew = append(l.Renew, k)
					}
				}
				taken, err := c.LeaseMirrorCrates(t.Context(), l)
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				for i, k := range l.Take {
					if !taken[i].Has {
						continue
					}
					if owner[k] != "" {
						t.Errorf("%s and %s have %s", owner[k], holder, k.Name)
					}
					has[k], owner[k] = true, holder
				}
				mu.Unlock()
			}
		})
	}
	servers.Wait()
	var deadlocks int64
	if err := c.ro.QueryRowContext(t.Context(), "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()").Scan(&deadlocks); err != nil || deadlocks > 0 {
		t.Errorf("%d deadlocks, %v", deadlocks, err)
	}
}

// Leases, and all that mirrors have cached meanwhile, take a trip each. Where it breaks, the caller hears of it, and no transaction is left open.
func TestTripsOfAMirror(t *testing.T) {
	uri := postgres.Database(t)
	plain := openPostgres(t, uri)
	m, err := plain.PutMirror(t.Context(), Actor{}, "m", "{}", nil)
	if err != nil {
		t.Fatal(err)
	}
	l := MirrorLeases{Holder: "one", TTL: time.Minute}
	w := &MirrorWrites{Index: map[int64][]MirrorIndexFile{}, Checked: map[int64]map[string]time.Time{m.ID: {}}, Crates: map[int64][]MirrorCrate{}, Used: map[MirrorKey]time.Time{}}
	now := time.Now().Truncate(time.Second)
	for i := range 10 {
		name := fmt.Sprint("crate", i)
		k := MirrorKey{m.ID, name, "1.0.0"}
		l.Take = append(l.Take, k)
		w.Index[m.ID] = append(w.Index[m.ID], MirrorIndexFile{Crate: name, File: []byte("a file"), Generation: m.Generation, CheckedAt: now})
		w.Crates[m.ID] = append(w.Crates[m.ID], MirrorCrate{Name: name, Num: "1.0.0", SHA256: "00", StoredAt: now, UsedAt: now})
		w.Checked[m.ID][name], w.Used[k] = now.Add(time.Minute), now.Add(time.Hour)
	}
	w.Looked = []MirrorLicense{{l.Take[0], "00", "MIT"}}
	w.Adopted = []MirrorAdoption{{l.Take[0], "00", 5}}
	w.Denials = []Record{{Actor: "alice", Action: "mirror.deny", Subject: "m"}}
	for what, do := range map[string]func(c *Catalog) error{
		"leases": func(c *Catalog) error { _, err := c.LeaseMirrorCrates(t.Context(), l); return err },
		"writes": func(c *Catalog) error { return c.WriteMirrors(t.Context(), w) },
	} {
		b := &breaker{}
		if err := do(broken(t, plain, b, uri)); err != nil || b.left.Load() != -1 {
			t.Errorf("%s made %d trips, %v", what, -b.left.Load(), err)
		}
		for _, how := range []string{"error", "cut before", "cut after"} {
			b := &breaker{how: how}
			c := broken(t, plain, b, uri)
			b.left.Store(1)
			if err := do(c); !errors.Is(err, errInjected) && !errors.Is(err, io.ErrUnexpectedEOF) || how != "error" && fault.KindOf(err) != fault.Unavailable {
				t.Errorf("%s, %s: %v", what, how, err)
			}
			if err := do(c); err != nil {
				t.Errorf("%s, after %s: %v", what, how, err)
			}
		}
	}
	for _, mode := range []string{"cache_describe", "describe_exec", "exec", "simple_protocol"} { // what a pooler may ask for
		u, err := url.Parse(uri)
		if err != nil {
			t.Fatal(err)
		}
		q := u.Query()
		q.Set("default_query_exec_mode", mode)
		u.RawQuery = q.Encode()
		c := openPostgres(t, u.String())
		if taken, err := c.LeaseMirrorCrates(t.Context(), l); err != nil || !taken[9].Has || taken[9].Stored == nil {
			t.Errorf("%s: %+v %v", mode, taken, err)
		}
		if err := c.WriteMirrors(t.Context(), w); err != nil {
			t.Errorf("%s: %v", mode, err)
		}
	}
	row, err := plain.MirrorCrate(t.Context(), m.ID, "crate0", "1.0.0")
	if want := (&MirrorCrate{Name: "crate0", Num: "1.0.0", SHA256: "00", License: "MIT", Inspected: true, StoredAt: now.UTC(), UsedAt: now.Add(time.Hour).UTC(), Generation: 5}); err != nil || !reflect.DeepEqual(row, want) {
		t.Errorf("%+v %v", row, err)
	}
	for _, table := range []string{"leases", "mirror_crates"} {
		if _, err := plain.rw.db.ExecContext(t.Context(), "ALTER TABLE "+table+" ADD CONSTRAINT never CHECK (false) NOT VALID"); err != nil {
			t.Fatal(err)
		}
	}
	plain.rw.db.SetMaxOpenConns(1)
	if _, err := plain.LeaseMirrorCrates(t.Context(), l); err == nil {
		t.Error("a database that refuses leases gave them")
	}
	w.Index[m.ID][0].File = []byte("another file")
	if err := plain.WriteMirrors(t.Context(), w); err == nil {
		t.Error("a database that refuses what was written took it")
	}
	if f, err := plain.MirrorIndexFile(t.Context(), m.ID, "crate0"); err != nil || string(f.File) != "a file" {
		t.Errorf("half of it is written: %+v %v", f, err)
	}
}
