package mirror

import (
	"errors"
	"testing"

	"github.com/crateyard/crateyard/registry/storage"
)

// An archive of which the storage has a part, or nothing, is fetched again, though the catalog names it.
func TestArchiveOfWhichAPartIsStored(t *testing.T) {
	o := openOddly(t)
	want, err := o.archive()
	if err != nil {
		t.Fatal(err)
	}
	o.stored()
	row, err := o.mirror().stored(t.Context(), "acme", "1.0.0")
	if err != nil {
		t.Fatal(err)
	}
	key := storage.MirrorKey("m", "acme", "1.0.0", row.SHA256)
	for _, part := range []string{want[:5], ""} {
		if err := o.Store.Delete(t.Context(), key); err != nil {
			t.Fatal(err)
		}
		if part != "" {
			w, err := o.Store.Create(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			_, werr := w.Write([]byte(part))
			durable, err := w.Commit(t.Context(), key)
			if err := errors.Join(werr, err); err != nil {
				t.Fatal(err)
			}
			if err := durable(); err != nil {
				t.Fatal(err)
			}
		}
		if got, err := o.archive(); err != nil || got != want {
			t.Errorf("with %q stored: %q %v", part, got, err)
		}
		o.stored()
		if info, err := o.Store.Stat(t.Context(), key); err != nil || info.Size != int64(len(want)) {
			t.Errorf("with %q stored, there is %+v after it: %v", part, info, err)
		}
	}
}

// An archive that turns out to be lost on its way to the disk is not taken for stored.
func TestArchiveThatIsLostOnItsWay(t *testing.T) {
	o := openOddly(t)
	disk := &crowded{Store: o.Store}
	o.Store = disk
	disk.fullLater.Store(true)
	want, err := o.archive()
	if err != nil {
		t.Fatal(err)
	}
	if err := o.mirror().handedOut(t.Context()); err != nil {
		t.Fatal(err)
	}
	o.mirror().writer.settled(t.Context())
	if row, err := o.mirror().stored(t.Context(), "acme", "1.0.0"); row != nil || err != nil {
		t.Fatalf("it is taken for stored: %+v %v", row, err)
	}
	disk.fullLater.Store(false)
	if got, err := o.archive(); err != nil || got != want {
		t.Errorf("%q %v", got, err)
	}
	o.stored()
}
