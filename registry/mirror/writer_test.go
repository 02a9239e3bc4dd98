package mirror

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/crateyard/crateyard/registry/catalog"
)

// failing is a catalog that takes nothing the first times.
type failing struct {
	left int
	got  []*catalog.MirrorWrites
}

func (f *failing) WriteMirrors(_ context.Context, w *catalog.MirrorWrites) error {
	if f.left--; f.left >= 0 {
		return errors.New("away")
	}
	f.got = append(f.got, w)
	return nil
}

// A catalog that is away for some seconds costs nothing of what was gathered: each try waits longer than the one before.
func TestWriterOutlastsAnOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &failing{left: writeTries - 1}
		w := newWriter(nil, slog.New(slog.DiscardHandler))
		w.catalog = c
		w.index(1, catalog.MirrorIndexFile{Crate: "acme"})
		begin := time.Now()
		w.flush(t.Context())
		if len(c.got) != 1 || len(c.got[0].Index[1]) != 1 {
			t.Errorf("written: %+v", c.got)
		}
		if took := time.Since(begin); took != 9*time.Second { // 200 ms, 400 ms … 1.8 s, by a clock that only waits move
			t.Errorf("the tries took %s", took)
		}
	})
}
