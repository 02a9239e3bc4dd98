package mirror

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/crateyard/crateyard/registry/catalog"
)

const (
	writeEvery = 50 * time.Millisecond // the longest that a write waits for others to go with it
	touchEvery = 10 * time.Second      // the same of times alone
	writeMost  = 4 << 20               // bytes of index files that wait at most; then whoever brings more waits
	writeTries = 10                    // until what the catalog does not take is dropped
)

// writer gathers what mirrors have cached into few transactions. What it drops is fetched again.
type writer struct {
	catalog interface {
		WriteMirrors(ctx context.Context, w *catalog.MirrorWrites) error
	}
	log *slog.Logger

	mu      sync.Mutex
	pending *catalog.MirrorWrites
	writing *catalog.MirrorWrites // nil: nothing is
	stored  []storing
	bytes   int
	written chan struct{} // closed when pending is
	room    *sync.Cond
	wake    chan struct{}
	hurry   chan struct{} // somebody waits: nothing is gathered any longer
}

func newWriter(c *catalog.Catalog, log *slog.Logger) *writer {
	w := &writer{catalog: c, log: log, wake: make(chan struct{}, 1), hurry: make(chan struct{}, 1)}
	w.room = sync.NewCond(&w.mu)
	w.reset()
	return w
}

func (w *writer) reset() {
	w.pending = &catalog.MirrorWrites{Index: map[int64][]catalog.MirrorIndexFile{}, Checked: map[int64]map[string]time.Time{},
		Crates: map[int64][]catalog.MirrorCrate{}, Used: map[catalog.MirrorKey]time.Time{}}
	w.stored, w.bytes, w.written = nil, 0, make(chan struct{})
}

// add has f add to what is written next, and gives a channel that is closed when that is done, or was given up. size is of what f adds.
func (w *writer) add(size int, f func(p *catalog.MirrorWrites)) <-chan struct{} {
	defer func() {
		select {
		case w.wake <- struct{}{}:
		default:
		}
	}()
	return w.touch(size, f)
}

// touch is add for what may wait for long.
func (w *writer) touch(size int, f func(p *catalog.MirrorWrites)) <-chan struct{} {
	w.mu.Lock()
	defer w.mu.Unlock()
	for w.bytes > 0 && w.bytes+size > writeMost {
		w.hasten()
		w.room.Wait()
	}
	f(w.pending)
	w.bytes += size
	return w.written
}

func (w *writer) index(id int64, f catalog.MirrorIndexFile) {
	w.add(len(f.File)+200, func(p *catalog.MirrorWrites) { p.Index[id] = append(p.Index[id], f) })
}

// unwritten gives an index file that is on its way to the catalog, of the upstream that the mirror has since a generation: who looked there alone would take it
// for one that was never seen.
func (w *writer) unwritten(id, since int64, name string) *catalog.MirrorIndexFile {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, p := range []*catalog.MirrorWrites{w.pending, w.writing} {
		if p == nil {
			continue
		}
		for i := len(p.Index[id]) - 1; i >= 0; i-- {
			if f := p.Index[id][i]; f.Crate == name && f.Generation >= since {
				return &f
			}
		}
	}
	return nil
}

func (w *writer) checked(id int64, name string, at time.Time) {
	w.touch(0, func(p *catalog.MirrorWrites) {
		if p.Checked[id] == nil {
			p.Checked[id] = map[string]time.Time{}
		}
		p.Checked[id][name] = at
	})
}

// crate notes that an archive is stored, once it is durable. lost is called when it is not; nil: nobody takes it for stored before it is noted.
func (w *writer) crate(id int64, m catalog.MirrorCrate, durable func() error, lost func()) <-chan struct{} {
	return w.add(200, func(*catalog.MirrorWrites) { w.stored = append(w.stored, storing{id, m, durable, lost}) })
}

// storing is an archive that is on its way to the disk.
type storing struct {
	id      int64
	crate   catalog.MirrorCrate
	durable func() error
	lost    func()
}

// settle moves what is durable among the writes. What is not durable is not noted, and so fetched again.
func (w *writer) settle(stored []storing, p *catalog.MirrorWrites) {
	for _, s := range stored {
		if err := s.durable(); err != nil {
			w.log.Error("An archive of a mirror cannot be stored", "crate", s.crate.Name, "version", s.crate.Num, "error", err)
			if s.lost != nil {
				s.lost()
			}
			continue
		}
		p.Crates[s.id] = append(p.Crates[s.id], s.crate)
	}
}

func (w *writer) used(k catalog.MirrorKey, at time.Time) {
	w.touch(0, func(p *catalog.MirrorWrites) { p.Used[k] = at })
}

func (w *writer) looked(l catalog.MirrorLicense) {
	w.add(200, func(p *catalog.MirrorWrites) { p.Looked = append(p.Looked, l) })
}

func (w *writer) adopted(a catalog.MirrorAdoption) {
	w.add(200, func(p *catalog.MirrorWrites) { p.Adopted = append(p.Adopted, a) })
}

func (w *writer) denied(r catalog.Record) {
	w.add(200, func(p *catalog.MirrorWrites) { p.Denials = append(p.Denials, r) })
}

// run writes until ctx ends, and then what is left.
func (w *writer) run(ctx context.Context) {
	tick := time.NewTicker(touchEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			w.flush(context.WithoutCancel(ctx))
		case <-w.wake:
			select {
			case <-time.After(writeEvery):
			case <-w.hurry:
			case <-ctx.Done():
			}
			w.flush(context.WithoutCancel(ctx))
		case <-ctx.Done():
			w.flush(context.WithoutCancel(ctx))
			return
		}
	}
}

// flush writes what waits.
func (w *writer) flush(ctx context.Context) {
	w.mu.Lock()
	p, stored, done := w.pending, w.stored, w.written
	w.reset()
	w.writing = p
	w.room.Broadcast()
	w.mu.Unlock()
	defer func() {
		w.mu.Lock()
		w.writing = nil
		w.mu.Unlock()
		close(done)
	}()
	w.settle(stored, p)
	if p.Empty() {
		return
	}
	for try := 1; ; try++ {
		once, cancel := context.WithTimeout(ctx, time.Minute)
		err := w.catalog.WriteMirrors(once, p)
		cancel()
		if err == nil {
			return
		}
		if try == writeTries {
			w.log.Error("What mirrors fetched cannot be noted in the catalog; it is fetched again when it is needed", "error", err)
			return
		}
		select {
		case <-time.After(time.Duration(try) * 200 * time.Millisecond):
		case <-ctx.Done():
		}
	}
}

// hasten has what is gathered be written at once.
func (w *writer) hasten() {
	select {
	case w.hurry <- struct{}{}:
	default:
	}
}

// settled waits until all that was added before the call is written.
func (w *writer) settled(ctx context.Context) {
	written := w.add(0, func(*catalog.MirrorWrites) {})
	w.hasten()
	select {
	case <-written:
	case <-ctx.Done():
	}
}
