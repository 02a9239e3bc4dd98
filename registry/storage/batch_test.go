package storage

import (
	"errors"
	"testing"
)

// Blobs of a batch are there like others, and one sync does for all that were written before it, and for none that came later.
func TestCreateBatched(t *testing.T) {
	f, err := OpenFilesystem(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	var waiting []func() error
	put := func(version string) (string, func() error) {
		key, data := blobOf("a", version, 100_000)
		w, err := CreateBatched(t.Context(), f)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(data); err != nil {
			t.Fatal(err)
		}
		durable, err := w.Commit(t.Context(), key)
		if err != nil {
			t.Fatal(err)
		}
		return key, durable
	}
	for _, version := range []string{"1.0.0", "1.0.1", "1.0.2"} {
		key, durable := put(version)
		if _, err := f.Stat(t.Context(), key); err != nil {
			t.Error(err)
		}
		waiting = append(waiting, durable)
	}
	for _, durable := range waiting {
		if err := durable(); err != nil {
			t.Error(err)
		}
	}
	if n := f.batches.begun.Load(); canSyncAll && n != 1 {
		t.Errorf("%d syncs for three blobs", n)
	}
	_, durable := put("1.0.3")
	if err := durable(); err != nil || canSyncAll && f.batches.begun.Load() != 2 {
		t.Errorf("%v; %d syncs", err, f.batches.begun.Load())
	}
	if err := f.Close(); err != nil {
		t.Error(err)
	}
}

// A sync that fails makes nothing durable.
func TestBatchesAfterFailure(t *testing.T) {
	var b batches
	bad := errors.New("disk")
	if err := b.after(0, func() error { return bad }); !errors.Is(err, bad) {
		t.Error(err)
	}
	ran := false
	if err := b.after(0, func() error { ran = true; return nil }); err != nil || !ran {
		t.Error(err, ran)
	}
	if err := b.after(1, func() error { return bad }); err != nil {
		t.Error("what was written before the second sync is durable:", err)
	}
}
