package upkeep_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/crateyard/crateyard/registry/catalog"
	"github.com/crateyard/crateyard/registry/storage"
	"github.com/crateyard/crateyard/registry/upkeep"
	"github.com/crateyard/crateyard/registry/upkeep/upkeeptest"
)

func TestMain(m *testing.M) { os.Exit(upkeeptest.Main(m)) }

func check(t *testing.T, c *upkeep.Checker) *upkeep.Report {
	t.Helper()
	r := &upkeep.Report{}
	if err := c.Run(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	if !r.Done {
		t.Error("not done")
	}
	return r
}

// found gives what was found as "kind crate version", sorted.
func found(r *upkeep.Report) []string {
	list := []string{}
	for _, f := range r.Findings {
		list = append(list, strings.TrimSpace(fmt.Sprintf("%s %s %s", f.Kind, f.Crate, f.Version)))
	}
	slices.Sort(list)
	return list
}

func flip(b []byte) []byte {
	b[len(b)/2] ^= 1
	return b
}

const zeros = "0000000000000000000000000000000000000000000000000000000000000000"

func TestCheckFindsEachDamage(t *testing.T) { upkeeptest.Each(t, testCheckFindsEachDamage) }

func testCheckFindsEachDamage(t *testing.T, y *upkeeptest.Yard) {
	c := y.Catalog
	for i := range 8 {
		y.Publish("demo", fmt.Sprintf("1.%d.0", i))
	}
	gone, short, flipped := y.Publish("gone", "1.0.0"), y.Publish("short", "1.0.0"), y.Publish("flipped", "1.0.0")
	y.Publish("dropped", "1.0.0")
	clean := check(t, &upkeep.Checker{Catalog: c, Feed: c, Store: y.Store})
	if len(clean.Findings) > 0 || clean.Versions != 12 || clean.Blobs != 12 || clean.ReadBytes != clean.StoredBytes {
		t.Fatalf("of a whole registry: %+v", clean)
	}

	y.Remove(upkeeptest.Key(gone))
	y.Replace(upkeeptest.Key(short), func(b []byte) []byte { return b[:len(b)-1] })
	y.Replace(upkeeptest.Key(flipped), flip)
	orphan, young := storage.CrateKey("demo", "9.0.0", zeros), storage.CrateKey("demo", "9.1.0", zeros)
	y.Put(orphan, []byte("orphan"))
	y.Put(young, []byte("arriving"))
	y.Put("crates/notes.txt", []byte("?"))
	y.Age(orphan, 30*time.Hour)
	for num, line := range map[string]string{
		"1.1.0": `replace(line, '"demo"', '"other"')`, "1.2.0": `replace(line, '"1.2.0"', '"1.2.1"')`, "1.3.0": `replace(line, '"cksum":"', '"cksum":"0')`,
		"1.4.0": `replace(line, '"yanked":false', '"yanked":true')`, "1.5.0": `replace(line, '}', '')`, "1.6.0": `replace(line, '"deps":[]', '"deps":null')`,
		"1.7.0": `replace(line, 'Z"', '+00:00"')`,
	} {
		y.Exec("UPDATE versions SET line = " + line + " WHERE num = '" + num + "' AND crate_id = (SELECT id FROM crates WHERE name = 'demo')")
	}
	y.Exec("UPDATE changes SET kind = 'unyank' WHERE crate = 'dropped'")
	want := []string{"missing-blob gone 1.0.0", "orphan demo 9.0.0", "unknown-key", "wrong-digest flipped 1.0.0", "wrong-feed dropped",
		"wrong-line demo 1.1.0", "wrong-line demo 1.2.0", "wrong-line demo 1.3.0", "wrong-line demo 1.4.0", "wrong-line demo 1.5.0", "wrong-line demo 1.6.0",
		"wrong-line demo 1.7.0", "wrong-size short 1.0.0"}
	r := check(t, &upkeep.Checker{Catalog: c, Feed: c, Store: y.Store})
	got := slices.DeleteFunc(found(r), func(s string) bool { return s == "wrong-feed demo" }) // its lines are not those that were told
	if !slices.Equal(got, want) {
		t.Errorf("found\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if r.Orphans != 1 || r.OrphanBytes != 6 || r.Arriving != 1 || r.Damaged() != int64(len(r.Findings))-2 {
		t.Errorf("counts: %+v", r)
	}
	for _, f := range r.Findings {
		if f.Advice == "" || f.Detail == "" {
			t.Errorf("says not what to do: %+v", f)
		}
	}
	quick := check(t, &upkeep.Checker{Catalog: c, Feed: c, Store: y.Store, Quick: true})
	want = slices.DeleteFunc(want, func(s string) bool { return strings.HasPrefix(s, "wrong-digest") || strings.HasPrefix(s, "wrong-feed") })
	if got := found(quick); !slices.Equal(got, want) {
		t.Errorf("quick found\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// A check that was cut off goes on where it was and finds what a whole one finds.
func TestCheckGoesOn(t *testing.T) { upkeeptest.Each(t, testCheckGoesOn) }

func testCheckGoesOn(t *testing.T, y *upkeeptest.Yard) {
	c := y.Catalog
	for i := range 300 {
		r := y.Publish(fmt.Sprintf("crate-%d", i%7), fmt.Sprintf("1.%d.0", i))
		if i%50 == 0 {
			y.Replace(upkeeptest.Key(r), flip)
		}
	}
	whole := check(t, &upkeep.Checker{Catalog: c, Store: y.Store})
	if len(whole.Findings) != 6 {
		t.Fatalf("found %v", found(whole))
	}
	state := filepath.Join(t.TempDir(), "state")
	for runs := 1; ; runs++ {
		r, err := upkeep.ReadState(state)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		err = (&upkeep.Checker{Catalog: c, Store: y.Store, Progress: func(r *upkeep.Report) {
			if err := upkeep.WriteState(state, r); err != nil {
				t.Error(err)
			}
			cancel()
		}}).Run(ctx, r)
		cancel()
		if !r.Done {
			if !errors.Is(err, context.Canceled) {
				t.Fatal(err)
			}
			continue
		}
		if runs < 3 || !slices.Equal(found(r), found(whole)) || r.Blobs != whole.Blobs || r.ReadBytes != whole.ReadBytes || r.Versions != 300 {
			t.Errorf("after %d runs: %+v\nwant %+v", runs, r, whole)
		}
		return
	}
}

// While versions are published, deleted and swept away, a check finds nothing: what looks wrong is looked at again.
func TestCheckDuringPublishes(t *testing.T) { upkeeptest.Each(t, testCheckDuringPublishes) }

func testCheckDuringPublishes(t *testing.T, y *upkeeptest.Yard) {
	c := y.Catalog
	y.Publish("first", "1.0.0")
	stop, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
			}
			r := y.Publish(fmt.Sprintf("crate-%d", i%11), fmt.Sprintf("1.0.%d", i))
			if i%3 == 0 {
				if err := y.Catalog.DeleteVersion(context.Background(), catalog.Actor{}, r.Name, r.Version); err != nil {
					t.Error(err)
				}
				if err := y.Store.Delete(context.Background(), upkeeptest.Key(r)); err != nil {
					t.Error(err)
				}
			}
		}
	}()
	for end := time.Now().Add(3 * time.Second); time.Now().Before(end); {
		if r := check(t, &upkeep.Checker{Catalog: c, Feed: c, Store: y.Store}); len(r.Findings) > 0 {
			t.Errorf("found %+v", r.Findings)
		}
	}
	close(stop)
	<-done
}

// A storage that cannot be read is one trouble, not one a blob.
func TestCheckOfBrokenStorage(t *testing.T) {
	y := upkeeptest.Small(t)
	c := y.Catalog
	for i := range 40 {
		y.Publish("demo", fmt.Sprintf("1.%d.0", i))
	}
	err := (&upkeep.Checker{Catalog: c, Store: broken{y.Store}}).Run(t.Context(), &upkeep.Report{})
	if err == nil || !strings.Contains(err.Error(), "the storage cannot be read") || !strings.Contains(err.Error(), "no carrier") {
		t.Errorf("%v", err)
	}
}

// broken is a storage whose disk is gone while its folders are still in memory.
type broken struct{ storage.Store }

func (broken) Open(context.Context, string) (storage.Blob, error) {
	return nil, errors.New("no carrier")
}

func TestRepair(t *testing.T) { upkeeptest.Each(t, testRepair) }

func testRepair(t *testing.T, y *upkeeptest.Yard) {
	c := y.Catalog
	copies, _ := upkeeptest.Folder(t)
	good := map[string][]byte{}
	var keys []string
	for i, name := range []string{"gone", "short", "flipped", "lost", "inside"} {
		key := upkeeptest.Key(y.Publish(name, "1.0.0"))
		keys, good[key] = append(keys, key), y.Get(key)
		if i < 3 {
			upkeeptest.Put(t, copies, "blobs/"+key, good[key])
		}
	}
	upkeeptest.Put(t, copies, "blobs/"+keys[3], []byte("not these")) // a copy that is wrong itself
	y.Put(upkeep.Quarantine+"by-hand/inside.crate", good[keys[4]])
	y.Remove(keys[0])
	y.Replace(keys[1], func(b []byte) []byte { return b[:20] })
	for _, key := range keys[2:] {
		y.Replace(key, flip)
	}
	rep := &upkeep.Repairer{Store: y.Store, Sources: []upkeep.Source{{Name: "the copies", Store: copies, Prefix: "blobs/"}}}
	r := check(t, &upkeep.Checker{Catalog: c, Store: y.Store, Repair: rep.Repair})
	if len(r.Findings) != 5 || r.Repaired != 4 || r.Damaged() != 1 || !r.Repair {
		t.Fatalf("%+v", r)
	}
	for _, f := range r.Findings {
		if f.Crate == "lost" {
			if f.Repaired != "" || !bytes.Equal(y.Get(f.Key), flip(bytes.Clone(good[f.Key]))) {
				t.Errorf("what cannot be repaired was touched: %+v", f)
			}
			continue
		}
		if !bytes.Equal(y.Get(f.Key), good[f.Key]) {
			t.Errorf("%s: wrong bytes after the repair", f.Key)
		}
	}
	kept := y.Keys(upkeep.Quarantine)
	if len(kept) != 4 { // short, flipped, inside, and what lay there before
		t.Errorf("in quarantine: %q", kept)
	}
	if again := check(t, &upkeep.Checker{Catalog: c, Store: y.Store, Repair: rep.Repair}); again.Damaged() != 1 || again.Repaired != 0 {
		t.Errorf("after the repair: %+v", again)
	}
	if _, err := y.Store.Stat(t.Context(), keys[3]); errors.Is(err, fs.ErrNotExist) {
		t.Error("the last copy of a version was deleted")
	}
}

func sha256Of(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

// Versions whose names make their keys the beginnings of each other's are in one order in catalog and storage.
func TestCheckOfKeysThatBeginAlike(t *testing.T) { upkeeptest.Each(t, testCheckOfKeysThatBeginAlike) }

func testCheckOfKeysThatBeginAlike(t *testing.T, y *upkeeptest.Yard) {
	y.Publish("demo-2", "1.0.0")
	first := y.Publish("demo", "1.0.0")
	y.Publish("demo", "1.0.0-"+first.SHA256) // a digest as a pre-release
	y.Publish("demo", "1.0.1")
	y.Publish("demo", "1.0.0-0.b")
	var keys []string
	for r, err := range upkeep.Refs(t.Context(), y.Catalog, "") {
		if err != nil {
			t.Fatal(err)
		}
		keys = append(keys, upkeep.Key(r.CrateBlob))
	}
	if want := y.Keys("crates/"); !slices.Equal(keys, want) {
		t.Errorf("the catalog has\n%s\nthe storage\n%s", strings.Join(keys, "\n"), strings.Join(want, "\n"))
	}
	defer upkeep.SetSegment(upkeep.SetSegment(2)) // so that each key once ends a part
	for i, after := range keys {
		var rest []string
		for r, err := range upkeep.Refs(t.Context(), y.Catalog, after) {
			if err != nil {
				t.Fatal(err)
			}
			rest = append(rest, upkeep.Key(r.CrateBlob))
		}
		if !slices.Equal(rest, keys[i+1:]) {
			t.Errorf("after %s: %q", after, rest)
		}
	}
}

// A storage that takes no writes keeps a check from repairing, and not from saying what it found.
func TestRepairOfReadOnlyStorage(t *testing.T) {
	y := upkeeptest.Small(t)
	copies, _ := upkeeptest.Folder(t)
	for i := range 30 {
		key := upkeeptest.Key(y.Publish("demo", fmt.Sprintf("1.%d.0", i)))
		upkeeptest.Put(t, copies, key, y.Get(key))
		y.Replace(key, flip)
	}
	s := &readOnly{Store: y.Store}
	rep := &upkeep.Repairer{Store: s, Sources: []upkeep.Source{{Name: "the copies", Store: copies}}}
	r := check(t, &upkeep.Checker{Catalog: y.Catalog, Store: s, Repair: rep.Repair})
	if len(r.Findings) != 30 || r.Damaged() != 30 || s.asked != 20 {
		t.Fatalf("asked %d times: %+v", s.asked, r)
	}
	if text := r.Findings[0].String(); !strings.Contains(text, "not repaired: ") || !strings.Contains(text, "takes no writes") || !strings.Contains(text, "--repair") {
		t.Error(text)
	}
	if text := r.Findings[29].String(); !strings.Contains(text, "not repaired: not tried") {
		t.Error(text)
	}
}

// readOnly is a storage that takes no writes.
type readOnly struct {
	storage.Store
	asked int
}

func (s *readOnly) Create(context.Context) (storage.Writer, error) {
	s.asked++
	return nil, errors.New("it takes no writes")
}

func (s *readOnly) Delete(context.Context, string) error { return errors.New("it takes no writes") }

// Where an archive has its digest, a size that differs is the catalog's fault: no copy mends it, nobody is told to delete the version, and a repair
// corrects the catalog.
func TestCheckOfWrongSizeInCatalog(t *testing.T) { upkeeptest.Each(t, testCheckOfWrongSizeInCatalog) }

func testCheckOfWrongSizeInCatalog(t *testing.T, y *upkeeptest.Yard) {
	y.Publish("demo", "1.0.0")
	y.Exec("UPDATE versions SET size = size + 1")
	for _, quick := range []bool{false, true} {
		r := check(t, &upkeep.Checker{Catalog: y.Catalog, Store: y.Store, Quick: quick})
		if !slices.Equal(found(r), []string{"wrong-row demo 1.0.0"}) || r.Damaged() != 1 {
			t.Fatalf("quick %v: %+v", quick, r)
		}
		if f := r.Findings[0]; strings.Contains(f.Advice, "delete") || !strings.Contains(f.Advice, "--repair") {
			t.Errorf("%s", f)
		}
	}
	was := y.Keys("")
	rep := &upkeep.Repairer{Store: y.Store, Rows: y.Catalog}
	r := check(t, &upkeep.Checker{Catalog: y.Catalog, Store: y.Store, Repair: rep.Repair})
	if r.Damaged() != 0 || r.Repaired != 1 || !strings.Contains(r.Findings[0].Repaired, "the catalog says ") {
		t.Errorf("%+v", r)
	}
	if r := check(t, &upkeep.Checker{Catalog: y.Catalog, Feed: y.Catalog, Store: y.Store}); len(r.Findings) != 0 {
		t.Errorf("after the repair: %+v", r.Findings)
	}
	if now := y.Keys(""); !slices.Equal(was, now) {
		t.Errorf("the storage has %q, and had %q", now, was)
	}
	told := 0
	for rec, err := range y.Catalog.Audit(t.Context(), catalog.AuditFilter{Action: catalog.ActionRepairVersion}) {
		if told++; err != nil || rec.Actor != "crateyard" || rec.Crate != "demo" || rec.Version != "1.0.0" {
			t.Errorf("audit: %+v %v", rec, err)
		}
	}
	if told != 1 {
		t.Errorf("the audit tells of it %d times", told)
	}
	// An archive that is wrong in its bytes, too, is a matter for a copy, and not for the catalog.
	y.Exec("UPDATE versions SET size = size + 1")
	for _, key := range y.Keys("crates/") {
		y.Replace(key, flip)
	}
	if r := check(t, &upkeep.Checker{Catalog: y.Catalog, Store: y.Store, Repair: rep.Repair}); r.Repaired != 0 || !slices.Equal(found(r), []string{"wrong-size demo 1.0.0"}) {
		t.Errorf("%+v", r)
	}
}
