package mirror

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"strings"
	"sync"
	"time"

	"github.com/crateyard/crateyard/registry/catalog"
	"github.com/crateyard/crateyard/registry/fault"
	"github.com/crateyard/crateyard/registry/mirror/policy"
	"github.com/crateyard/crateyard/registry/storage"
)

// Archive is a crate's file that may be given out: either stored, or on its way. Close it.
type Archive struct {
	SHA256 string
	Size   int64        // of what is stored
	Key    string       // in the storage
	Blob   storage.Blob // nil while it is on its way, or where nobody asked to open it
	Fetch  *Fetch       // nil when it is stored
}

// Close ends the use.
func (a *Archive) Close() error {
	switch {
	case a.Fetch != nil:
		return a.Fetch.Close()
	case a.Blob != nil:
		return a.Blob.Close()
	}
	return nil
}

// Archive gives the file of a version, from the storage or from upstream. A *Denied error says that the policy keeps it. open is false for who
// needs no more than the key.
func (m *Mirror) Archive(ctx context.Context, name, num string, open bool) (*Archive, error) {
	if !checkName(name) {
		return nil, noName(name)
	}
	if err := m.admitCrate(name); err != nil {
		return nil, err
	}
	row, err := m.stored(ctx, name, num)
	if err != nil {
		return nil, err
	}
	if row == nil || !m.policy.Empty() || m.pinnedOnly() {
		if err := m.admitVersion(ctx, name, num, row); err != nil {
			return nil, err
		}
	}
	if row != nil {
		if a, err := m.fromStore(ctx, row, open); a != nil || err != nil {
			return a, err
		}
	}
	l, err := m.version(ctx, name, num)
	if err != nil {
		return nil, err
	}
	f, err := m.fetch(l, catalog.NotPinned)
	if errors.Is(err, errStored) { // meanwhile
		row, err = m.stored(ctx, name, num)
		if row != nil {
			if err := m.admitStored(ctx, l, *row); err != nil {
				return nil, err
			}
			if a, err := m.fromStore(ctx, row, open); a != nil || err != nil {
				return a, err
			}
		}
		if err == nil {
			err = fault.New(fault.Unavailable, "`%s` %s of mirror `%s` was removed while it was asked for; try again", name, num, m.Name())
		}
	}
	if err != nil {
		return nil, err
	}
	m.Metrics.Served(m.Name(), "crate", miss)
	return &Archive{SHA256: l.Cksum, Fetch: f}, nil
}

// fromStore gives a stored archive, or nil when the storage does not have it any longer.
func (m *Mirror) fromStore(ctx context.Context, row *catalog.MirrorCrate, open bool) (*Archive, error) {
	a := &Archive{SHA256: row.SHA256, Size: row.Size, Key: storage.MirrorKey(m.Name(), row.Name, row.Num, row.SHA256)}
	if !open {
		return m.given(a, row.Name, row.Num), nil
	}
	var err error
	if a.Blob, err = m.openWhole(ctx, *row); err == nil {
		return m.given(a, row.Name, row.Num), nil
	} else if !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	m.Log.Warn("A stored archive of a mirror is gone from the storage; it is fetched again", "mirror", m.Name(), "key", a.Key)
	return nil, m.lost(ctx, *row)
}

// openWhole opens a stored archive. One of which a part is there is as good as gone, and the error is fs.ErrNotExist, too.
func (m *Mirror) openWhole(ctx context.Context, row catalog.MirrorCrate) (storage.Blob, error) {
	blob, err := m.Store.Open(ctx, storage.MirrorKey(m.Name(), row.Name, row.Num, row.SHA256))
	if err != nil {
		return nil, err
	}
	info, err := blob.Stat()
	if err == nil && info.Size() != row.Size {
		err = fs.ErrNotExist
	}
	if err != nil {
		return nil, errors.Join(err, blob.Close())
	}
	return blob, nil
}

func (m *Mirror) given(a *Archive, name, num string) *Archive {
	m.Metrics.Served(m.Name(), "crate", hit)
	m.writer.used(catalog.MirrorKey{MirrorID: m.Row.ID, Name: name, Num: num}, time.Now())
	return a
}

// noVersion is the error for a version that upstream's index file of a crate, e, does not have.
func (m *Mirror) noVersion(e *entry, name, num string) error {
	is := e.lines.name()
	switch {
	case e.file == nil:
		return m.noCrate(name)
	case is != "" && is != name:
		return fault.New(fault.NotFound, "the upstream of mirror `%s` has no crate `%s`; it has `%s`, and names must be spelled alike", m.Name(), name, is)
	}
	return fault.New(fault.NotFound, "the upstream of mirror `%s` has no version `%s` of crate `%s`", m.Name(), num, name)
}

func (m *Mirror) noCrate(name string) error {
	return fault.New(fault.NotFound, "the upstream of mirror `%s` has no crate `%s`", m.Name(), name)
}

func noName(name string) error { return fault.New(fault.NotFound, "%q is no name of a crate", name) }

// stored finds out whether an archive is stored, in memory first. One that is of an upstream from before counts if this one's index has it, too.
func (m *Mirror) stored(ctx context.Context, name, num string) (*catalog.MirrorCrate, error) {
	row, err := m.storedOfAny(ctx, name, num)
	if err != nil || row == nil || m.ours(row) {
		return row, err
	}
	if row, err = m.adopt(ctx, *row); row != nil {
		m.crates.Set(m.fetchKey(name, num), row)
	}
	return row, err
}

// storedOfAny is stored, whichever upstream the archive is of.
func (m *Mirror) storedOfAny(ctx context.Context, name, num string) (*catalog.MirrorCrate, error) {
	key := m.fetchKey(name, num)
	if row, ok := m.crates.GetIfPresent(key); ok && m.ours(row) {
		return row, nil
	}
	row, err := m.Catalog.MirrorCrate(ctx, m.Row.ID, name, num)
	if row != nil {
		m.crates.Set(key, row)
	}
	return row, err
}

func (m *Mirror) fetchKey(name, num string) string { return m.cratePrefix + name + "@" + num }

// lost forgets that an archive is stored.
func (m *Mirror) lost(ctx context.Context, row catalog.MirrorCrate) error {
	m.crates.Invalidate(m.fetchKey(row.Name, row.Num))
	for range 3 { // its use may be noted in between
		now, err := m.Catalog.MirrorCrate(ctx, m.Row.ID, row.Name, row.Num)
		if err != nil || now == nil {
			return err
		}
		if gone, err := m.Catalog.DeleteMirrorCrate(ctx, m.Row.ID, 0, *now); gone || err != nil {
			return err
		}
	}
	return nil // it is used and used again, by who finds it gone, too
}

// known gives the index file of a crate that names a version, as old as it may be; where the version is not in it, upstream is asked.
func (m *Mirror) known(ctx context.Context, name, num string) (*entry, error) {
	key := indexKey(name)
	e := m.cached(key)
	if e == nil {
		var err error
		if e, err = m.load(ctx, key); err != nil {
			return nil, err
		}
	}
	if e != nil {
		if _, ok := e.lines[num]; ok || m.pinnedOnly() {
			return e, nil
		}
	}
	if m.pinnedOnly() {
		return &entry{}, nil
	}
	if e != nil && min(e.age(), since(&e.asked)) < min(m.maxAge(), missingFor) {
		return e, nil
	}
	wait, cancel := context.WithTimeout(ctx, firstContact)
	defer cancel()
	return m.refresh(wait, key, e)
}

// version gives the line of a version.
func (m *Mirror) version(ctx context.Context, name, num string) (line, error) {
	e, err := m.known(ctx, name, num)
	if err != nil {
		return line{}, err
	}
	l, ok := e.lines[num]
	if !ok || l.Name != name {
		return line{}, m.noVersion(e, name, num)
	}
	return l, nil
}

// errStored says that an archive was stored a moment ago.
var errStored = errors.New("it is stored")

// fetch gives the way of an archive from upstream, which it begins unless somebody has. The caller closes it.
func (m *Mirror) fetch(l line, pinned int) (*Fetch, error) {
	f, run, err := m.beginFetch(l, pinned)
	if run != nil {
		m.beside(run)
	}
	return f, err
}

// beside does some work that outlives the request that asked for it.
func (m *Mirror) beside(work func()) { m.work.Go(work) }

// beginFetch joins a fetch that is under way, or makes one, which the caller runs. The caller closes it.
func (m *Mirror) beginFetch(l line, pinned int) (f *Fetch, run func(), err error) {
	key := m.fetchKey(l.Name, l.Vers)
	m.mu.Lock()
	defer m.mu.Unlock()
	if f, ok := m.fetches[key]; ok && f.use() {
		return f, nil, nil
	}
	if row, ok := m.crates.GetIfPresent(key); ok && m.ours(row) { // looked for under the lock: a fetch notes it before it goes
		return nil, nil, errStored
	}
	f = newFetch(m.up, m.spools, l.Cksum, m.policy.NeedsFacts())
	f.users++ // the caller
	m.fetches[key] = f
	return f, func() {
		ctx, cancel := m.detached(fetchTime)
		defer cancel()
		d := &download{Fetch: f, m: m, name: l.Name, num: l.Vers, pinned: pinned, limit: m.MaxArchive,
			letGo: sync.OnceFunc(func() { _ = f.Close() })} // a file without a name that was read only
		err := m.once(ctx, d, l)
		if err != nil {
			m.dropFetch(key, f) // first: who hears of the failure and asks again shall not hear of the same one
			f.update(func() { f.err = err })
			if !errors.Is(err, context.Canceled) {
				m.Log.Warn("An archive cannot be fetched from upstream", "mirror", m.Name(), "crate", l.Name, "version", l.Vers, "error", err)
			}
		}
		m.dropFetch(key, f)
		d.finished()
		d.letGo()
	}, nil
}

func (m *Mirror) dropFetch(key string, f *Fetch) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.fetches[key] == f {
		delete(m.fetches, key)
	}
}

// fetched waits for the archives of a crate that are on their way.
func (m *Mirror) fetched(ctx context.Context, name string) error {
	return m.awaited(ctx, func(key string, _ *Fetch) bool {
		crate, _, _ := strings.Cut(strings.TrimPrefix(key, m.cratePrefix), "@")
		return strings.EqualFold(crate, name)
	})
}

// handedOut waits until the archives that somebody has whole are stored.
func (m *Mirror) handedOut(ctx context.Context) error {
	return m.awaited(ctx, func(_ string, f *Fetch) bool { return f.isWhole() })
}

func (m *Mirror) awaited(ctx context.Context, which func(key string, f *Fetch) bool) error {
	m.mu.Lock()
	var under []*Fetch
	for key, f := range m.fetches {
		if which(key, f) {
			under = append(under, f)
		}
	}
	m.mu.Unlock()
	for _, f := range under {
		select {
		case <-f.done:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// complete ends a download: it checks, releases and stores the archive. Until it returns, who asks shares the fetch.
func (m *Mirror) complete(ctx context.Context, d *download, l line) error {
	if err := d.run(ctx); err != nil {
		return err
	}
	license, inspected := "", false
	if m.policy.NeedsFacts() {
		license, inspected = inspect(io.NewSectionReader(d.spool, 0, d.received)), true
		if denial := m.judge(l, func(string) (policy.Facts, bool) { return policy.Facts{License: license, Size: d.received}, true }); denial != nil {
			// It is stored all the same, so that it is known what is wrong with it, and is not fetched again and again.
			row, noted, err := d.store(ctx, license, inspected)
			if err == nil {
				m.note(ctx, row, noted)
			}
			return errors.Join(m.refusal(*denial, l.Name), err)
		}
	}
	d.update(func() { d.whole, d.size = true, d.received })
	row, noted, err := d.store(ctx, license, inspected)
	if err != nil {
		// Whoever asked has it; the next one fetches it again.
		m.Log.Error("An archive of a mirror cannot be stored", "mirror", m.Name(), "crate", l.Name, "version", l.Vers, "error", err)
		return nil
	}
	d.finished()
	d.letGo() // who asks from now on gets what is stored
	m.note(ctx, row, noted)
	return nil
}

// notes reports whether a fetch waits until it is noted that its archive is stored.
func (m *Mirror) notes() bool { return m.Shared || m.policy.NeedsFacts() || m.pinnedOnly() }

// note says that an archive is stored. Where others need to know, it waits until they do.
func (m *Mirror) note(ctx context.Context, row *catalog.MirrorCrate, noted <-chan struct{}) {
	if m.Spec.Retention.MaxSize > 0 {
		m.grew.Store(true)
	}
	now := m.Mirror(m.Name()) // it may have got a policy since the fetch began
	if now != nil && (now.policy.NeedsFacts() || now.pinnedOnly()) {
		defer now.drop(indexKey(row.Name)) // what is said there of the version may be different now
	} else if !m.Shared {
		return
	}
	select {
	case <-noted:
	case <-ctx.Done():
	}
}
