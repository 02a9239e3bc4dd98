package backup_test

import (
	"encoding/json"
	"slices"
	"testing"
	"time"

	"github.com/crateyard/crateyard/registry/backup"
	"github.com/crateyard/crateyard/registry/catalog"
	"github.com/crateyard/crateyard/registry/upkeep/upkeeptest"
	"github.com/crateyard/crateyard/registry/wire"
)

// A restore names the mirrors that came back without what they had, and no others.
func TestEmptiedMirrors(t *testing.T) { upkeeptest.Each(t, testEmptiedMirrors) }

func testEmptiedMirrors(t *testing.T, y *upkeeptest.Yard) {
	target, dir := upkeeptest.Folder(t)
	y.Publish("demo", "1.0.0")
	mirror := func(name, token string, spec wire.MirrorSpec, archives int) {
		text, err := json.Marshal(spec)
		if err != nil {
			t.Fatal(err)
		}
		m, err := y.Catalog.PutMirror(t.Context(), catalog.Actor{}, name, string(text), func(catalog.Mirror) (string, bool) { return token, false })
		if err != nil {
			t.Fatal(err)
		}
		var crates []catalog.MirrorCrate
		for i := range archives {
			crates = append(crates, catalog.MirrorCrate{Name: "serde", Num: string(rune('1'+i)) + ".0.0", SHA256: "aa", Size: 100, StoredAt: time.Now(), UsedAt: time.Now(), Generation: m.Generation})
		}
		if err := y.Catalog.WriteMirrors(t.Context(), &catalog.MirrorWrites{Crates: map[int64][]catalog.MirrorCrate{m.ID: crates}}); err != nil {
			t.Fatal(err)
		}
	}
	mirror("bundled", "", wire.MirrorSpec{Mode: "Pinned"}, 3)
	mirror("listed", "", wire.MirrorSpec{Crates: []wire.MirrorCrate{{Name: "serde"}}}, 1)
	mirror("partner", "cy_secret", wire.MirrorSpec{}, 0)
	mirror("unused", "", wire.MirrorSpec{}, 0)
	m := create(t, creator(y, target))
	restore := func() []backup.EmptiedMirror {
		into := y.Other(t)
		out, err := (&backup.Restorer{Target: target, Catalog: into.Catalog, Store: into.Store, Leases: into.Catalog, Holder: "test"}).Restore(t.Context(), "")
		if err != nil {
			t.Fatal(err)
		}
		return out.Mirrors
	}
	want := []backup.EmptiedMirror{
		{Mirror: backup.Mirror{Name: "bundled", Archives: 3, Bytes: 300}, Pinned: true},
		{Mirror: backup.Mirror{Name: "listed", Archives: 1, Bytes: 100}, Listed: true},
		{Mirror: backup.Mirror{Name: "partner", UpstreamToken: true}},
	}
	if got := restore(); !slices.Equal(got, want) {
		t.Errorf("%+v", got)
	}
	rewriteManifest(t, dir, m.Name, func(m map[string]any) { delete(m, "mirrors") }) // as an older crateyard wrote it
	got := restore()
	if len(got) != 4 || !got[0].Unknown || got[3].Name != "unused" || !got[3].Unknown {
		t.Errorf("of an older backup: %+v", got)
	}
}
