package mirror

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"strings"
	"sync/atomic"
	"time"

	"github.com/klauspost/compress/gzip"

	"github.com/crateyard/crateyard/registry/catalog"
	"github.com/crateyard/crateyard/registry/fault"
	"github.com/crateyard/crateyard/registry/index"
	"github.com/crateyard/crateyard/registry/mirror/policy"
)

const (
	missingFor   = 30 * time.Second // how long it is believed at most that upstream has no such crate
	refreshTime  = 2 * time.Minute  // for a whole refresh, upstream's pauses included
	patience     = 3 * time.Second  // how long a client waits for a refresh where there is an old file
	retryStale   = 5 * time.Second  // how soon after a failure an old file is asked for again
	firstContact = 25 * time.Second // how long a client waits where there is none; cargo gives up after 30 s
)

// entry is an index file in memory, as it is served. It stays as it is, except for when it was last checked.
type entry struct {
	file    *index.File // nil: upstream has no such crate
	raw     []byte      // upstream's file with what the policy denies, where file says more: of a mirror that serves only what is cached
	lines   lines
	denied  map[string]policy.Denial // by version
	warned  map[string]policy.Denial // by version: what may enter although an advisory is about it
	checked atomic.Int64             // when upstream said that it is so, in nanoseconds since 1970
	failed  atomic.Int64             // when it could not be asked
	asked   atomic.Int64             // when it said that there is no such crate any longer, which makes checked earlier than that: see deleted
	until   time.Time                // when the policy would say otherwise by time alone; zero: never
	epoch   int64                    // of the mirror, when it was made
	dropped int64                    // the same, of files that have gone from memory

	etag, lastModified string
}

func (e *entry) age() time.Duration { return since(&e.checked) }

// since reports whether upstream was asked at some time or later.
func (e *entry) since(at time.Time) bool {
	return max(e.checked.Load(), e.asked.Load()) >= at.UnixNano()
}

func since(at *atomic.Int64) time.Duration { return time.Since(time.Unix(0, at.Load())) }

func (e *entry) size() uint32 {
	n := 512 + len(e.lines)*200
	if e.file != nil {
		n += e.file.Size() + len(e.raw)
	}
	return uint32(n)
}

// admitted is the file with what the policy admits, whatever of it is cached.
func (e *entry) admitted() []byte {
	if e.raw != nil {
		return e.raw
	}
	return e.file.Plain
}

// How an answer came about, for the metrics.
const (
	hit   = "hit"
	miss  = "miss"
	stale = "stale"
)

// Index gives the index file of a crate as this mirror serves it. name is from the file's path, in lower case.
func (m *Mirror) Index(ctx context.Context, name string) (*index.File, error) {
	if err := m.admitCrate(name); err != nil {
		return nil, err
	}
	e, how, err := m.entry(ctx, name)
	if err != nil {
		return nil, err
	}
	m.Metrics.Served(m.Name(), "index", how)
	switch {
	case e.file != nil:
		return e.file, nil
	case m.pinnedOnly():
		return nil, fault.New(fault.NotFound, "mirror `%s` gives out what is cached and nothing else (mode Pinned), and has nothing of crate `%s`; ask its administrator to add it", m.Name(), name)
	}
	return nil, m.noCrate(name)
}

// entry gives an index file that is as new as the mirror's MaxAge asks for, or as upstream lets it be.
func (m *Mirror) entry(ctx context.Context, name string) (*entry, string, error) {
	e := m.cached(name)
	if e == nil {
		var err error
		if e, err = m.load(ctx, name); err != nil {
			return nil, "", err
		}
	}
	fresh := m.maxAge()
	if e != nil && e.file == nil {
		fresh = min(fresh, missingFor)
	}
	switch {
	case e == nil && m.pinnedOnly():
		return &entry{}, hit, nil
	case e != nil && (e.age() < fresh || m.pinnedOnly()):
		return e, hit, nil
	case e == nil || e.file == nil: // that there was no such crate a while ago says nothing of now
		wait, cancel := context.WithTimeout(ctx, firstContact)
		defer cancel()
		e, err := m.refresh(wait, name, e)
		return e, miss, err
	case since(&e.failed) < min(retryStale, fresh), m.up.troubled(min(retryStale, fresh)):
		return e, stale, nil
	case e.age() < 2*fresh:
		go func() { _, _ = m.refresh(context.Background(), name, e) }() // what goes wrong is noted
		return e, hit, nil
	}
	wait, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	newer, err := m.refresh(wait, name, e)
	if err != nil {
		if ctx.Err() != nil {
			return nil, "", ctx.Err()
		}
		return e, stale, nil
	}
	return newer, miss, nil
}

// cached gives an entry from memory, unless it has to be made anew.
func (m *Mirror) cached(name string) *entry {
	e, ok := m.files.GetIfPresent(m.key(name))
	if !ok || e.epoch != m.epoch.Load() || !e.until.IsZero() && time.Now().After(e.until) {
		return nil
	}
	return e
}

func (m *Mirror) key(name string) string { return m.filePrefix + name }

// load makes an entry of the file that the catalog has; nil: it has none.
func (m *Mirror) load(ctx context.Context, name string) (*entry, error) {
	v, err, _ := m.flights.Do(loadFlight+name, func() (any, error) {
		ctx := context.WithoutCancel(ctx)
		row := m.writer.unwritten(m.Row.ID, m.Row.UpstreamSince, name)
		if row == nil {
			var err error
			if row, err = m.Catalog.MirrorIndexFile(ctx, m.Row.ID, name); err != nil || row == nil {
				return (*entry)(nil), err
			}
		}
		return m.fromRow(ctx, name, row)
	})
	if err != nil {
		return nil, err
	}
	return v.(*entry), nil
}

func (m *Mirror) fromRow(ctx context.Context, name string, row *catalog.MirrorIndexFile) (*entry, error) {
	if row.File == nil {
		return m.keep(name, m.newEntry(), row.CheckedAt), nil
	}
	file, err := decompress(row.File)
	if err != nil {
		return nil, fmt.Errorf("index file of %s in the catalog: %w", name, err)
	}
	ls, err := readLines(name, file)
	if err != nil {
		return nil, err
	}
	return m.render(ctx, name, file, row.File, ls, row.ETag, row.LastModified, row.CheckedAt)
}

// render makes an entry of upstream's file, of which packed is the gzip form: what the policy denies is said as yanked.
func (m *Mirror) render(ctx context.Context, name string, file, packed []byte, ls lines, etag, lastModified string, checked time.Time) (*entry, error) {
	e := m.newEntry() // before it is looked what is stored
	e.lines, e.etag, e.lastModified = ls, etag, lastModified
	served, z := file, packed
	if o, any, err := m.options(ctx, ls); err != nil {
		return nil, err
	} else if any {
		if o.Cached != nil {
			plain := o
			plain.Cached = nil
			e.raw = m.policy.Filter(file, plain).File
		}
		r := m.policy.Filter(file, o)
		if served, e.until = r.File, r.Until; len(r.Denied) > 0 {
			if z, err = index.Compress(served); err != nil {
				return nil, err
			}
		}
		if len(r.Denied) > 0 {
			e.denied = make(map[string]policy.Denial, len(r.Denied))
			for _, d := range r.Denied {
				e.denied[d.Version] = d
			}
		}
		if len(r.Warned) > 0 {
			e.warned = make(map[string]policy.Denial, len(r.Warned))
			for _, d := range r.Warned {
				e.warned[d.Version] = d
			}
		}
	}
	e.file = index.NewCompressedFile(served, z)
	return m.keep(name, e, checked), nil
}

// options are what the policy needs to know to look at the lines of a crate; any is false where it has nothing to say.
func (m *Mirror) options(ctx context.Context, ls lines) (o policy.Options, any bool, err error) {
	if m.policy.Empty() && !m.pinnedOnly() {
		return o, false, nil
	}
	o = policy.Options{Now: time.Now(), Advisories: m.advisories.Load()}
	if a := m.Spec.Policy.Advisories; a != nil && !warnsOnly(a) && o.Advisories == nil {
		return o, false, m.unread(a.Source)
	}
	if !m.pinnedOnly() && !m.policy.NeedsFacts() {
		return o, true, nil
	}
	stored := map[string]catalog.MirrorCrate{}
	names := map[string]bool{}
	for _, l := range ls {
		names[l.Name] = true // one, as a rule
	}
	for name := range names {
		rows, err := m.Catalog.MirrorCratesOf(ctx, m.Row.ID, name)
		if err != nil {
			return o, false, err
		}
		for _, r := range rows {
			if ls[r.Num].Cksum == r.SHA256 { // else it is of an upstream from before
				stored[r.Num] = r
			}
		}
	}
	if o.Facts, err = m.facts(ctx, stored); err != nil {
		return o, false, err
	}
	if m.pinnedOnly() {
		o.Cached = func(num, sum string) bool { return stored[num].SHA256 == sum }
	}
	return o, true, nil
}

// newEntry begins an entry with what tells later whether it is still so.
func (m *Mirror) newEntry() *entry {
	m.filing.Lock()
	defer m.filing.Unlock()
	return &entry{epoch: m.epoch.Load(), dropped: m.dropped}
}

// keep puts an entry into memory, unless a file was dropped while it was made: it may be the one, and say what was so before. Who asked for it gets it.
func (m *Mirror) keep(name string, e *entry, checked time.Time) *entry {
	e.checked.Store(checked.UnixNano())
	m.filing.Lock()
	defer m.filing.Unlock()
	if e.dropped == m.dropped {
		m.files.Set(m.key(name), e)
	}
	return e
}

// drop takes an index file from memory, because another one of its versions is stored now. Who asks from now on shares no look that began before.
func (m *Mirror) drop(name string) {
	m.filing.Lock()
	defer m.filing.Unlock()
	m.dropped++
	m.files.Invalidate(m.key(name))
	m.flights.Forget(loadFlight + name)
}

// loadFlight is how looks into the catalog are called among the flights, beside crates.
const loadFlight = "load/"

// refresh asks upstream for an index file. Those who ask at the same time share it, and it goes on when the first of them goes away. A failure
// leaves the old file as it is.
func (m *Mirror) refresh(ctx context.Context, name string, old *entry) (*entry, error) {
	ch := m.flights.DoChan(name, func() (any, error) {
		ctx, cancel := m.detached(refreshTime)
		defer cancel()
		e, err := m.ask(ctx, name, old)
		if err != nil && old != nil {
			old.failed.Store(time.Now().UnixNano())
		}
		return e, err
	})
	nothing := old == nil || old.file == nil
	if nothing && m.up.pausedBeyond(ctx) {
		return nil, m.up.late(nil)
	}
	select {
	case r := <-ch:
		if r.Err != nil {
			return nil, r.Err
		}
		return r.Val.(*entry), nil
	case <-ctx.Done():
		if nothing {
			return nil, m.up.late(ctx.Err())
		}
		return nil, ctx.Err()
	}
}

func (m *Mirror) ask(ctx context.Context, name string, old *entry) (*entry, error) {
	// Somebody else's question may have been answered between the look that found old and this.
	if now := m.cached(name); now != nil && now != old && now.age() < m.maxAge() && (now.file != nil || now.age() < missingFor) {
		return now, nil
	}
	if m.Shared { // another server may have asked meanwhile
		row, err := m.Catalog.MirrorIndexFile(ctx, m.Row.ID, name)
		if err == nil && row != nil && time.Since(row.CheckedAt) < m.maxAge() && (row.File != nil || time.Since(row.CheckedAt) < missingFor) &&
			(old == nil || row.CheckedAt.UnixNano() > old.checked.Load()) {
			return m.fromRow(ctx, name, row)
		}
	}
	etag, lastModified := "", ""
	if old != nil {
		etag, lastModified = old.etag, old.lastModified
	}
	a, err := m.up.index(ctx, name, etag, lastModified)
	now := time.Now()
	switch {
	case err != nil:
		return nil, err
	case a.same && old == nil:
		return nil, m.up.failed(fmt.Errorf("%w: it says that its index file of %s is the same as before, which it was not asked", errNoUse, name))
	case a.same:
		old.checked.Store(now.UnixNano())
		m.writer.checked(m.Row.ID, name, now)
		return old, nil
	case a.file != nil && isBlank(a.file) && (old == nil || old.file == nil): // to cargo it is one without versions
		if _, err := m.up.registry(ctx); err != nil {
			return nil, err
		}
		return m.noneSuch(name, now), nil
	case a.file == nil:
		if e, err := m.deleted(ctx, name, old, now); e != nil || err != nil {
			return e, err
		}
		return m.noneSuch(name, now), nil
	}
	ls, err := readLines(name, a.file)
	if err != nil {
		return nil, m.up.failed(err)
	}
	if old != nil && old.lines != nil {
		if num := old.lines.changed(ls); num != "" && m.knows(ctx, name) {
			return nil, m.checksumChanged(name, num, "the index file from before is served")
		}
	}
	if old != nil {
		if num, err := m.changedMeanwhile(ctx, old.lines, ls); err != nil {
			return nil, err
		} else if num != "" {
			return nil, m.checksumChanged(name, num, "it had taken it away in between, and what it says now is not believed")
		}
	}
	if m.problems.dropPrefix(aboutDeleted(ls.name())) { // it is there again
		m.tellStatus()
	}
	packed, err := index.Compress(a.file)
	if err != nil {
		return nil, err
	}
	m.writer.index(m.Row.ID, catalog.MirrorIndexFile{Crate: name, ETag: a.etag, LastModified: a.lastModified, CheckedAt: now, File: packed,
		Generation: m.Row.Generation})
	return m.render(ctx, name, a.file, packed, ls, a.etag, a.lastModified, now)
}

// noneSuch notes that upstream has no such crate.
func (m *Mirror) noneSuch(name string, now time.Time) *entry {
	m.writer.index(m.Row.ID, catalog.MirrorIndexFile{Crate: name, CheckedAt: now, Generation: m.Row.Generation})
	return m.keep(name, m.newEntry(), now)
}

// knows reports whether an index file is cached: while upstream was asked for a newer one, somebody may have had the mirror forget it, or mirror another
// registry.
func (m *Mirror) knows(ctx context.Context, name string) bool {
	m.writer.settled(ctx)
	if m.moved(ctx) {
		return false
	}
	row, err := m.Catalog.MirrorIndexFile(ctx, m.Row.ID, name)
	return err != nil || row != nil && row.File != nil
}

// moved reports whether the mirror is of another registry by now, or is gone.
func (m *Mirror) moved(ctx context.Context) bool {
	now, err := m.Catalog.Mirror(ctx, m.Name())
	return err == nil && (now.ID != m.Row.ID || now.UpstreamSince != m.Row.UpstreamSince)
}

func decompress(data []byte) ([]byte, error) {
	zr, err := gzip.NewReader(bytes.NewReader(data))
	if err != nil {
		return nil, err
	}
	return io.ReadAll(io.LimitReader(zr, maxIndexFile))
}

// IndexName gives the name of the crate whose file lies at a path of the index; false: none can lie there.
func IndexName(path string) (string, bool) {
	name := path[strings.LastIndexByte(path, '/')+1:]
	return name, checkName(name) && path == index.Path(name)
}
