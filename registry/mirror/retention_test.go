package mirror

import (
	"testing"
	"time"

	"github.com/crateyard/crateyard/registry/catalog"
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
