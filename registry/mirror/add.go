package mirror

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"time"

	"github.com/crateyard/crateyard/registry/catalog"
	"github.com/crateyard/crateyard/registry/fault"
	"github.com/crateyard/crateyard/registry/mirror/policy"
	"github.com/crateyard/crateyard/registry/storage"
	"github.com/crateyard/crateyard/registry/wire"
)

// Stored gives what a mirror has stored of a crate, as upstream spells it, by version.
func (m *Manager) Stored(ctx context.Context, mirror, name string) ([]wire.MirroredCrate, error) {
	found, err := m.find(ctx, mirror)
	if err != nil {
		return nil, err
	}
	m.writer.settled(ctx)
	rows, err := m.Catalog.MirrorCratesOf(ctx, found.Row.ID, name)
	list := make([]wire.MirroredCrate, 0, len(rows))
	for _, r := range rows {
		if !found.ours(&r) {
			continue
		}
		list = append(list, wire.MirroredCrate{Crate: r.Name, Version: r.Num, SHA256: r.SHA256, Size: r.Size})
	}
	return list, err
}

// Add stores the archive of a version that somebody brings, as if it had been fetched: upstream's index says which bytes are right, and the policy
// whether they may enter. Where no index file is cached and upstream is of no help, nothing vouches for them, and they are refused. When Add
// returns, the archive is durable, and the audit has it.
func (m *Manager) Add(ctx context.Context, by catalog.Actor, mirror, name, num string, body io.Reader) (out wire.MirroredCrate, err error) {
	found, err := m.find(ctx, mirror)
	if err != nil {
		return out, err
	}
	l, err := found.vouched(ctx, name, num)
	if err != nil {
		return out, err
	}
	sp, hash := m.spools.open(), sha256.New()
	defer func() { _ = sp.close() }() // a file without a name
	n, err := io.Copy(io.MultiWriter(sp, hash), io.LimitReader(body, m.MaxArchive+1))
	switch {
	case err != nil:
		return out, fault.Wrap(fault.TimedOut, err, "the archive of %s %s did not arrive whole, or there is no room for it; send it again", name, num)
	case n > m.MaxArchive:
		return out, tooLarge(name, num, m.MaxArchive)
	}
	if sum := hex.EncodeToString(hash.Sum(nil)); sum != l.Cksum {
		return out, fault.New(fault.Invalid, "these are not the bytes of %s %s: they have SHA-256 %s, and upstream's index says %s", name, num, sum, l.Cksum)
	}
	out = wire.MirroredCrate{Crate: name, Version: num, SHA256: l.Cksum, Size: n}
	if row, err := found.stored(ctx, name, num); err != nil || row != nil {
		return out, err
	}
	row := catalog.MirrorCrate{Name: name, Num: num, SHA256: l.Cksum, Size: n}
	if found.policy.NeedsFacts() {
		row.License, row.Inspected = inspect(io.NewSectionReader(sp, 0, n)), true
		if d := found.judge(l, func(string) (policy.Facts, bool) { return policy.Facts{License: row.License, Size: n}, true }); d != nil {
			return out, found.refusal(*d, name)
		}
	}
	out.Fetched = true
	err = found.put(ctx, row, io.NewSectionReader(sp, 0, n))
	if err == nil || ctx.Err() != nil { // it comes in all the same
		err = errors.Join(err, found.noteBrought(by, catalog.ActionMirrorAdd, name, num))
	}
	return out, err
}

// noteBrought puts into the audit that somebody had a version come in. Who asks for it need not have waited.
func (m *Mirror) noteBrought(by catalog.Actor, action, name, num string) error {
	ctx, cancel := m.detached(refreshTime)
	defer cancel()
	return m.Catalog.NoteMirrorCrate(ctx, by, action, m.Name(), name, num)
}

// CacheFor is Cache, for the audit to say for whom a version was fetched: with mode Pinned that is how something enters that no list names. For who goes away meanwhile
// it is fetched, too.
func (m *Manager) CacheFor(ctx context.Context, by catalog.Actor, mirror, name, num string) (out wire.MirroredCrate, err error) {
	found, err := m.find(ctx, mirror)
	if err != nil {
		return out, err
	}
	out, err = m.Cache(ctx, mirror, name, num)
	if out.Fetched || ctx.Err() != nil && checkName(name) {
		err = errors.Join(err, found.noteBrought(by, catalog.ActionMirrorCache, name, num))
	}
	return out, err
}

// vouched gives the line of a version that may enter.
func (m *Mirror) vouched(ctx context.Context, name, num string) (l line, err error) {
	if !checkName(name) {
		return l, noName(name)
	}
	if err := m.admitCrate(name); err != nil {
		return l, err
	}
	e, err := m.fresh(ctx, indexKey(name), time.Time{})
	if err != nil {
		return l, err
	}
	l, ok := e.lines[num]
	if !ok || l.Name != name {
		return l, m.noVersion(e, name, num)
	}
	if d, denied := e.denied[num]; denied && d.Rule != policyPinned {
		return l, m.refusal(d, name)
	}
	return l, nil
}

// put stores an archive that was checked, and waits until it is durable and known.
func (m *Mirror) put(ctx context.Context, row catalog.MirrorCrate, r io.Reader) error {
	w, err := storage.CreateBatched(ctx, m.Store)
	if err != nil {
		return err
	}
	defer func() { _ = w.Cancel() }() // after a commit it does nothing
	if _, err := io.Copy(w, r); err != nil {
		return err
	}
	durable, err := w.Commit(ctx, storage.MirrorKey(m.Name(), row.Name, row.Num, row.SHA256))
	if err != nil {
		return err
	}
	row.StoredAt = time.Now()
	row.UsedAt = row.StoredAt
	row.Generation = m.Row.Generation
	select {
	case <-m.writer.crate(m.Row.ID, row, durable, nil):
	case <-ctx.Done():
		return ctx.Err()
	}
	known, err := m.Catalog.MirrorCrate(ctx, m.Row.ID, row.Name, row.Num)
	if err == nil && known == nil {
		err = notStored(row.Name, row.Num)
	}
	if err != nil {
		return err
	}
	m.crates.Set(m.fetchKey(row.Name, row.Num), known)
	if m.Spec.Retention.MaxSize > 0 {
		m.grew.Store(true)
	}
	if !m.policy.NeedsFacts() && !m.pinnedOnly() {
		return nil
	}
	m.drop(indexKey(row.Name)) // what is said there of the version may be different now
	if !m.Shared {
		return nil
	}
	return m.Catalog.TouchMirror(ctx, m.Name())
}
