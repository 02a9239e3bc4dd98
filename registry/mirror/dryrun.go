package mirror

import (
	"context"
	"fmt"
	"time"

	"github.com/crateyard/crateyard/registry/catalog"
	"github.com/crateyard/crateyard/registry/fault"
	"github.com/crateyard/crateyard/registry/mirror/advisory"
	"github.com/crateyard/crateyard/registry/mirror/policy"
	"github.com/crateyard/crateyard/registry/wire"
)

const (
	dryRunMost = 1000 // denials that are told one by one
	dryRunPage = 500  // index files whose names are read in one go
)

// Try says what a policy would deny of what a mirror knows, and changes nothing.
func (m *Manager) Try(ctx context.Context, mirror string, p wire.MirrorPolicy) (out wire.MirrorDryRun, err error) {
	found, err := m.find(ctx, mirror)
	if err != nil {
		return out, err
	}
	compiled, err := policy.Compile(p)
	if err != nil {
		return out, fault.New(fault.Invalid, "%v", err)
	}
	trial := &Mirror{Manager: m, Row: found.Row, Spec: found.Spec, policy: compiled, up: found.up}
	trial.Spec.Policy = p
	if p.Advisories != nil {
		db, err := m.databases.get(ctx, p.Advisories.Source)
		if err != nil {
			out.Problems = append(out.Problems, notLooked(db, p.Advisories.Source, err))
			if db == nil && !warnsOnly(p.Advisories) {
				out.Withheld = fmt.Sprintf("once this policy is in effect, the mirror gives nothing out until the advisories of %s can be read: check advisories.source", p.Advisories.Source)
			}
		}
		trial.advisories.Store(db)
		if lack := m.databases.lack(p.Advisories.Source); lack != "" {
			out.Problems = append(out.Problems, "the advisories have faults: "+lack)
		}
	}
	if err := found.handedOut(ctx); err != nil { // what was served a moment ago is judged, too
		return out, err
	}
	m.writer.settled(ctx)
	out.Denied = []wire.MirrorDenial{}
	for after := ""; ; {
		names, err := m.Catalog.MirrorIndexNames(ctx, found.Row.ID, after, dryRunPage)
		if err != nil || len(names) == 0 {
			return out, err
		}
		for _, name := range names {
			if err := trial.try(ctx, name, &out); err != nil {
				return out, err
			}
		}
		after = names[len(names)-1]
	}
}

// notLooked says of advisories that could not be read now what is held against the policy in their place.
func notLooked(before *advisory.DB, source string, err error) string {
	text := fmt.Sprintf("the advisories of %s cannot be read: %s; ", source, people(err))
	if before != nil {
		return text + "those from before are looked at"
	}
	return text + "none are looked at"
}

func (m *Mirror) try(ctx context.Context, name string, out *wire.MirrorDryRun) error {
	row, err := m.Catalog.MirrorIndexFile(ctx, m.Row.ID, name)
	if err != nil || row == nil || row.File == nil {
		return err
	}
	file, err := decompress(row.File)
	if err != nil {
		return err
	}
	ls, err := readLines(name, file)
	if err != nil {
		out.Problems = append(out.Problems, err.Error())
		return nil
	}
	out.Crates++
	out.Versions += int64(len(ls))
	tell := func(d policy.Denial, cached bool) {
		if out.Total++; len(out.Denied) < dryRunMost {
			out.Denied = append(out.Denied, wire.MirrorDenial{Crate: ls.name(), Version: d.Version, Rule: d.Rule, Reason: d.Reason, Cached: cached})
		}
	}
	if d := m.policy.Crate(name); d != nil {
		tell(*d, false)
		return nil
	}
	rows, err := m.Catalog.MirrorCratesOf(ctx, m.Row.ID, ls.name())
	if err != nil {
		return err
	}
	stored := map[string]catalog.MirrorCrate{}
	for _, r := range rows {
		if ls[r.Num].Cksum == r.SHA256 {
			stored[r.Num] = r
		}
	}
	facts, err := m.facts(ctx, stored)
	if err != nil {
		return err
	}
	r := m.policy.Filter(file, policy.Options{Now: time.Now(), Advisories: m.advisories.Load(), Facts: facts})
	for _, d := range r.Denied {
		_, cached := stored[d.Version]
		tell(d, cached)
	}
	return nil
}
