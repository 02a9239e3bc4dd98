package mirror

import (
	"context"
	"io"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/crateyard/crateyard/registry/catalog"
	"github.com/crateyard/crateyard/registry/storage"
)

const (
	fetchLease = 20 * time.Second       // a server that dies keeps others from an archive for so long
	fetchPoll  = 100 * time.Millisecond // how often others look whether it is there
)

// once has one server of several fetch an archive; the others wait until it is stored, and take it from there.
func (m *Mirror) once(ctx context.Context, d *download, l line) error {
	if !m.Shared {
		return m.complete(ctx, d, l)
	}
	key := catalog.MirrorKey{MirrorID: m.Row.ID, Name: l.Name, Num: l.Vers}
	for {
		lease, err := m.leases.take(ctx, key)
		if err != nil {
			return err
		}
		if lease.Has {
			defer m.leases.giveBack(key)
		}
		if taken, err := m.take(ctx, d, l, lease.Stored); taken || err != nil {
			return err
		}
		if lease.Has {
			return m.complete(ctx, d, l)
		}
		select {
		case <-time.After(fetchPoll):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// take has a fetch be of the archive that another server stored, if one has.
func (m *Mirror) take(ctx context.Context, d *download, l line, row *catalog.MirrorCrate) (taken bool, err error) {
	if row == nil || !m.ours(row) {
		return false, nil
	}
	m.crates.Set(m.fetchKey(l.Name, l.Vers), row)
	if m.policy.NeedsFacts() {
		m.drop(indexKey(l.Name))
		if err := m.admitVersion(ctx, l.Name, l.Vers, row); err != nil {
			return false, err
		}
	}
	return true, d.fromStore(ctx)
}

// fromStore takes the archive that another server has just stored.
func (d *download) fromStore(ctx context.Context) error {
	blob, err := d.m.Store.Open(ctx, storage.MirrorKey(d.m.Name(), d.name, d.num, d.SHA256))
	if err != nil {
		return err
	}
	n, err := io.Copy(d.spool, blob)
	if cerr := blob.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return err
	}
	d.update(func() { d.written, d.size, d.whole = n, n, true })
	return nil
}

// leases has the leases of this server on the archives that it fetches. What it wants of the database goes there in one round trip after the other, and what is
// wanted while one is on its way goes with the next: one that is wanted alone waits for nothing, and many cost little more than one.
type leases struct {
	catalog interface {
		LeaseMirrorCrates(ctx context.Context, l catalog.MirrorLeases) ([]catalog.MirrorLease, error)
	}
	holder string
	log    *slog.Logger
	wake   chan struct{}

	mu     sync.Mutex
	wanted map[catalog.MirrorKey][]leaseWanted
	held   map[catalog.MirrorKey]int       // by how many fetches: those of a mirror that was changed go on beside those of what it has become
	back   map[catalog.MirrorKey]time.Time // to be given back, and since when
}

// leaseWanted is a fetch that waits for a lease, until ctx ends.
type leaseWanted struct {
	ctx    context.Context
	answer chan leaseAnswer // has no room: what is sent was received
}

type leaseAnswer struct {
	catalog.MirrorLease
	err error
}

func newLeases(c *catalog.Catalog, holder string, log *slog.Logger) *leases {
	return &leases{catalog: c, holder: holder, log: log, wake: make(chan struct{}, 1), wanted: map[catalog.MirrorKey][]leaseWanted{},
		held: map[catalog.MirrorKey]int{}, back: map[catalog.MirrorKey]time.Time{}}
}

// take asks for the lease on an archive, and tells whether the archive is stored. Who has got the lease gives it back.
func (l *leases) take(ctx context.Context, key catalog.MirrorKey) (catalog.MirrorLease, error) {
	w := leaseWanted{ctx, make(chan leaseAnswer)}
	l.mu.Lock()
	l.wanted[key] = append(l.wanted[key], w)
	l.mu.Unlock()
	l.hurry()
	select {
	case a := <-w.answer:
		return a.MirrorLease, a.err
	case <-ctx.Done():
		return catalog.MirrorLease{}, ctx.Err()
	}
}

// giveBack gives a lease back, a moment later.
func (l *leases) giveBack(key catalog.MirrorKey) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.held[key]--; l.held[key] == 0 {
		delete(l.held, key)
		l.back[key] = time.Now()
		l.hurry()
	}
}

func (l *leases) hurry() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// run takes, renews and gives back until ctx ends, and then gives back what is left. To lose a lease costs no more than a second fetch, so
// whoever has one is not told.
func (l *leases) run(ctx context.Context) {
	tick := time.NewTicker(fetchLease / 4)
	defer tick.Stop()
	for {
		select {
		case <-l.wake:
			l.turn(ctx, false)
		case <-tick.C:
			l.turn(ctx, true)
		case <-ctx.Done():
			l.end(context.WithoutCancel(ctx))
			return
		}
	}
}

// turn makes one round trip, if there is something to do.
func (l *leases) turn(ctx context.Context, renew bool) {
	t := catalog.MirrorLeases{Holder: l.holder, TTL: fetchLease}
	l.mu.Lock()
	wanted, back := l.wanted, l.back
	l.wanted, l.back = map[catalog.MirrorKey][]leaseWanted{}, map[catalog.MirrorKey]time.Time{}
	t.Take = slices.Collect(maps.Keys(wanted))
	for key, since := range back {
		if wanted[key] == nil && l.held[key] == 0 && time.Since(since) < fetchLease {
			t.Back = append(t.Back, key)
		}
	}
	if renew {
		for key := range l.held {
			if wanted[key] == nil {
				t.Renew = append(t.Renew, key)
			}
		}
	}
	l.mu.Unlock()
	if len(t.Take)+len(t.Back)+len(t.Renew) == 0 {
		return
	}
	taken, err := l.catalog.LeaseMirrorCrates(ctx, t)
	if err != nil {
		l.failed(t, back)
	}
	for i, key := range t.Take {
		a := leaseAnswer{err: err}
		if err == nil {
			a.MirrorLease = taken[i]
		}
		for _, w := range wanted[key] {
			l.tell(key, w, a)
		}
	}
}

// failed has the leases of a turn whose outcome is not known be given back with the next one, which comes with the next renewal at the latest.
func (l *leases) failed(t catalog.MirrorLeases, back map[catalog.MirrorKey]time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, key := range t.Back {
		l.back[key] = back[key]
	}
	for _, key := range t.Take {
		l.back[key] = time.Now()
	}
}

// tell answers a fetch. One that waits no longer has no lease.
func (l *leases) tell(key catalog.MirrorKey, w leaseWanted, a leaseAnswer) {
	if a.Has {
		l.mu.Lock()
		l.held[key]++ // before it may be given back
		l.mu.Unlock()
	}
	select {
	case w.answer <- a:
	case <-w.ctx.Done():
		if a.Has {
			l.giveBack(key)
		}
	}
}

// end gives back all that there is. No fetch is at work any longer.
func (l *leases) end(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	t := catalog.MirrorLeases{Holder: l.holder, TTL: fetchLease}
	l.mu.Lock()
	t.Back = slices.AppendSeq(slices.Collect(maps.Keys(l.held)), maps.Keys(l.back)) // none is in both
	l.mu.Unlock()
	if len(t.Back) == 0 {
		return
	}
	if _, err := l.catalog.LeaseMirrorCrates(ctx, t); err != nil {
		l.log.Warn("Leases on archives of mirrors cannot be given back; they end by themselves", "leases", len(t.Back), "error", err)
	}
}
