package backup_test

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/crateyard/crateyard/registry/backup"
	"github.com/crateyard/crateyard/registry/catalog"
	"github.com/crateyard/crateyard/registry/fault"
	"github.com/crateyard/crateyard/registry/storage"
	"github.com/crateyard/crateyard/registry/upkeep/upkeeptest"
)

var pubtime = regexp.MustCompile(`"pubtime":"[^"]*"`)

// From archives alone, on other backends: the same lines but for their times, in an order that makes sense, and all the rest goes on when one
// archive is bad. A second run finds all of it there.
func TestRebuild(t *testing.T) { upkeeptest.Each(t, testRebuild) }

func testRebuild(t *testing.T, y *upkeeptest.Yard) {
	want := map[string]string{}
	for i := range 60 { // more than a batch
		y.Publish("many", fmt.Sprintf("1.%d.0", i))
	}
	for _, num := range []string{"2.0.0", "1.0.0-rc.1", "10.0.0", "1.0.0+build"} {
		y.Publish("De_mo", num)
	}
	for _, name := range []string{"many", "de_mo"} {
		lines := slices.Collect(strings.Lines(pubtime.ReplaceAllString(y.Index(name), "")))
		slices.Sort(lines)
		want[name] = strings.Join(lines, "")
	}
	zeros := strings.Repeat("0", 64)
	bad := []string{storage.CrateKey("broken", "1.0.0", zeros), storage.CrateKey("de-mo", "1.0.0", zeros), "crates/x", storage.CrateKey("9x", "1.0.0", zeros)}
	for _, key := range bad {
		y.Put(key, []byte("no archive"))
	}
	into := y.Other(t)
	var refused []string
	r := &backup.Rebuilder{From: y.Store, Catalog: into.Catalog, Store: into.Store, Publisher: into.Publisher(),
		Refused: func(f backup.Refused) { refused = append(refused, f.Key) }}
	done, err := r.Rebuild(t.Context())
	slices.Sort(refused)
	slices.Sort(bad)
	if err != nil || done.Versions != 64 || done.Kept != 0 || done.Refused != int64(len(bad)) || !slices.Equal(refused, bad) {
		t.Fatalf("%+v %v; refused %q", done, err, refused)
	}
	for name, text := range want {
		lines := slices.Collect(strings.Lines(pubtime.ReplaceAllString(into.Index(name), "")))
		slices.Sort(lines)
		if strings.Join(lines, "") != text {
			t.Errorf("%s:\n%s\nwant\n%s", name, strings.Join(lines, ""), text)
		}
	}
	c, err := into.Catalog.Crate(t.Context(), "De_mo")
	if err != nil || c.MaxVersion != "10.0.0" {
		t.Errorf("%+v %v", c, err)
	}
	if owners, err := into.Catalog.Owners(t.Context(), c.ID); err != nil || len(owners) != 0 {
		t.Errorf("owners %v %v", owners, err)
	}
	checkWhole(t, into)
	if _, err := r.Rebuild(t.Context()); !errors.Is(err, backup.ErrNotEmpty) {
		t.Errorf("over a registry: %v", err)
	}
	r.Continue = true
	if done, err = r.Rebuild(t.Context()); err != nil || done.Versions != 0 || done.Kept != 64 {
		t.Errorf("again: %+v %v", done, err)
	}
	counts, err := into.Catalog.Counts(t.Context())
	if err != nil || counts != (catalog.Counts{Crates: 2, Versions: 64}) {
		t.Errorf("%+v %v", counts, err)
	}
}

// What the catalog knows as deleted stays deleted; it is named, and counted apart, also where a crate that was made anew has other bytes for its number.
func TestRebuildLeavesDeletedAlone(t *testing.T) { upkeeptest.Each(t, testRebuildLeavesDeletedAlone) }

func testRebuildLeavesDeletedAlone(t *testing.T, y *upkeeptest.Yard) {
	y.Publish("demo", "1.0.0")
	deleteCrate := func(name string) {
		t.Helper()
		if err := y.Catalog.DeleteCrate(t.Context(), catalog.Actor{}, name, "leaked"); err != nil {
			t.Fatal(err)
		}
		y.Exec("DELETE FROM blocked_names") // as a day later
	}
	want := []string{upkeeptest.Key(y.Publish("malware", "1.0.0")), upkeeptest.Key(y.Publish("malware", "1.0.1")), upkeeptest.Key(y.Publish("anew", "1.0.0")),
		upkeeptest.Key(y.Publish("part", "1.0.0"))}
	y.Publish("part", "1.1.0")
	publish := func(archive []byte, name string) {
		t.Helper()
		if _, err := y.TryPublish(archive, name, "1.0.0"); err != nil {
			t.Fatal(err)
		}
	}
	same := upkeeptest.Archive(t, "same", "1.0.0", "", nil)
	publish(same, "same")
	deleteCrate("malware")
	deleteCrate("anew")
	deleteCrate("same")
	publish(same, "same") // the version is there again
	publish(upkeeptest.Archive(t, "anew", "1.0.0", "", map[string]string{"src/other.rs": "//"}), "anew")
	if err := y.Catalog.DeleteVersion(t.Context(), catalog.Actor{}, "part", "1.0.0"); err != nil {
		t.Fatal(err)
	}
	served := func() (text string) {
		for _, name := range []string{"demo", "malware", "anew", "part", "same"} {
			f, err := y.Catalog.IndexFile(t.Context(), name)
			if err == nil {
				text += string(f.Text)
			} else if fault.KindOf(err) != fault.NotFound {
				t.Fatal(err)
			}
		}
		return text
	}
	was := served()
	var deleted []string
	r := &backup.Rebuilder{From: y.Store, Catalog: y.Catalog, Store: y.Store, Publisher: y.Publisher(), Continue: true,
		Refused: func(f backup.Refused) { t.Errorf("refused: %+v", f) },
		Deleted: func(f backup.Refused) { deleted = append(deleted, f.Key) }}
	done, err := r.Rebuild(t.Context())
	slices.Sort(want)
	slices.Sort(deleted)
	if err != nil || done != (backup.Rebuilt{Crates: 4, Kept: 4, Deleted: 4}) || !slices.Equal(deleted, want) {
		t.Errorf("%+v %v; %q", done, err, deleted)
	}
	if is := served(); is != was {
		t.Errorf("was\n%s\nis\n%s", was, is)
	}
	for _, key := range deleted { // nor does the catalog take one, whoever asks
		name, num, _, _ := storage.ParseCrateKey(key)
		b, err := y.Store.Open(t.Context(), key)
		if err != nil {
			t.Fatal(err)
		}
		p, err := y.Publisher().Rebuild(b, name, num, time.Now())
		if err := errors.Join(err, b.Close()); err != nil {
			t.Fatal(err)
		}
		if n, err := y.Catalog.Import(t.Context(), []catalog.Import{{Publication: p, At: time.Now()}}); n != 0 || fault.KindOf(err) != fault.Conflict {
			t.Errorf("%s: %d added, %v", key, n, err)
		}
	}
}
