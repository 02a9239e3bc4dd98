package mirror

import (
	"context"
	"fmt"
	"io"
	"time"

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
	name := fmt.Sprintf("mirror/%d/%s@%s", m.Row.ID, l.Name, l.Vers)
	for { // whether it is stored meanwhile is looked under the lease
		got, err := m.Catalog.LeaseWithin(ctx, name, m.Holder, fetchLease, fetchLease)
		if err != nil {
			return err
		}
		if got {
			return m.holding(ctx, name, func(ctx context.Context) error {
				if taken, err := m.take(ctx, d, l); taken || err != nil { // stored between the look and the lease
					return err
				}
				return m.complete(ctx, d, l)
			})
		}
		select {
		case <-time.After(fetchPoll):
		case <-ctx.Done():
			return ctx.Err()
		}
		if taken, err := m.take(ctx, d, l); taken || err != nil {
			return err
		}
	}
}

// take has a fetch be of the archive that another server stored, if one has.
func (m *Mirror) take(ctx context.Context, d *download, l line) (taken bool, err error) {
	row, err := m.Catalog.MirrorCrate(ctx, m.Row.ID, l.Name, l.Vers)
	if err != nil || row == nil || !m.ours(row) {
		return false, err
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

// holding runs f while it renews a lease that it has. To lose it costs no more than a second fetch, so f goes on.
func (m *Mirror) holding(ctx context.Context, name string, f func(context.Context) error) error {
	done := make(chan struct{})
	go func() {
		tick := time.NewTicker(fetchLease / 4)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				_, _ = m.Catalog.Lease(ctx, name, m.Holder, fetchLease) // see above
			case <-done:
				return
			}
		}
	}()
	err := f(ctx)
	close(done)
	release, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	if rerr := m.Catalog.Release(release, name, m.Holder); rerr != nil {
		m.Log.Warn("A lease cannot be given back; it ends by itself", "lease", name, "error", rerr)
	}
	return err
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
