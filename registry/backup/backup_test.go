package backup_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/crateyard/crateyard/registry/backup"
	"github.com/crateyard/crateyard/registry/catalog"
	"github.com/crateyard/crateyard/registry/fault"
	"github.com/crateyard/crateyard/registry/storage"
	"github.com/crateyard/crateyard/registry/upkeep"
	"github.com/crateyard/crateyard/registry/upkeep/upkeeptest"
)

func TestMain(m *testing.M) { os.Exit(upkeeptest.Main(m)) }

var yard = backup.Registry{ID: "1", Name: "yard", URL: upkeeptest.URL}

func creator(y *upkeeptest.Yard, target storage.Store) *backup.Creator {
	return &backup.Creator{Catalog: y.Catalog, Store: y.Store, Target: target, Leases: y.Catalog, Holder: "test", Registry: yard, Version: "test"}
}

func create(t *testing.T, c *backup.Creator) *backup.Manifest {
	t.Helper()
	m, err := c.Create(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// A backup that is made while versions are published and deleted comes back whole: each index file is one that was served at the time of the
// backup, each archive of it is there, and a check finds nothing.
func TestBackupWhilePublishing(t *testing.T) { upkeeptest.Each(t, testBackupWhilePublishing) }

func testBackupWhilePublishing(t *testing.T, y *upkeeptest.Yard) {
	target, _ := upkeeptest.Folder(t)
	for i := range 40 {
		y.Publish(fmt.Sprintf("crate-%d", i%9), fmt.Sprintf("1.0.%d", i))
	}
	stop, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for i := 100; ; i++ {
			select {
			case <-stop:
				return
			default:
			}
			r := y.Publish(fmt.Sprintf("crate-%d", i%13), fmt.Sprintf("1.0.%d", i))
			if i%3 == 0 {
				if err := y.Catalog.DeleteVersion(context.Background(), catalog.Actor{}, r.Name, r.Version); err != nil {
					t.Error(err)
				}
			}
		}
	}()
	m := create(t, creator(y, target))
	close(stop)
	<-done
	if m.MissingBlobs != 0 || m.Blobs < 40 || m.CopiedBlobs != m.Blobs {
		t.Errorf("manifest: %+v", m)
	}
	into := y.Other(t)
	out, err := (&backup.Restorer{Target: target, Catalog: into.Catalog, Store: into.Store, Leases: into.Catalog, Holder: "test"}).Restore(t.Context(), "latest")
	if err != nil {
		t.Fatal(err)
	}
	if out.Copied != m.Blobs || out.Kept != 0 {
		t.Errorf("restored: %+v", out)
	}
	compareLines(t, y, into.Catalog)
	checkWhole(t, into)
}

// compareLines holds the lines of a restored catalog against those of the yard, which has gone on: a line that both have is the same.
func compareLines(t *testing.T, y *upkeeptest.Yard, restored *catalog.Catalog) {
	t.Helper()
	same := 0
	for i := range 13 {
		name := fmt.Sprintf("crate-%d", i)
		f, err := restored.IndexFile(t.Context(), name)
		if fault.KindOf(err) == fault.NotFound {
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		now := ""
		if live, err := y.Catalog.IndexFile(t.Context(), name); err == nil { // all its versions may have been deleted since
			now = string(live.Text)
		} else if fault.KindOf(err) != fault.NotFound {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(f.Text)) {
			version, _, _ := strings.Cut(line, `"deps"`)
			if strings.Contains(now, line) {
				same++
			} else if strings.Contains(now, version) {
				t.Errorf("restored as %s", line)
			}
		}
	}
	if same < 40 {
		t.Errorf("only %d lines came back", same)
	}
}

func checkWhole(t *testing.T, y *upkeeptest.Yard) {
	t.Helper()
	r := &upkeep.Report{}
	if err := (&upkeep.Checker{Catalog: y.Catalog, Feed: y.Catalog, Store: y.Store}).Run(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	if r.Damaged() > 0 || r.Versions == 0 {
		t.Errorf("after the restore: %+v", r)
	}
}

// A restore elsewhere serves the same files, byte for byte.
func TestRestoreElsewhere(t *testing.T) { upkeeptest.Each(t, testRestoreElsewhere) }

func testRestoreElsewhere(t *testing.T, y *upkeeptest.Yard) {
	target, _ := upkeeptest.Folder(t)
	for i := range 20 {
		y.Publish(fmt.Sprintf("crate-%d", i%4), fmt.Sprintf("1.0.%d", i))
	}
	yes := true
	if _, err := y.Catalog.SetYanked(t.Context(), catalog.Actor{}, "crate-1", "1.0.5", &yes, nil, func(catalog.Standing) error { return nil }); err != nil {
		t.Fatal(err)
	}
	m := create(t, creator(y, target))
	into := y.Other(t)
	if _, err := (&backup.Restorer{Target: target, Catalog: into.Catalog, Store: into.Store, Leases: into.Catalog, Holder: "test"}).Restore(t.Context(), m.Name); err != nil {
		t.Fatal(err)
	}
	restored := into.Catalog
	for i := range 4 {
		name := fmt.Sprintf("crate-%d", i)
		f, err := restored.IndexFile(t.Context(), name)
		if err != nil || string(f.Text) != y.Index(name) {
			t.Errorf("%s: %v\n%s\nwant\n%s", name, err, f.Text, y.Index(name))
		}
	}
	checkWhole(t, into)
	if _, err := (&backup.Restorer{Target: target, Catalog: into.Catalog, Store: into.Store, Leases: into.Catalog, Holder: "test"}).Restore(t.Context(), ""); !errors.Is(err, backup.ErrNotEmpty) {
		t.Errorf("over a registry: %v", err)
	}
}

// A second backup copies what is new and nothing else; a target of another registry is refused.
func TestIncremental(t *testing.T) { upkeeptest.Each(t, testIncremental) }

func testIncremental(t *testing.T, y *upkeeptest.Yard) {
	target, _ := upkeeptest.Folder(t)
	for i := range 10 {
		y.Publish("demo", fmt.Sprintf("1.0.%d", i))
	}
	if m := create(t, creator(y, target)); m.CopiedBlobs != 10 || m.Blobs != 10 || m.CopiedBytes != m.Bytes {
		t.Errorf("first: %+v", m)
	}
	y.Publish("demo", "2.0.0")
	second := create(t, creator(y, target))
	if second.CopiedBlobs != 1 || second.Blobs != 11 {
		t.Errorf("second: %+v", second)
	}
	if m := create(t, creator(y, target)); m.CopiedBlobs != 0 || m.Blobs != 11 {
		t.Errorf("third: %+v", m)
	}
	list, _, err := backup.List(t.Context(), target)
	if err != nil || len(list) != 3 {
		t.Errorf("%d backups, %v", len(list), err)
	}
	other := creator(y, target)
	other.Registry.ID = "2"
	if _, err := other.Create(t.Context()); err == nil || !strings.Contains(err.Error(), "backups of another registry") {
		t.Errorf("into the backups of another: %v", err)
	}
}

// Nothing is restored over the archives of another registry, nor from a backup that is not what its manifest says.
func TestRestoreRefuses(t *testing.T) { upkeeptest.Each(t, testRestoreRefuses) }

func testRestoreRefuses(t *testing.T, y *upkeeptest.Yard) {
	target, dir := upkeeptest.Folder(t)
	key := upkeeptest.Key(y.Publish("demo", "1.0.0"))
	m := create(t, creator(y, target))
	restore := func(into *upkeeptest.Yard) error {
		_, err := (&backup.Restorer{Target: target, Catalog: into.Catalog, Store: into.Store, Leases: into.Catalog, Holder: "test"}).Restore(t.Context(), "")
		return err
	}
	full := y.Other(t)
	full.Put(storage.CrateKey("other", "1.0.0", strings.Repeat("0", 64)), []byte("other"))
	if err := restore(full); !errors.Is(err, backup.ErrNotEmpty) {
		t.Errorf("over other archives: %v", err)
	}
	for name, damage := range map[string]string{"archive": "blobs/" + key, "list": "backups/" + m.Name + "/blobs.gz", "catalog": "backups/" + m.Name + "/catalog.jsonl.gz",
		"manifest": "backups/" + m.Name + "/manifest.json"} {
		path := filepath.Join(dir, damage)
		was, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		wrong := bytes.Clone(was)
		wrong[len(wrong)/2] ^= 4
		if err := os.WriteFile(path, wrong, 0o600); err != nil {
			t.Fatal(err)
		}
		empty := y.Other(t)
		if err := restore(empty); err == nil {
			t.Errorf("a damaged %s was restored", name)
		}
		if is, err := empty.Catalog.Empty(t.Context()); err != nil || !is {
			t.Errorf("a damaged %s filled the catalog: %v", name, err)
		}
		v, err := (&backup.Verifier{Target: target}).Verify(t.Context(), m.Name)
		if err == nil && v.BadBlobs == 0 && name != "manifest" {
			t.Errorf("a damaged %s was not found", name)
		}
		if err := os.WriteFile(path, was, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := restore(y.Other(t)); err != nil {
		t.Errorf("mended again: %v", err)
	}
}

// A blob that the storage cannot give does not stop a backup, unless the target has it already.
func TestBackupOfDamaged(t *testing.T) { upkeeptest.Each(t, testBackupOfDamaged) }

func testBackupOfDamaged(t *testing.T, y *upkeeptest.Yard) {
	target, _ := upkeeptest.Folder(t)
	y.Publish("demo", "1.0.0")
	create(t, creator(y, target))
	lost := upkeeptest.Key(y.Publish("demo", "1.1.0"))
	for info, err := range y.Store.List(t.Context(), "crates/", "") {
		if err := errors.Join(err, y.Store.Delete(t.Context(), info.Key)); err != nil {
			t.Fatal(err)
		}
	}
	m := create(t, creator(y, target))
	if !slices.Equal(m.Missing, []string{lost}) || m.MissingBlobs != 1 || m.Complete() == nil {
		t.Fatalf("%+v", m)
	}
	into := y.Other(t)
	out, err := (&backup.Restorer{Target: target, Catalog: into.Catalog, Store: into.Store, Leases: into.Catalog, Holder: "test"}).Restore(t.Context(), "")
	if err != nil || !slices.Equal(out.Missing, []string{lost}) || out.Copied != 1 {
		t.Errorf("%+v %v", out, err)
	}
}

// What was damaged in the place of backups is told, does not keep the rest from being restored where that is asked for, and is copied anew.
func TestBackupThatWasDamaged(t *testing.T) { upkeeptest.Each(t, testBackupThatWasDamaged) }

func testBackupThatWasDamaged(t *testing.T, y *upkeeptest.Yard) {
	target, dir := upkeeptest.Folder(t)
	bad, gone := upkeeptest.Key(y.Publish("demo", "1.0.0")), upkeeptest.Key(y.Publish("demo", "1.1.0"))
	y.Publish("demo", "1.2.0")
	create(t, creator(y, target))
	file := filepath.Join(dir, "blobs", bad)
	info, err := os.Stat(file)
	if err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	data[len(data)/2] ^= 1
	if err := errors.Join(os.Chmod(file, 0o600), os.WriteFile(file, data, 0o600), os.Chtimes(file, info.ModTime(), info.ModTime()), os.Remove(filepath.Join(dir, "blobs", gone))); err != nil {
		t.Fatal(err)
	}
	into := y.Other(t)
	r := &backup.Restorer{Target: target, Catalog: into.Catalog, Store: into.Store, Leases: into.Catalog, Holder: "test"}
	if _, err := r.Restore(t.Context(), ""); err == nil || !strings.Contains(err.Error(), "--skip-damaged") {
		t.Fatal(err)
	}
	r.SkipDamaged = true
	out, err := r.Restore(t.Context(), "")
	if err != nil || !slices.Equal(out.Damaged, []string{bad, gone}) || out.Copied+out.Kept != 1 {
		t.Fatalf("%+v %v", out, err)
	}
	c := creator(y, target)
	c.Recheck = true
	m := create(t, c)
	if v, err := (&backup.Verifier{Target: target}).Verify(t.Context(), m.Name); err != nil || v.BadBlobs != 0 || m.CopiedBlobs != 2 {
		t.Errorf("after another backup: %+v %v; copied %d", v, err, m.CopiedBlobs)
	}
}

// Prune keeps what the newest backups need, and removes what none of them names.
func TestPrune(t *testing.T) { upkeeptest.Each(t, testPrune) }

func testPrune(t *testing.T, y *upkeeptest.Yard) {
	target, _ := upkeeptest.Folder(t)
	gone := y.Publish("demo", "1.0.0")
	y.Publish("demo", "1.1.0")
	first := create(t, creator(y, target))
	if err := y.Catalog.DeleteVersion(t.Context(), catalog.Actor{}, gone.Name, gone.Version); err != nil {
		t.Fatal(err)
	}
	y.Exec("UPDATE versions SET deleted_at = deleted_at - 3600 WHERE deleted_at IS NOT NULL")
	second := create(t, creator(y, target))
	p := &backup.Pruner{Target: target, Leases: y.Catalog, Holder: "test", Registry: yard, Keep: 2, Spare: time.Nanosecond}
	done, err := p.Prune(t.Context())
	if err != nil || len(done.Backups) != 0 || done.Blobs != 0 {
		t.Fatalf("%+v %v", done, err)
	}
	p.Keep = 1
	if done, err = p.Prune(t.Context()); err != nil || !slices.Equal(done.Backups, []string{first.Name}) || done.Blobs != 1 {
		t.Fatalf("%+v %v", done, err)
	}
	v, err := (&backup.Verifier{Target: target}).Verify(t.Context(), second.Name)
	if err != nil || v.BadBlobs != 0 || v.Blobs != 1 {
		t.Errorf("%+v %v", v, err)
	}
	var left []string
	for info, err := range target.List(t.Context(), "", "") {
		if err != nil {
			t.Fatal(err)
		}
		left = append(left, info.Key)
	}
	if len(left) != 4 {
		t.Errorf("left: %q", left)
	}
	if _, err := (&backup.Restorer{Target: target, Leases: y.Catalog, Holder: "test"}).Restore(t.Context(), first.Name); err == nil || !strings.Contains(err.Error(), "there is no backup "+first.Name) {
		t.Errorf("%v", err)
	}
}

// Who backs up, prunes or sweeps keeps the others away.
func TestOneAtATime(t *testing.T) { upkeeptest.Each(t, testOneAtATime) }

func testOneAtATime(t *testing.T, y *upkeeptest.Yard) {
	target, _ := upkeeptest.Folder(t)
	y.Publish("demo", "1.0.0")
	err := upkeep.Hold(t.Context(), y.Catalog, upkeep.BlobsLease, "somebody", func(ctx context.Context) error {
		_, cerr := creator(y, target).Create(ctx)
		_, perr := (&backup.Pruner{Target: target, Leases: y.Catalog, Holder: "test", Registry: yard, Keep: 1}).Prune(ctx)
		if !errors.Is(cerr, upkeep.ErrHeld) || !errors.Is(perr, upkeep.ErrHeld) {
			t.Errorf("backup: %v; prune: %v", cerr, perr)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	create(t, creator(y, target))
}
