package backup_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/crateyard/crateyard/registry/backup"
	"github.com/crateyard/crateyard/registry/catalog"
	"github.com/crateyard/crateyard/registry/storage"
	"github.com/crateyard/crateyard/registry/upkeep/upkeeptest"
)

// What a backup left that was cut off is not believed before it is read, and is no backup.
func TestBackupAfterCut(t *testing.T) { upkeeptest.Each(t, testBackupAfterCut) }

func testBackupAfterCut(t *testing.T, y *upkeeptest.Yard) {
	target, dir := upkeeptest.Folder(t)
	var keys []string
	for i := range 5 {
		keys = append(keys, upkeeptest.Key(y.Publish("demo", fmt.Sprintf("1.0.%d", i))))
	}
	cut := creator(y, failing(target, 4))
	cut.Workers = 1
	if _, err := cut.Create(t.Context()); !errors.Is(err, errCut) {
		t.Fatal(err)
	}
	if list, _, err := backup.List(t.Context(), target); err != nil || len(list) != 0 {
		t.Errorf("there is half a backup: %v %v", list, err)
	}
	first := filepath.Join(dir, "blobs", keys[0])
	data, err := os.ReadFile(first)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(first, bytes.Repeat([]byte{0}, len(data)), 0o600); err != nil { // as a power cut may leave it
		t.Fatal(err)
	}
	m := create(t, creator(y, target))
	v, err := (&backup.Verifier{Target: target}).Verify(t.Context(), m.Name)
	if err != nil || v.BadBlobs != 0 || v.Blobs != 5 {
		t.Errorf("%+v %v", v, err)
	}
}

var errCut = errors.New("cut off")

// failing gives a store that takes so many blobs and no more.
func failing(s storage.Store, most int64) storage.Store {
	f := &failingStore{Store: s}
	f.left.Store(most)
	return f
}

type failingStore struct {
	storage.Store
	left atomic.Int64
}

func (f *failingStore) Unwrap() storage.Store { return f.Store }

func (f *failingStore) Create(ctx context.Context) (storage.Writer, error) {
	if f.left.Add(-1) < 0 {
		return nil, errCut
	}
	return f.Store.Create(ctx)
}

// A restore that was cut off leaves an empty catalog and is run again; what it had copied is read, and copied again when it is wrong.
func TestRestoreAfterCut(t *testing.T) { upkeeptest.Each(t, testRestoreAfterCut) }

func testRestoreAfterCut(t *testing.T, y *upkeeptest.Yard) {
	target, _ := upkeeptest.Folder(t)
	var keys []string
	for i := range 10 {
		keys = append(keys, upkeeptest.Key(y.Publish("demo", fmt.Sprintf("1.0.%d", i))))
	}
	create(t, creator(y, target))
	into := y.Other(t)
	if _, err := (&backup.Restorer{Target: target, Catalog: into.Catalog, Leases: into.Catalog, Holder: "test", Store: failing(into.Store, 6), Workers: 1}).Restore(t.Context(), ""); !errors.Is(err, errCut) {
		t.Fatal(err)
	}
	if empty, _ := into.Catalog.Empty(t.Context()); !empty {
		t.Fatal("a restore that was cut off filled the catalog")
	}
	if err := os.WriteFile(filepath.Join(into.Folder, keys[0]), []byte("half"), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := (&backup.Restorer{Target: target, Catalog: into.Catalog, Store: into.Store, Leases: into.Catalog, Holder: "test"}).Restore(t.Context(), "")
	if err != nil || out.Kept < 4 || out.Copied+out.Kept != 10 {
		t.Fatalf("%+v %v", out, err)
	}
	checkWhole(t, into)
}

// A restore that was cut off when its catalog was there is run again, of the same backup only, and until the registry is served.
func TestRestoreAfterCatalog(t *testing.T) { upkeeptest.Each(t, testRestoreAfterCatalog) }

func testRestoreAfterCatalog(t *testing.T, y *upkeeptest.Yard) {
	target, _ := upkeeptest.Folder(t)
	y.Publish("demo", "1.0.0")
	first := create(t, creator(y, target)).Name
	y.Publish("demo", "1.1.0")
	create(t, creator(y, target))
	into := y.Other(t)
	restore := func(name string, finish error) (*backup.Restored, error) {
		return (&backup.Restorer{Target: target, Catalog: into.Catalog, Store: into.Store, Leases: into.Catalog, Holder: "test",
			Finish: func(context.Context) error { return finish }}).Restore(t.Context(), name)
	}
	if _, err := restore(first, errCut); !errors.Is(err, errCut) {
		t.Fatal(err)
	}
	if _, err := restore("", nil); !errors.Is(err, backup.ErrNotEmpty) || !strings.Contains(err.Error(), "a restore of backup "+first+" filled the catalog") {
		t.Errorf("another backup: %v", err)
	}
	if out, err := restore(first, nil); err != nil || out.Kept != 1 || out.Copied != 0 {
		t.Errorf("the same again: %+v %v", out, err)
	}
	checkWhole(t, into)
	for _, name := range []string{first, ""} { // as after one that was killed when all was done
		if _, err := restore(name, nil); !errors.Is(err, backup.ErrNotEmpty) || !strings.Contains(err.Error(), "backup "+first+" was restored into it, to its end") {
			t.Errorf("once more: %v", err)
		}
	}
	into = y.Other(t)
	if _, err := restore(first, errCut); !errors.Is(err, errCut) {
		t.Fatal(err)
	}
	if err := backup.EndRestore(t.Context(), into.Catalog); err != nil {
		t.Fatal(err)
	}
	if _, err := restore(first, nil); !errors.Is(err, backup.ErrNotEmpty) || strings.Contains(err.Error(), "restored into it") {
		t.Errorf("over a registry that was served: %v", err)
	}
}

// loadFails is a catalog whose Load fails, with or without having done its work.
type loadFails struct {
	*catalog.Catalog
	done bool
}

func (l loadFails) Load(ctx context.Context, r io.Reader) error {
	if l.done {
		if err := l.Catalog.Load(ctx, r); err != nil {
			return err
		}
	}
	return errCut
}

// A catalog that something else filled, after a restore failed or was killed right before it, is not taken for the backup's. One that the restore filled,
// whose answer was lost, is.
func TestRestoreAfterFailedLoad(t *testing.T) { upkeeptest.Each(t, testRestoreAfterFailedLoad) }

func testRestoreAfterFailedLoad(t *testing.T, y *upkeeptest.Yard) {
	target, _ := upkeeptest.Folder(t)
	y.Publish("demo", "1.0.0")
	name := create(t, creator(y, target)).Name
	restore := func(into *upkeeptest.Yard, c backup.Loader) error {
		_, err := (&backup.Restorer{Target: target, Catalog: c, Store: into.Store, Leases: into.Catalog, Holder: "test"}).Restore(t.Context(), name)
		return err
	}
	into := y.Other(t)
	if err := restore(into, loadFails{into.Catalog, false}); !errors.Is(err, errCut) {
		t.Fatal(err)
	}
	into.Publish("demo", "1.0.0")
	if err := restore(into, into.Catalog); !errors.Is(err, backup.ErrNotEmpty) {
		t.Errorf("after a publish: %v", err)
	}

	into = y.Other(t)
	if err := into.Catalog.SetNote(t.Context(), "restoring", name); err != nil { // as a killed one leaves it
		t.Fatal(err)
	}
	r := &backup.Rebuilder{From: target, FromPrefix: backup.SourcePrefix, Catalog: into.Catalog, Store: into.Store, Publisher: into.Publisher()}
	if done, err := r.Rebuild(t.Context()); err != nil || done.Versions != 1 {
		t.Fatalf("%+v %v", done, err)
	}
	if err := restore(into, into.Catalog); !errors.Is(err, backup.ErrNotEmpty) {
		t.Errorf("after a rebuild: %v", err)
	}

	into = y.Other(t)
	if err := restore(into, loadFails{into.Catalog, true}); !errors.Is(err, errCut) {
		t.Fatal(err)
	}
	if err := restore(into, into.Catalog); err != nil {
		t.Errorf("after a load that went well: %v", err)
	}
	checkWhole(t, into)
}
