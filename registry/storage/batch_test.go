package storage

import (
	"bytes"
	"errors"
	"io"
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
	if err := b.after(0, func() error { ran = true; return nil }); !errors.Is(err, bad) || ran {
		t.Error("what was written before a sync that failed may be lost, whatever the next one says:", err, ran)
	}
	if err := b.after(1, func() error { ran = true; return nil }); err != nil || !ran {
		t.Error(err, ran)
	}
	if err := b.after(1, func() error { return bad }); err != nil {
		t.Error("what was written before the second sync is durable:", err)
	}
}

// brokenBlob gives a part of its bytes, and then fails; done is called before it does.
type brokenBlob struct {
	part []byte
	done func()
}

func (b brokenBlob) WriteTo(w io.Writer) (int64, error) {
	n, err := w.Write(b.part)
	b.done()
	return int64(n), errors.Join(err, errBroken)
}

var errBroken = errors.New("it broke off")

// A blob that is put whole is there at once, in a folder of one server and in a shared one; a part of it, which a crash has left under its key, gives way.
func TestPutBatched(t *testing.T) {
	for name, open := range map[string]func(string) (*Filesystem, error){"alone": OpenFilesystem, "shared": OpenSharedFilesystem} {
		t.Run(name, func(t *testing.T) {
			f, err := open(t.TempDir())
			if err != nil {
				t.Fatal(err)
			}
			for _, before := range []string{"nothing", "a part of it"} {
				key, data := blobOf("a", "1.0.0", 50_000)
				if before != "nothing" {
					if err := f.root.WriteFile(key, data[:100], 0o640); err != nil {
						t.Fatal(err)
					}
				}
				durable, err := PutBatched(t.Context(), f, key, bytes.NewReader(data))
				if err != nil {
					t.Fatal(before, err)
				}
				if err := durable(); err != nil {
					t.Error(before, err)
				}
				if got, err := f.root.ReadFile(key); err != nil || !bytes.Equal(got, data) {
					t.Errorf("after %s: %d of %d bytes: %v", before, len(got), len(data), err)
				}
			}
			if left, err := f.names(f.incoming); err != nil || len(left) > 0 {
				t.Errorf("left in %s: %q %v", f.incoming, left, err)
			}
			if err := f.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}

// A blob that cannot be written whole is not there, and takes nobody else's place away.
func TestPutBatchedBreaksOff(t *testing.T) {
	f, err := OpenFilesystem(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	key, data := blobOf("a", "1.0.0", 50_000)
	if _, err := PutBatched(t.Context(), f, key, brokenBlob{data[:100], func() {}}); !errors.Is(err, errBroken) {
		t.Error(err)
	}
	if info, err := f.Stat(t.Context(), key); err == nil && info.Size > 0 {
		t.Errorf("%d bytes of it are there", info.Size)
	}
	if err := f.Delete(t.Context(), key); err != nil {
		t.Error(err)
	}
	_, err = PutBatched(t.Context(), f, key, brokenBlob{data[:100], func() {
		if _, err := PutBatched(t.Context(), f, key, bytes.NewReader(data)); err != nil {
			t.Error(err)
		}
	}})
	if !errors.Is(err, errBroken) {
		t.Error(err)
	}
	if got, err := f.root.ReadFile(key); err != nil || !bytes.Equal(got, data) {
		t.Errorf("what another stored meanwhile has %d of %d bytes: %v", len(got), len(data), err)
	}
	if err := f.Close(); err != nil {
		t.Error(err)
	}
}
