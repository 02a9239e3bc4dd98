package catalog

import (
	"testing"
	"time"
)

// A pin is taken away only by who knows all that is pinned.
func TestPinMirrorCrates(t *testing.T) {
	onBoth(t, func(t *testing.T, c *Catalog) {
		m, err := c.PutMirror(t.Context(), Actor{}, "m", "{}", nil)
		if err != nil {
			t.Fatal(err)
		}
		now := time.Now()
		w := &MirrorWrites{Crates: map[int64][]MirrorCrate{m.ID: {
			{Name: "a", Num: "1.0.0", SHA256: "00", StoredAt: now, UsedAt: now}, {Name: "b", Num: "1.0.0", SHA256: "01", StoredAt: now, UsedAt: now}}}}
		if err := c.WriteMirrors(t.Context(), w); err != nil {
			t.Fatal(err)
		}
		a, b := MirrorKey{m.ID, "a", "1.0.0"}, MirrorKey{m.ID, "b", "1.0.0"}
		for _, step := range []struct {
			pins  map[MirrorKey]int
			all   bool
			wantA int
			wantB int
		}{
			{map[MirrorKey]int{a: PinnedByLockfile, b: PinnedByList}, true, PinnedByLockfile, PinnedByList},
			{map[MirrorKey]int{b: PinnedByLockfile}, false, PinnedByLockfile, PinnedByLockfile},
			{nil, false, PinnedByLockfile, PinnedByLockfile},
			{map[MirrorKey]int{b: PinnedByList}, true, NotPinned, PinnedByList},
		} {
			if err := c.PinMirrorCrates(t.Context(), m.ID, step.pins, step.all); err != nil {
				t.Fatal(err)
			}
			for name, want := range map[string]int{"a": step.wantA, "b": step.wantB} {
				if row, err := c.MirrorCrate(t.Context(), m.ID, name, "1.0.0"); err != nil || row == nil || row.Pinned != want {
					t.Errorf("%+v: %s is %+v, %v; want %d", step, name, row, err, want)
				}
			}
		}
	})
}
