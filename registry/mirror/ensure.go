package mirror

import (
	"context"
	"errors"
	"time"

	"github.com/crateyard/crateyard/registry/catalog"
	"github.com/crateyard/crateyard/registry/fault"
)

// fresh gives an index file that upstream was asked for at some time or later; with the zero time, one that is no older than MaxAge. Where upstream is of no help,
// it gives an older one.
func (m *Mirror) fresh(ctx context.Context, name string, asOf time.Time) (*entry, error) {
	e, err := m.before(ctx, name)
	if err != nil {
		return nil, err
	}
	switch {
	case e == nil:
	case asOf.IsZero() && e.age() < m.maxAge() && (e.file != nil || e.age() < missingFor), !asOf.IsZero() && e.since(asOf):
		return e, nil
	case e.file != nil && (since(&e.failed) < retryStale || m.up.troubled(retryStale)): // nobody waits for it
		return e, nil
	}
	newer, err := m.renew(ctx, name, e, asOf)
	if err != nil && e != nil && e.file != nil && ctx.Err() == nil {
		return e, nil
	}
	return newer, err
}

// before gives what is known of an index file, however old; nil: nothing is.
func (m *Mirror) before(ctx context.Context, name string) (*entry, error) {
	if e := m.cached(name); e != nil {
		return e, nil
	}
	return m.load(ctx, name)
}

// renew asks upstream for an index file of which e was known, so that the answer is of some time or later; the zero time takes one of any.
func (m *Mirror) renew(ctx context.Context, name string, e *entry, asOf time.Time) (*entry, error) {
	newer, err := m.refresh(ctx, name, e)
	if err == nil && !asOf.IsZero() && !newer.since(asOf) { // another server asked, before
		newer, err = m.refresh(ctx, name, newer)
	}
	return newer, err
}

// here does some work where it is asked for: to begin a goroutine for each archive costs a sync too much.
func here(work func()) { work() }

// ensure has a version in the cache, and reports whether it was fetched for that. had is false for what is not stored, as far as the caller knows. The fetch is
// begun by way of begin. A version that is not in the index file is looked for once more.
func (m *Mirror) ensure(ctx context.Context, name, num string, pinned int, had bool, begin func(fetch func())) (row *catalog.MirrorCrate, fetched bool, err error) {
	if !checkName(name) {
		return nil, false, noName(name)
	}
	if err := m.admitCrate(name); err != nil {
		return nil, false, err
	}
	e, err := m.fresh(ctx, indexKey(name), time.Time{})
	if err != nil {
		return nil, false, err
	}
	l, ok := e.lines[num]
	if !ok { // it may have been published a moment ago
		if e, err = m.fresh(ctx, indexKey(name), time.Now()); err != nil {
			return nil, false, err
		}
		l, ok = e.lines[num]
	}
	if !ok || l.Name != name {
		return nil, false, m.noVersion(e, name, num)
	}
	if d, denied := e.denied[num]; denied && d.Rule != policyPinned {
		return nil, false, m.refusal(d, name)
	}
	if had {
		if row, err = m.storedAndAdmitted(ctx, l); err != nil || row != nil {
			return row, false, err
		}
	}
	f, run, err := m.beginFetch(l, pinned)
	if run != nil {
		begin(run)
	}
	if errors.Is(err, errStored) {
		row, err = m.storedAndAdmitted(ctx, l)
		if err == nil && row == nil {
			err = fault.New(fault.Unavailable, "it was stored and removed again meanwhile; try again")
		}
		return row, false, err
	}
	if err != nil {
		return nil, false, err
	}
	defer func() { _ = f.Close() }() // it was not read
	select {
	case <-f.done:
	case <-ctx.Done():
		return nil, false, ctx.Err()
	}
	if err := f.failure(); err != nil {
		return nil, false, err
	}
	row, err = m.stored(ctx, name, num)
	if err == nil && row == nil {
		err = fault.New(fault.Unavailable, "it was fetched, and could not be stored; the server's log says why")
	}
	return row, true, err
}

// storedAndAdmitted is stored, with a refusal for what may not be given out.
func (m *Mirror) storedAndAdmitted(ctx context.Context, l line) (*catalog.MirrorCrate, error) {
	row, err := m.stored(ctx, l.Name, l.Vers)
	if err != nil || row == nil {
		return nil, err
	}
	return row, m.admitStored(ctx, l, *row)
}
