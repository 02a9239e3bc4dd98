package publish

import (
	"bytes"
	"context"
	"errors"
	"io"
	"testing"

	"github.com/crateyard/crateyard/registry/storage"
)

// tardy is a store that makes a blob when it is told to.
type tardy struct {
	storage.Store
	now chan error
}

func (s tardy) Create(ctx context.Context) (storage.Writer, error) {
	if err := <-s.now; err != nil {
		return nil, err
	}
	return s.Store.Create(ctx)
}

// A small archive that came before its blob was there is stored whole, and so is what comes later.
func TestBegunKeepsWhatCameBefore(t *testing.T) {
	for _, sizes := range [][]int{{}, {10}, {mostEarly, 1}, {mostEarly - 1, 5, mostEarly}} {
		fs, err := storage.OpenFilesystem(t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		store := tardy{fs, make(chan error, 1)}
		b := beginStore(t.Context(), store)
		var want []byte
		for i, size := range sizes {
			if len(want)+size > mostEarly && i > 0 && len(want) <= mostEarly {
				store.now <- nil // or the next write would wait for ever
			}
			part := bytes.Repeat([]byte{byte('a' + i)}, size)
			want = append(want, part...)
			if n, err := b.Write(part); err != nil || n != size {
				t.Fatal(n, err)
			}
			clear(part) // who writes may use it again
		}
		if len(want) <= mostEarly {
			store.now <- nil
		}
		durable, err := b.Commit(t.Context(), "crates/a/1.crate")
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(durable(), b.Cancel()); err != nil {
			t.Fatal(err)
		}
		blob, err := fs.Open(t.Context(), "crates/a/1.crate")
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(blob)
		if err := errors.Join(err, blob.Close(), fs.Close()); err != nil || !bytes.Equal(got, want) {
			t.Fatalf("sizes %d: %d bytes of %d are stored, or others: %v", sizes, len(got), len(want), err)
		}
	}
}

// A store that fails says so where it is needed, and there is nothing to take away.
func TestBegunTellsWhyNot(t *testing.T) {
	full := errors.New("full")
	store := tardy{now: make(chan error, 1)}
	b := beginStore(t.Context(), store)
	if _, err := b.Write([]byte("early")); err != nil {
		t.Fatal(err)
	}
	store.now <- full
	if _, err := b.Write(make([]byte, mostEarly)); !errors.Is(err, full) {
		t.Fatalf("a write that waits for the store: %v", err)
	}
	if _, err := b.Commit(t.Context(), "key"); !errors.Is(err, full) {
		t.Fatalf("a commit: %v", err)
	}
	if err := b.Cancel(); err != nil {
		t.Fatal(err)
	}
}
