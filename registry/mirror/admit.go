package mirror

import (
	"context"
	"time"

	"github.com/crateyard/crateyard/registry/catalog"
	"github.com/crateyard/crateyard/registry/mirror/policy"
)

// admitVersion refuses a version that the policy denies.
func (m *Mirror) admitVersion(ctx context.Context, name, num string, row *catalog.MirrorCrate) error {
	e, err := m.known(ctx, name, num)
	if err != nil {
		return err
	}
	l, ok := e.lines[num]
	if !ok || l.Name != name {
		if row != nil && !m.pinnedOnly() && m.policy.Empty() {
			return nil // upstream no longer lists what is stored; who has it in a lockfile goes on
		}
		if d := m.notListed(row, num); d != nil {
			return m.refusal(*d, name)
		}
		return m.noVersion(e, name, num)
	}
	if d, denied := e.denied[num]; denied {
		return m.refusal(d, name)
	}
	if row != nil {
		if err := m.admitStored(ctx, l, *row); err != nil {
			return err
		}
	}
	if d, warned := e.warned[num]; warned {
		m.noteWarning(d, name)
	}
	return nil
}

// admitStored refuses a stored archive for what it is itself, its licence or size. The index file in memory may have been made before it came, by this server or, where
// the catalog is shared, by another.
func (m *Mirror) admitStored(ctx context.Context, l line, row catalog.MirrorCrate) error {
	if !m.policy.NeedsFacts() {
		return nil
	}
	one := map[string]catalog.MirrorCrate{row.Num: row}
	facts, err := m.facts(ctx, one)
	if err != nil {
		return err
	}
	key := m.fetchKey(row.Name, row.Num)
	if now := one[row.Num]; now.Inspected && !row.Inspected {
		if is, ok := m.crates.GetIfPresent(key); ok && *is == row { // and not gone meanwhile
			m.crates.Set(key, &now) // it is looked into once
		}
	}
	denial := m.judge(l, facts)
	if denial == nil {
		return nil
	}
	m.drop(indexKey(row.Name)) // it says nothing of that yet
	// Nor will it where the catalog has no such archive, as when another server removed it: then it is fetched again by who asks next, and noted.
	if known, err := m.Catalog.MirrorCrate(ctx, m.Row.ID, row.Name, row.Num); err == nil && (known == nil || known.SHA256 != row.SHA256) && !m.fetching(key) {
		m.crates.Invalidate(key)
	}
	return m.refusal(*denial, row.Name)
}

// fetching reports whether an archive is on its way, or is noted.
func (m *Mirror) fetching(key string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.fetches[key] != nil
}

// notListed is the denial of what a mirror that serves nothing but what is cached knows nothing of.
func (m *Mirror) notListed(row *catalog.MirrorCrate, num string) *policy.Denial {
	if row != nil || !m.pinnedOnly() {
		return nil
	}
	return &policy.Denial{Version: num, Rule: policy.RulePinned, Reason: "the mirror gives out what it was told to cache, and nothing else; ask its administrator to add it"}
}

// judge asks the policy of a version whose archive is here, which facts tells of; nil: it may be given out.
func (m *Mirror) judge(l line, facts func(version string) (policy.Facts, bool)) *policy.Denial {
	return m.policy.Version(l.bytes, policy.Options{Now: time.Now(), Advisories: m.advisories.Load(), Facts: facts})
}
