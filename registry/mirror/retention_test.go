package mirror

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/crateyard/crateyard/registry/catalog"
	"github.com/crateyard/crateyard/registry/storage"
	"github.com/crateyard/crateyard/registry/wire"
)

// What a mirror is no longer to keep goes soon after it is told so, and after what a lockfile pinned is let go.
func TestRetentionOfAChangedMirror(t *testing.T) {
	o := openOddly(t)
	lock := "version = 4\n[[package]]\nname = \"acme\"\nversion = \"1.0.0\"\nsource = \"registry+https://github.com/rust-lang/crates.io-index\"\n"
	if _, err := o.PutLockfile(t.Context(), catalog.Actor{}, "m", "app", []byte(lock)); err != nil {
		t.Fatal(err)
	}
	if s := o.synced(o.mirror()); s.Done != 1 {
		t.Fatalf("%+v", s)
	}
	spec := o.mirror().Spec
	spec.Retention = wire.MirrorRetention{MaxSize: 1}
	if _, _, err := o.Put(t.Context(), catalog.Actor{}, "m", wire.MirrorChange{Spec: spec}); err != nil {
		t.Fatal(err)
	}
	o.synced(o.mirror())
	cached := func() int {
		rows, err := o.Catalog.MirrorCratesOf(t.Context(), o.mirror().Row.ID, "acme")
		if err != nil {
			t.Fatal(err)
		}
		return len(rows)
	}
	if cached() != 1 {
		t.Fatal("what a lockfile pins is gone")
	}
	if err := o.DeleteLockfile(t.Context(), catalog.Actor{}, "m", "app"); err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(5 * time.Minute); cached() > 0; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("it is still there")
		}
	}
}

// What a lockfile names stays from when the mirror has the lockfile on, though no sync has run since; and while it comes, nothing that was chosen before goes.
func TestRetentionBeforeASync(t *testing.T) {
	o := openOddly(t)
	if _, err := o.archive(); err != nil {
		t.Fatal(err)
	}
	o.stored()
	spec := o.mirror().Spec
	spec.Retention, spec.Suspend = wire.MirrorRetention{UnusedFor: 1}, true // so that nothing syncs
	if _, _, err := o.Put(t.Context(), catalog.Actor{}, "m", wire.MirrorChange{Spec: spec}); err != nil {
		t.Fatal(err)
	}
	before := o.mirror()
	rows, err := o.Catalog.MirrorCratesOf(t.Context(), before.Row.ID, "acme")
	if err != nil || len(rows) != 1 {
		t.Fatal(rows, err)
	}
	lock := "version = 4\n[[package]]\nname = \"acme\"\nversion = \"1.0.0\"\nsource = \"registry+https://github.com/rust-lang/crates.io-index\"\n"
	if _, err := o.PutLockfile(t.Context(), catalog.Actor{}, "m", "app", []byte(lock)); err != nil {
		t.Fatal(err)
	}
	if gone, err := before.evict(t.Context(), before.Row.Generation, rows[0]); gone || err != nil {
		t.Error("what was chosen before the lockfile came:", gone, err)
	}
	for what, m := range map[string]*Mirror{"as it was": before, "as it is": o.mirror()} {
		if n, err := m.retain(t.Context()); n != 0 || err != nil {
			t.Errorf("the mirror %s: %d went, %v", what, n, err)
		}
	}
	if err := o.DeleteLockfile(t.Context(), catalog.Actor{}, "m", "app"); err != nil {
		t.Fatal(err)
	}
	if n, err := o.mirror().retain(t.Context()); n != 1 || err != nil {
		t.Errorf("without the lockfile: %d went, %v", n, err)
	}
}

// Where the catalog may be older than the storage, nothing is removed that it does not know: neither when that is known at the beginning, nor when it
// turns out meanwhile.
func TestSweepAsks(t *testing.T) {
	dir := t.TempDir()
	c, err := catalog.Open(t.Context(), filepath.Join(dir, "catalog.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	folder := filepath.Join(dir, "store")
	store, err := storage.OpenFilesystem(folder)
	if err != nil {
		t.Fatal(err)
	}
	const all = askEvery + 10
	then := time.Now().Add(-2 * orphanAge)
	for i := range all {
		num := fmt.Sprintf("1.0.%d", i)
		sum := sha256.Sum256([]byte(num))
		path := filepath.Join(folder, filepath.FromSlash(storage.MirrorKey("air-gapped", "acme", num, hex.EncodeToString(sum[:]))))
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o750), os.WriteFile(path, []byte(num), 0o600), os.Chtimes(path, then, then)); err != nil {
			t.Fatal(err)
		}
	}
	left := func() (n int) {
		t.Helper()
		for _, err := range store.List(t.Context(), storage.MirrorsPrefix, "") {
			if err != nil {
				t.Fatal(err)
			}
			n++
		}
		return n
	}
	setBack := errors.New("the catalog was set back")
	after := 0 // how often it may, before it may not
	m := &Manager{Catalog: c, Store: store, Log: slog.New(slog.DiscardHandler), Holder: "test"}
	m.mirrors.Store(&map[string]*Mirror{})
	m.MaySweep = func(context.Context) error {
		if after--; after < 0 {
			return setBack
		}
		return nil
	}
	for _, step := range []struct{ after, left int }{{0, all}, {1, all}, {2, all - askEvery}, {3, 0}} {
		after = step.after
		err := m.sweep(t.Context())
		if step.left > 0 && !errors.Is(err, setBack) || step.left == 0 && err != nil || left() != step.left {
			t.Fatalf("allowed %d times: %v; %d of %d are left", step.after, err, left(), all)
		}
	}
}
