package catalog

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/crateyard/crateyard/registry/fault"
	"github.com/crateyard/crateyard/registry/index"
	"github.com/crateyard/crateyard/test/postgres"
)

func TestLeases(t *testing.T) {
	onBoth(t, func(t *testing.T, c *Catalog) {
		want := func(holder string, ttl time.Duration, want bool) {
			t.Helper()
			if has, err := c.Lease(t.Context(), "sweep", holder, ttl); err != nil || has != want {
				t.Errorf("%s: %v %v", holder, has, err)
			}
		}
		want("a", time.Hour, true)
		want("b", time.Hour, false)
		c.now = func() time.Time { return time.Now().Add(48 * time.Hour) } // our own clock does not count
		want("b", time.Hour, false)
		want("a", time.Millisecond, true)
		time.Sleep(5 * time.Millisecond)
		want("b", time.Hour, true)
		want("a", time.Hour, false)
		for _, holder := range []string{"a", "b"} {
			want("a", time.Hour, false)
			if err := c.Release(t.Context(), "sweep", holder); err != nil {
				t.Fatal(err)
			}
		}
		want("a", time.Hour, true)
		for _, prefix := range []string{"sweeps", "other"} {
			if err := c.ReleaseLeft(t.Context(), prefix, "b"); err != nil {
				t.Fatal(err)
			}
		}
		want("b", time.Hour, false)
		if err := c.ReleaseLeft(t.Context(), "swe", "a"); err != nil {
			t.Fatal(err)
		}
		want("b", time.Hour, false)
		if err := c.ReleaseLeft(t.Context(), "swe", "b"); err != nil {
			t.Fatal(err)
		}
		want("b", time.Hour, true)
	})
}

// A lease that ends later than any can was taken by a clock that was ahead: it stops nobody.
func TestLeaseOfClockThatWasAhead(t *testing.T) {
	onBoth(t, func(t *testing.T, c *Catalog) {
		want := func(holder string, longest time.Duration, want bool) {
			t.Helper()
			if has, err := c.LeaseWithin(t.Context(), "sweep", holder, time.Hour, longest); err != nil || has != want {
				t.Errorf("%s: %v %v", holder, has, err)
			}
		}
		if has, err := c.Lease(t.Context(), "sweep", "ahead", 365*24*time.Hour); err != nil || !has {
			t.Fatal(has, err)
		}
		want("a", 366*24*time.Hour, false)
		want("a", 24*time.Hour, true)
		want("ahead", time.Hour, false)
		want("a", time.Hour, true)
	})
}

func TestClaim(t *testing.T) {
	onBoth(t, func(t *testing.T, c *Catalog) {
		id, err := c.RegistryID(t.Context())
		if err != nil || len(id) != 32 {
			t.Fatalf("%q %v", id, err)
		}
		for _, tc := range []struct {
			instance string
			takeOver bool
			refused  string
		}{
			{"", false, ""}, {"ns/a", false, ""}, {"ns/a", false, ""}, {"", false, "belongs to registry ns/a; this is a server without a name"},
			{"ns/b", false, "belongs to registry ns/a; this is ns/b: "}, {"ns/b", true, ""}, {"ns/a", false, "belongs to registry ns/b"},
		} {
			got, err := c.Claim(t.Context(), tc.instance, tc.takeOver)
			switch {
			case tc.refused == "" && (err != nil || got != id):
				t.Errorf("%+v: %q %v", tc, got, err)
			case tc.refused != "" && (fault.KindOf(err) != fault.Conflict || !strings.Contains(err.Error(), tc.refused)):
				t.Errorf("%+v: %v", tc, err)
			}
		}
	})
}

// A catalog is used with one storage, whatever it is called, until another is taken over.
func TestClaimStorage(t *testing.T) {
	onBoth(t, func(t *testing.T, c *Catalog) {
		for _, tc := range []struct {
			s        Storage
			takeOver bool
			was      string
			refused  bool
		}{
			{Storage{"1", "a"}, false, "", false}, {Storage{"1", "a"}, false, "a", false}, {Storage{"2", "b"}, false, "a", true}, {Storage{"1", "c"}, false, "a", false},
			{Storage{"2", "b"}, true, "c", false}, {Storage{"1", "c"}, false, "b", true},
		} {
			was, err := c.ClaimStorage(t.Context(), tc.s, tc.takeOver)
			if was.Where != tc.was || (err != nil) != tc.refused || tc.refused && (fault.KindOf(err) != fault.Conflict || !strings.Contains(err.Error(), "in another storage, "+tc.was+", and this one is "+tc.s.Where+":")) {
				t.Errorf("%+v: %+v %v", tc, was, err)
			}
		}
		if s, err := c.Storage(t.Context()); err != nil || s != (Storage{"2", "b"}) {
			t.Errorf("%+v %v", s, err)
		}
	})
}

func TestSweep(t *testing.T) {
	onBoth(t, func(t *testing.T, c *Catalog) {
		now := time.Now()
		c.now = func() time.Time { return now }
		for _, b := range []CrateBlob{{"a", "1.0.0", "aa"}, {"a-b", "1.0.0", "bb"}, {"a", "1.1.0", "cc"}, {"gone", "1.0.0", "dd"}} {
			publishWith(t, c, b.Crate, b.Num, func(p *Publication) { p.SHA256, p.Size = b.SHA256, 7 })
		}
		if err := c.DeleteVersion(t.Context(), Actor{}, "a", "1.1.0"); err != nil {
			t.Fatal(err)
		}
		if err := c.DeleteCrate(t.Context(), Actor{}, "gone", ""); err != nil {
			t.Fatal(err)
		}
		var list []string
		for b, err := range c.BlobsAfter(t.Context(), CrateBlob{}) {
			if err != nil {
				t.Fatal(err)
			}
			list = append(list, fmt.Sprintf("%s/%s-%s %d %v", b.Crate, b.Num, b.SHA256, b.Size, b.DeletedAt != nil))
		}
		if got, want := strings.Join(list, ", "), "a-b/1.0.0-bb 7 false, a/1.0.0-aa 7 false, a/1.1.0-cc 7 true, gone/1.0.0-dd 7 true"; got != want {
			t.Errorf("%s\nwant %s", got, want)
		}
		if of, err := c.CrateBlobs(t.Context(), "a"); err != nil || len(of) != 2 || of[1].SHA256 != "cc" {
			t.Errorf("%+v %v", of, err)
		}
		for _, err := range c.BlobsAfter(t.Context(), CrateBlob{}) {
			if err != nil {
				t.Fatal(err)
			}
			break // ends the transaction, or there would be none left
		}
		candidates := []CrateBlob{{"a", "1.0.0", "aa"}, {"a", "1.0.0", "zz"}, {"a", "1.1.0", "cc"}, {"gone", "1.0.0", "dd"}, {"gone", "1.0.0", "dd"}}
		for range 2 {
			marked, err := c.MarkForSweep(t.Context(), candidates)
			if err != nil || len(marked) != 3 || marked[0].DeletedAt != nil || marked[1].DeletedAt.Unix() != now.Unix() || marked[2].Crate != "gone" {
				t.Errorf("%+v %v", marked, err)
			}
		}
		now = now.Add(2 * NameBlock)
		again := func() error {
			p := publication(t, "gone", "1.0.0")
			p.SHA256, p.By, p.Metadata = "dd", Actor{UserID: 1, User: "alice"}, []byte("{}")
			return c.Publish(t.Context(), p, anyone)
		}
		if err := again(); fault.KindOf(err) != fault.Unavailable || !strings.Contains(err.Error(), "being removed") {
			t.Errorf("publish of a marked blob: %v", err)
		}
		if left, err := c.Swept(t.Context()); err != nil || len(left) != 3 {
			t.Errorf("%+v %v", left, err)
		}
		if err := c.Unmark(t.Context(), candidates[2:]); err != nil {
			t.Fatal(err)
		}
		if left, err := c.Swept(t.Context()); err != nil || !slices.Equal(left, []CrateBlob{{"a", "1.0.0", "zz"}}) {
			t.Errorf("%+v %v", left, err)
		}
		if err := again(); err != nil {
			t.Error(err)
		}
		if marked, err := c.MarkForSweep(t.Context(), candidates); err != nil || len(marked) != 2 { // gone is here again
			t.Errorf("%+v %v", marked, err)
		}
	})
}

// What no database could hold, and what one would cut off, is refused by both before it gets there.
func TestTextsThatAreNone(t *testing.T) {
	onBoth(t, func(t *testing.T, c *Catalog) {
		publishWith(t, c, "demo", "1.0.0", nil)
		for _, bad := range []string{"nul\x00", "\xff"} {
			errs := map[string]error{}
			_, errs["yank"] = c.SetYanked(t.Context(), Actor{}, "demo", "1.0.0", ptr(true), &bad, anyone)
			_, errs["token"] = c.CreateToken(t.Context(), Actor{}, Token{UserName: "alice", Name: bad}, [32]byte{1})
			_, errs["user"] = c.User(t.Context(), bad)
			p := publication(t, "other", "1.0.0")
			p.Details.Description, p.By = bad, Actor{UserID: 1}
			errs["publish"] = c.Publish(t.Context(), p, anyone)
			for what, err := range errs {
				if fault.KindOf(err) != fault.Invalid {
					t.Errorf("%s of %q: %v", what, bad, err)
				}
			}
		}
	})
}

// operate makes random changes; the same seed makes the same.
func operate(t *testing.T, c *Catalog, seed uint64) {
	t.Helper()
	now := time.Unix(1_700_000_000, 0)
	c.now = func() time.Time { return now }
	r := rand.New(rand.NewPCG(seed, 1))
	names := []string{"alpha", "beta_x", "Gamma-Ray", "d"}
	refused := map[fault.Kind]bool{fault.NotFound: true, fault.Conflict: true, fault.Invalid: true}
	for _, u := range []string{"alice", "bob"} {
		if _, err := c.CreateUser(t.Context(), Actor{}, User{Name: u, Role: "publisher", Groups: []string{"team"}}); err != nil {
			t.Fatal(err)
		}
	}
	for range 150 {
		now = now.Add(time.Minute)
		name, num := names[r.IntN(len(names))], fmt.Sprintf("%d.%d.0", r.IntN(3), r.IntN(4))
		by := Actor{UserID: 1 + r.Int64N(2), User: "alice", Address: "192.0.2.1"}
		var err error
		switch r.IntN(12) {
		case 0, 1, 2, 3, 4:
			p := publication(t, name, num)
			p.By, p.Metadata, p.SHA256, p.Size = by, []byte(`{"readme":"ü <b>"}`), fmt.Sprintf("%064x", r.Uint64()), r.Int64N(1000)
			p.Line = fmt.Appendf(nil, "{\"name\":%q,\"vers\":%q,\"yanked\":false}\n", name, num)
			p.Details = Details{Description: fmt.Sprint("Ein Wörtchen ", r.IntN(3)), Keywords: []string{"k" + fmt.Sprint(r.IntN(3))}, Categories: []string{"parsing"}}
			p.Restricted = r.IntN(4) == 0
			err = c.Publish(t.Context(), p, anyone)
		case 5, 6:
			_, err = c.SetYanked(t.Context(), by, name, num, ptr(r.IntN(2) == 0), nil, anyone)
		case 7:
			err = c.DeleteVersion(t.Context(), by, name, num)
		case 8:
			_, err = c.SetAccess(t.Context(), by, name, ptr(r.IntN(2) == 0), &[]string{"group:team"}, anyone)
		case 9:
			err = c.AddOwners(t.Context(), by, name, []string{"bob", "group:team"}[r.IntN(2):][:1], anyone)
		case 10:
			err = c.RemoveOwners(t.Context(), by, name, []string{"alice", "bob"}[r.IntN(2):][:1], anyone)
		case 11:
			if r.IntN(4) == 0 {
				err = c.DeleteCrate(t.Context(), by, name, "away")
				now = now.Add(2 * NameBlock)
			} else if n, _ := c.Counts(t.Context()); n.Versions > 0 {
				err = c.AddDownloads(t.Context(), map[int64]int64{1: 2})
			}
		}
		if err != nil && !refused[fault.KindOf(err)] {
			t.Fatal(err)
		}
	}
}

func everything(t *testing.T, c *Catalog) (changes []index.Change, files map[string]string, dump string) {
	t.Helper()
	changes, err := c.IndexChanges(t.Context(), 0, 1000)
	if err != nil {
		t.Fatal(err)
	}
	files = map[string]string{}
	for _, name := range []string{"alpha", "beta_x", "gamma-ray", "d"} {
		f, err := c.IndexFile(t.Context(), name)
		if err != nil && fault.KindOf(err) != fault.NotFound {
			t.Fatal(err)
		}
		files[name] = string(f.Text)
	}
	var buf bytes.Buffer
	if err := c.Dump(t.Context(), &buf); err != nil {
		t.Fatal(err)
	}
	return changes, files, buf.String()
}

// The same changes make the same catalog in both databases, to the byte; and a dump of one, loaded into the other, is that one.
func TestBothAreEqual(t *testing.T) {
	for seed := range uint64(3) {
		lite, pg := openSQLite(t), openPostgres(t, postgres.Database(t))
		operate(t, lite, seed)
		operate(t, pg, seed)
		changes, files, dump := everything(t, lite)
		changes2, files2, dump2 := everything(t, pg)
		if len(changes) < 30 || fmt.Sprint(changes) != fmt.Sprint(changes2) {
			t.Errorf("seed %d: %d changes:\n%v\n%v", seed, len(changes), changes, changes2)
		}
		if fmt.Sprint(files) != fmt.Sprint(files2) {
			t.Errorf("seed %d: files differ:\n%v\n%v", seed, files, files2)
		}
		_, body, _ := strings.Cut(dump, "\n") // the header names the registry
		_, body2, _ := strings.Cut(dump2, "\n")
		if i := firstDifference(body, body2); i >= 0 {
			t.Errorf("seed %d: dumps differ:\n…%s\n…%s", seed, body[i:min(i+300, len(body))], body2[i:min(i+300, len(body2))])
		}
		for _, to := range []*Catalog{openSQLite(t), openPostgres(t, postgres.Database(t))} {
			if err := to.Load(t.Context(), strings.NewReader(dump)); err != nil {
				t.Fatal(err)
			}
			changes2, files2, dump2 := everything(t, to)
			if i := firstDifference(dump, dump2); i >= 0 || fmt.Sprint(changes, files) != fmt.Sprint(changes2, files2) {
				t.Errorf("seed %d: %s: what was loaded is another catalog, from byte %d on", seed, to.d.name, i)
			}
			// No id is given again.
			u, err := to.CreateUser(t.Context(), Actor{}, User{Name: "carol", Role: "reader", Groups: []string{"fresh"}})
			if err != nil || u.ID != 3 {
				t.Errorf("%+v %v", u, err)
			}
			if g, err := to.Group(t.Context(), "fresh"); err != nil || g.ID != 2147483649 {
				t.Errorf("%+v %v", g, err)
			}
			if err := to.Load(t.Context(), strings.NewReader(dump)); fault.KindOf(err) != fault.Conflict {
				t.Errorf("a second load: %v", err)
			}
		}
	}
}

func firstDifference(a, b string) int {
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] {
			return max(0, i-100)
		}
	}
	if len(a) != len(b) {
		return max(0, min(len(a), len(b))-100)
	}
	return -1
}

// A dump that is not whole leaves the catalog empty.
func TestLoadRefuses(t *testing.T) {
	from := openSQLite(t)
	operate(t, from, 1)
	var buf bytes.Buffer
	if err := from.Dump(t.Context(), &buf); err != nil {
		t.Fatal(err)
	}
	dump := buf.String()
	lines := strings.SplitAfter(dump, "\n")
	header := lines[0]
	without := func(i int) string { return strings.Join(slices.Delete(slices.Clone(lines), i, i+1), "") }
	onBoth(t, func(t *testing.T, c *Catalog) {
		for _, tc := range []struct{ dump, want string }{
			{"", "line 1 of the dump is cut off"},
			{"hello\n", "is not that of a dump"},
			{strings.Replace(header, `"schema":5`, `"schema":6`, 1), "newer crateyard"},
			{strings.Replace(dump, `"schema":5`, `"schema":3`, 1), `names a table that there is not: "mirrors"`},
			{strings.Replace(dump[:len(dump)/2], `"schema":5`, `"schema":3`, 1), "is cut off"},
			{strings.Replace(header, `"schema":5`, `"schema":0`, 1), "is not that of a dump"},
			{dump[:len(dump)/2], "is cut off"},
			{dump[:len(dump)-1], "is cut off"},
			{without(1), "is a row of no table"},
			{without(2), "table group_members refuses"},
			{without(len(lines) - 3), "rows in table audit, and"},
			{strings.Replace(dump, `"table":"crates"`, `"table":"crate"`, 1), "names a table that there is not"},
			{strings.Replace(dump, `"canonical"`, `"canon"`, 1), "names a column that"},
		} {
			if err := c.Load(t.Context(), strings.NewReader(tc.dump)); fault.KindOf(err) != fault.Invalid || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("%v; want %q", err, tc.want)
			}
		}
		if err := c.Load(t.Context(), strings.NewReader(dump)); err != nil {
			t.Errorf("the whole dump: %v", err)
		}
	})
}

// A table or a column that a migration adds must be in the dump.
func TestDumpHasEveryColumn(t *testing.T) {
	onBoth(t, func(t *testing.T, c *Catalog) {
		query := "SELECT m.name || '.' || p.name FROM sqlite_master m JOIN pragma_table_info(m.name) p WHERE m.type = 'table' AND m.name NOT LIKE 'sqlite_%'"
		if c.d.shared {
			query = `SELECT c.table_name || '.' || c.column_name FROM information_schema.columns c JOIN information_schema.tables t USING (table_schema, table_name)
				WHERE c.table_schema = 'public' AND t.table_type = 'BASE TABLE'`
		}
		have, err := collect(context.Background(), c.ro, scanString, query)
		if err != nil {
			t.Fatal(err)
		}
		var want []string
		for _, table := range dumpTables {
			for _, col := range table.columns {
				want = append(want, table.name+"."+col.name)
			}
		}
		have = slices.DeleteFunc(have, func(s string) bool {
			table, _, _ := strings.Cut(s, ".")
			return slices.Contains([]string{"meta", "leases", "sweeping", "goose_db_version", "mirror_index", "mirror_crates"}, table) ||
				slices.Contains([]string{"changes.id", "mirrors.token", "mirrors.status", "mirrors.requested_at", "mirrors.upstream_since"}, s)
		})
		slices.Sort(have)
		slices.Sort(want)
		if !slices.Equal(have, want) {
			t.Errorf("%v\nwant %v", have, want)
		}
	})
}
