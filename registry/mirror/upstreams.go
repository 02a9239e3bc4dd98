package mirror

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/crateyard/crateyard/registry/catalog"
	"github.com/crateyard/crateyard/registry/fault"
	"github.com/crateyard/crateyard/registry/wire"
)

// A mirror may get another upstream: another registry, or the same one at another address, which nobody can tell apart but by what its index says. So
// the index files of the one before are dropped with the change, and asked for anew. Archives stay, because a digest says what they are: one is given out
// again as soon as the new upstream's index names its digest for that version, and never before. What it does not name the daily sweep removes.

// otherUpstream gives the upstream of a mirror from before, if a spec has another one.
func otherUpstream(old catalog.Mirror, spec wire.MirrorSpec) string {
	var was wire.MirrorSpec
	if json.Unmarshal([]byte(old.Spec), &was) != nil { // there was none
		return ""
	}
	if was = WithDefaults(was); was.Upstream.Index != spec.Upstream.Index {
		return was.Upstream.Index
	}
	return ""
}

// moved says what comes of another upstream.
func moved(row catalog.Mirror, spec wire.MirrorSpec, was string) string {
	text := fmt.Sprintf("mirror `%s` is of %s from now on, and no longer of %s: its index files are asked for anew, and cached archives are given out only where the new index names their checksums",
		row.Name, spec.Upstream.Index, was)
	if spec.Mode != Pinned {
		return text
	}
	text += ". With mode Pinned it gives nothing out until "
	if spec.Suspend {
		return text + fmt.Sprintf("`crateyard mirror sync %s` has run, for it is suspended, or a bundle of the new upstream is imported", row.Name)
	}
	return text + "the sync that begins now has looked at what crates and lockfiles list, and of what came with bundles until one of the new upstream is imported"
}

// greetWait is how long who makes a mirror waits for the first word of its upstream.
const greetWait = 3 * time.Second

// greet asks an upstream that was never asked, so that a wrong address is seen at once, and not when the first build fails. It says why it is of no help,
// or that it has not answered yet; the question goes on, and how it ends is in the mirror's status.
func (m *Mirror) greet(ctx context.Context) string {
	m.up.greeted.Store(true)
	answered := make(chan error, 1)
	m.work.Go(func() {
		ctx, cancel := m.detached(refreshTime)
		defer cancel()
		_, err := m.up.registry(ctx)
		answered <- err
	})
	why, mend := "", "check the address, and whether the server can reach it"
	select {
	case err := <-answered:
		if err == nil {
			return ""
		}
		if s, ok := errors.AsType[*statusError](err); ok && (s.code == http.StatusUnauthorized || s.code == http.StatusForbidden) {
			mend = fmt.Sprintf("`crateyard mirror token %s --upstream-token-file FILE`, or upstream.tokenSecretRef of its CrateMirror, gives it one", m.Name())
		}
		if h := m.up.health.Load(); h != nil {
			why = h.err
		}
	case <-time.After(greetWait):
		why = fmt.Sprintf("no answer in %s", greetWait)
		m.up.silent(why)
	case <-ctx.Done():
		return ""
	}
	return fmt.Sprintf("mirror `%s` is there, and its upstream at %s is of no help so far (%s): %s", m.Name(), m.Spec.Upstream.Index, why, mend)
}

// asksByItself reports whether upstream is asked although nobody wants a sync.
func (m *Mirror) asksByItself() bool { return !m.pinnedOnly() || len(m.Spec.Crates) > 0 }

// lookAgain is how soon an upstream that was of no help is asked again by itself: nobody may ask for something of a mirror that is said not to work.
const lookAgain = 30 * time.Second

// look asks an upstream that this server has not asked since it started, or that was of no help a while ago, so that it can tell how the mirror stands.
func (m *Mirror) look(ctx context.Context) {
	h := m.up.health.Load()
	switch {
	case m.pinnedOnly():
	case h == nil && m.up.greeted.CompareAndSwap(false, true):
		m.work.Go(func() { _ = m.greet(ctx) }) // how it ends is in the status
	case h != nil && h.err != "" && time.Since(h.at) > lookAgain && m.up.looking.CompareAndSwap(false, true):
		m.work.Go(func() {
			defer m.up.looking.Store(false)
			ctx, cancel := m.detached(refreshTime)
			defer cancel()
			_, _ = m.up.ask(ctx) // the same
		})
	}
}

// ours reports whether an archive is known to be this upstream's.
func (m *Mirror) ours(row *catalog.MirrorCrate) bool { return row.Generation >= m.Row.UpstreamSince }

// adopt takes over an archive that is of an upstream from before, if this one's index has the same; nil: it has not.
func (m *Mirror) adopt(ctx context.Context, row catalog.MirrorCrate) (*catalog.MirrorCrate, error) {
	e, err := m.known(ctx, row.Name, row.Num)
	if err != nil {
		return nil, err
	}
	if l := e.lines[row.Num]; l.Name != row.Name || l.Cksum != row.SHA256 {
		return nil, nil
	}
	row.Generation = m.Row.Generation
	m.writer.adopted(catalog.MirrorAdoption{MirrorKey: catalog.MirrorKey{MirrorID: m.Row.ID, Name: row.Name, Num: row.Num}, SHA256: row.SHA256, Generation: row.Generation})
	return &row, nil
}

// adoptRest looks at all archives that are of an upstream from before, and removes what is not this one's, too. Nothing is removed while this one is of no
// help; nor of a mirror that does not ask it by itself, before a sync found all that is listed.
func (m *Mirror) adoptRest(ctx context.Context) error {
	if m.Row.UpstreamSince == 0 {
		return nil
	}
	row, err := m.Catalog.Mirror(ctx, m.Name())
	if fault.KindOf(err) == fault.NotFound || err == nil && (row.ID != m.Row.ID || row.Generation != m.Row.Generation) {
		return nil // it is gone, or another one by now
	}
	if err != nil {
		return err
	}
	if s := readSync(row.Status); m.pinnedOnly() && (s.Running || s.Generation < m.Row.UpstreamSince || s.Failed > 0 || s.Message != "") {
		return nil
	}
	m.writer.settled(ctx)
	for name, num := "", ""; ; {
		rows, err := m.Catalog.MirrorCratesBefore(ctx, m.Row.ID, m.Row.UpstreamSince, name, num, evictBatch)
		if err != nil || len(rows) == 0 {
			return err
		}
		for _, row := range rows {
			name, num = row.Name, row.Num
			if m.pinnedOnly() { // a bundle may bring the index of this upstream yet
				if e, err := m.known(ctx, row.Name, row.Num); err == nil && len(e.lines) == 0 {
					continue
				}
			}
			kept, err := m.adopt(ctx, row)
			if fault.KindOf(err) == fault.Unavailable {
				return nil // the next time
			}
			if err != nil {
				return err
			}
			if kept != nil {
				continue
			}
			gone, err := m.evict(ctx, 0, row)
			if err != nil {
				return err
			}
			if gone {
				m.Metrics.Evicted(m.Name(), row.Size)
			}
		}
	}
}
