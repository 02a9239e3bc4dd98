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
		a, b, gone := MirrorKey{m.ID, "a", "1.0.0"}, MirrorKey{m.ID, "b", "1.0.0"}, MirrorKey{m.ID, "gone", "1.0.0"}
		for _, step := range []struct {
			pins  map[MirrorKey]int
			all   bool
			wantA int
			wantB int
		}{
			{map[MirrorKey]int{a: PinnedByLockfile, b: PinnedByList}, true, PinnedByLockfile, PinnedByList},
			{map[MirrorKey]int{b: PinnedByLockfile}, false, PinnedByLockfile, PinnedByLockfile},
			{nil, false, PinnedByLockfile, PinnedByLockfile},
			{map[MirrorKey]int{b: PinnedByList, gone: PinnedByList}, true, PinnedByLockfile, PinnedByList},
			{map[MirrorKey]int{b: PinnedByList}, true, NotPinned, PinnedByList},
		} {
			missing, err := c.PinMirrorCrates(t.Context(), m.ID, step.pins, step.all)
			if err != nil {
				t.Fatal(err)
			}
			if _, named := step.pins[gone]; named != (len(missing) == 1 && missing[0] == gone) || len(missing) > 1 {
				t.Errorf("%+v: %v are missing", step, missing)
			}
			for name, want := range map[string]int{"a": step.wantA, "b": step.wantB} {
				if row, err := c.MirrorCrate(t.Context(), m.ID, name, "1.0.0"); err != nil || row == nil || row.Pinned != want {
					t.Errorf("%+v: %s is %+v, %v; want %d", step, name, row, err, want)
				}
			}
		}
	})
}

// With another upstream the index files of the one before are gone, and what is still written of it then is told from what is of this one.
func TestPutMirrorMoves(t *testing.T) {
	onBoth(t, func(t *testing.T, c *Catalog) {
		put := func(spec string, moves bool) Mirror {
			t.Helper()
			m, err := c.PutMirror(t.Context(), Actor{}, "m", spec, func(Mirror) (string, bool) { return "", moves })
			if err != nil {
				t.Fatal(err)
			}
			return m
		}
		now := time.Now()
		write := func(m Mirror, sum string) {
			t.Helper()
			w := &MirrorWrites{Index: map[int64][]MirrorIndexFile{m.ID: {{Crate: "a", ETag: sum, CheckedAt: now, Generation: m.Generation}}},
				Crates: map[int64][]MirrorCrate{m.ID: {{Name: "a", Num: "1.0.0", SHA256: sum, StoredAt: now, UsedAt: now, Generation: m.Generation}}}}
			if err := c.WriteMirrors(t.Context(), w); err != nil {
				t.Fatal(err)
			}
		}
		want := func(when, etag, sum string, generation int64) {
			t.Helper()
			f, err := c.MirrorIndexFile(t.Context(), 1, "a")
			if err != nil || (f == nil) != (etag == "") || f != nil && f.ETag != etag {
				t.Errorf("%s: index file %+v, %v; want %q", when, f, err, etag)
			}
			if row, err := c.MirrorCrate(t.Context(), 1, "a", "1.0.0"); err != nil || row == nil || row.SHA256 != sum || row.Generation != generation {
				t.Errorf("%s: archive %+v, %v; want %s of %d", when, row, err, sum, generation)
			}
		}
		first := put("{}", false)
		write(first, "00")
		put(`{"mode":"Pinned"}`, false)
		want("another mode", "00", "00", 1)
		third := put(`{"upstream":{}}`, true)
		want("another upstream", "", "00", 1)
		write(first, "00") // was under way
		want("a late write", "", "00", 1)
		if third.UpstreamSince != 3 {
			t.Errorf("%+v", third)
		}
		a := MirrorAdoption{MirrorKey: MirrorKey{first.ID, "a", "1.0.0"}, SHA256: "11", Generation: 3}
		for _, sum := range []string{"11", "00"} {
			a.SHA256 = sum
			if err := c.WriteMirrors(t.Context(), &MirrorWrites{Adopted: []MirrorAdoption{a}}); err != nil {
				t.Fatal(err)
			}
		}
		want("adopted", "", "00", 3)
		if rows, err := c.MirrorCratesBefore(t.Context(), first.ID, 4, "", "", 10); err != nil || len(rows) != 1 {
			t.Errorf("%+v, %v", rows, err)
		}
		write(third, "11")
		write(first, "00")
		want("of the new one", "11", "11", 3)
	})
}

// An archive that was chosen to go stays where the mirror has become another one since: it may have got a lockfile that names it.
func TestDeleteMirrorCrateOfAGeneration(t *testing.T) {
	onBoth(t, func(t *testing.T, c *Catalog) {
		m, err := c.PutMirror(t.Context(), Actor{}, "m", "{}", nil)
		if err != nil {
			t.Fatal(err)
		}
		now := time.Now()
		if err := c.WriteMirrors(t.Context(), &MirrorWrites{Crates: map[int64][]MirrorCrate{m.ID: {{Name: "a", Num: "1.0.0", SHA256: "00", StoredAt: now, UsedAt: now}}}}); err != nil {
			t.Fatal(err)
		}
		row, err := c.MirrorCrate(t.Context(), m.ID, "a", "1.0.0")
		if err != nil || row == nil {
			t.Fatal(row, err)
		}
		if err := c.PutMirrorLockfile(t.Context(), Actor{}, "m", MirrorLockfile{Name: "app", SHA256: "11", Pins: "[]", Skipped: "{}"}); err != nil {
			t.Fatal(err)
		}
		if gone, err := c.DeleteMirrorCrate(t.Context(), m.ID, m.Generation, *row); gone || err != nil {
			t.Error(gone, err)
		}
		if gone, err := c.DeleteMirrorCrate(t.Context(), m.ID, m.Generation+1, *row); !gone || err != nil {
			t.Error(gone, err)
		}
	})
}
