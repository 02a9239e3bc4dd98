package backup_test

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/crateyard/crateyard/registry/backup"
	"github.com/crateyard/crateyard/registry/storage"
	"github.com/crateyard/crateyard/registry/upkeep/upkeeptest"
)

// Whatever becomes of a file of a backup, restore and verify name the file and what to do, and nothing is restored.
func TestDamagedFiles(t *testing.T) { upkeeptest.Each(t, testDamagedFiles) }

func testDamagedFiles(t *testing.T, y *upkeeptest.Yard) {
	target, dir := upkeeptest.Folder(t)
	y.Publish("demo", "1.0.0")
	m := create(t, creator(y, target))
	into := y.Other(t)
	restore := func() error {
		_, err := (&backup.Restorer{Target: target, Catalog: into.Catalog, Store: into.Store, Leases: into.Catalog, Holder: "test"}).Restore(t.Context(), m.Name)
		return err
	}
	for _, file := range []string{"manifest.json", "catalog.jsonl.gz", "blobs.gz"} {
		path := filepath.Join(dir, "backups", m.Name, file)
		was, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range []struct {
			name string
			data []byte
			says string // of a part; of a manifest it is enough that it is told
		}{
			{"empty", nil, "it has 0 bytes, and the manifest says "},
			{"one byte", was[:1], "it has 1 bytes"},
			{"half", was[:len(was)/2], "and the manifest says "},
			{"all but a byte", was[:len(was)-1], "and the manifest says "},
			{"longer", append(bytes.Clone(was), was...), "and the manifest says "},
			{"another's", []byte("<html>login</html>"), "it has 18 bytes"},
			{"first bit", flipped(was, 0), "its SHA-256 is "},
			{"in the middle", flipped(was, len(was)/2), "its SHA-256 is "},
			{"last bit", flipped(was, len(was)-1), "its SHA-256 is "},
		} {
			write(t, path, d.data)
			_, verr := (&backup.Verifier{Target: target}).Verify(t.Context(), m.Name)
			for what, err := range map[string]error{"restore": restore(), "verify": verr} {
				var damaged *backup.DamagedError
				if !errors.As(err, &damaged) || damaged.Key != "backups/"+m.Name+"/"+file || !strings.Contains(err.Error(), "restore another backup") ||
					file != "manifest.json" && !strings.Contains(err.Error(), d.says) {
					t.Errorf("%s of %s, %s: %v", what, file, d.name, err)
				}
			}
		}
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
		if err := restore(); err == nil || file != "manifest.json" && !strings.Contains(err.Error(), file+" in the place of backups is damaged: it is missing") {
			t.Errorf("without %s: %v", file, err)
		}
		write(t, path, was)
	}
	if empty, err := into.Catalog.Empty(t.Context()); err != nil || !empty {
		t.Errorf("the catalog was filled: %v", err)
	}
	if err := restore(); err != nil {
		t.Errorf("mended again: %v", err)
	}
}

// One wrong bit of a manifest is found, wherever it is.
func TestSeal(t *testing.T) {
	y := upkeeptest.Small(t)
	target, dir := upkeeptest.Folder(t)
	y.Publish("demo", "1.0.0")
	m := create(t, creator(y, target))
	path := filepath.Join(dir, "backups", m.Name, "manifest.json")
	was, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for i := range was {
		write(t, path, flipped(was, i))
		if got, err := backup.ReadManifest(t.Context(), target, m.Name); err == nil {
			t.Errorf("a bit of byte %d is wrong, and it is read as %+v", i, got)
		}
	}
	write(t, path, was)
	if _, err := backup.ReadManifest(t.Context(), target, m.Name); err != nil {
		t.Error(err)
	}
}

// A manifest of a newer crateyard, which may seal it in another way, is not only called damaged.
func TestNewerSeal(t *testing.T) {
	y := upkeeptest.Small(t)
	target, dir := upkeeptest.Folder(t)
	y.Publish("demo", "1.0.0")
	m := create(t, creator(y, target))
	path := filepath.Join(dir, "backups", m.Name, "manifest.json")
	was, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	newer := bytes.Replace(was, []byte(`"format": 1`), []byte(`"format": 99`), 1)
	for name, data := range map[string][]byte{
		"a seal over another text": newer,
		"a seal of another kind":   bytes.Replace(newer, []byte(`"seal"`), []byte(`"signature"`), 1),
	} {
		write(t, path, data)
		_, err := backup.ReadManifest(t.Context(), target, m.Name)
		if err == nil || !strings.Contains(err.Error(), "format 99") || !strings.Contains(err.Error(), "run the newer crateyard") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Nothing is restored into what is somebody's: a mirror's archives, what a repair set aside, a place of backups.
func TestRestoreIntoOthers(t *testing.T) { upkeeptest.Each(t, testRestoreIntoOthers) }

func testRestoreIntoOthers(t *testing.T, y *upkeeptest.Yard) {
	target, _ := upkeeptest.Folder(t)
	live := upkeeptest.Key(y.Publish("demo", "1.0.0"))
	create(t, creator(y, target))
	for _, key := range []string{storage.MirrorKey("m", "serde", "1.0.0", strings.Repeat("0", 64)), "quarantine/20260101T000000Z-ABCDEF/" + live, "blobs/" + live, "backups/x/manifest.json"} {
		into := y.Other(t)
		into.Put(key, []byte("somebody's"))
		_, err := (&backup.Restorer{Target: target, Catalog: into.Catalog, Store: into.Store, Leases: into.Catalog, Holder: "test"}).Restore(t.Context(), "")
		if !errors.Is(err, backup.ErrNotEmpty) || !strings.Contains(err.Error(), key) {
			t.Errorf("over %s: %v", key, err)
		}
		if keys := into.Keys("crates/"); len(keys) != 0 {
			t.Errorf("over %s: copied %v", key, keys)
		}
	}
}

// flipped gives the bytes with one bit turned.
func flipped(data []byte, at int) []byte {
	data = bytes.Clone(data)
	data[at] ^= 1 << rand.IntN(8)
	return data
}

func write(t *testing.T, path string, data []byte) {
	t.Helper()
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
}
