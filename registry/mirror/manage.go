package mirror

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/crateyard/crateyard/registry/catalog"
	"github.com/crateyard/crateyard/registry/fault"
	"github.com/crateyard/crateyard/registry/mirror/advisory"
	"github.com/crateyard/crateyard/registry/mirror/lockfile"
	"github.com/crateyard/crateyard/registry/mirror/policy"
	"github.com/crateyard/crateyard/registry/storage"
	"github.com/crateyard/crateyard/registry/wire"
)

// MaxLockfile bounds a Cargo.lock, in bytes: cargo's own has 10,000 packages in 2 MB.
const MaxLockfile = lockfile.MaxSize

// maxToken bounds the token for an upstream.
const maxToken = 4 << 10

// sameName is what is wrong with a mirror that is called as the registry is.
const sameName = "this registry is called so itself, and one configuration of cargo cannot hold two registries of one name"

// samePolicy reports whether two policies say the same.
func samePolicy(a, b wire.MirrorPolicy) bool {
	one, err1 := json.Marshal(a)
	two, err2 := json.Marshal(b)
	return err1 == nil && err2 == nil && bytes.Equal(one, two)
}

// Put makes a mirror, or makes it what change says, and reports whether that is anything new, and what comes of it that who asked may not expect. Of a mirror
// that gets another upstream nothing is kept of what the index of the old one said: see adopt.
func (m *Manager) Put(ctx context.Context, by catalog.Actor, name string, change wire.MirrorChange) (changed bool, warnings []string, err error) {
	if err := CheckName(name); err != nil {
		return false, nil, fault.New(fault.Invalid, "%v", err)
	}
	before := m.Mirror(name)
	if before == nil && name == m.Name {
		return false, nil, fault.New(fault.Invalid, "mirror name %q: %s; choose another, such as %s-mirror", name, sameName, name)
	}
	spec := WithDefaults(change.Spec)
	err = Check(spec, m.URL)
	if _, perr := policy.Compile(spec.Policy); perr != nil {
		if _, taken := policy.Taken(spec.Policy); taken == nil && before != nil && samePolicy(before.Spec.Policy, spec.Policy) {
			warnings = append(warnings, fmt.Sprintf("mirror `%s`: its policy contradicts itself, and holds as it is, since it was taken before: %v", name, perr))
		} else {
			err = errors.Join(err, perr)
		}
	}
	if t := change.Token; t != nil && (len(*t) > maxToken || !printable(*t)) {
		err = errors.Join(err, errors.New("token: it must be at most 4096 printable ASCII characters"))
	}
	if err != nil {
		return false, nil, fault.New(fault.Invalid, "%v", err)
	}
	text, err := json.Marshal(spec)
	if err != nil {
		return false, nil, err
	}
	was := "" // the upstream before, if it was another one
	row, err := m.Catalog.PutMirror(ctx, by, name, string(text), func(old catalog.Mirror) (token string, moves bool) {
		if was = otherUpstream(old, spec); was == "" {
			token = old.Token // of another registry's it would not be its business
		}
		if change.Token != nil {
			token = *change.Token
		}
		return token, was != ""
	})
	if err != nil || before != nil && before.Row.ID == row.ID && before.Row.Generation == row.Generation {
		return false, nil, err
	}
	if err := m.suspended(ctx, before, row, spec); err != nil {
		return true, nil, err
	}
	if err := m.Reload(ctx); err != nil {
		return true, nil, err
	}
	if was != "" {
		warnings = append(warnings, moved(row, spec, was))
	}
	if name == m.Name { // it was made before this was refused, or before the registry was called so
		warnings = append(warnings, fmt.Sprintf("mirror `%s`: %s; another mirror in its place would have another name", name, sameName))
	}
	if live := m.Mirror(name); live != nil && (before == nil || live.up != before.up) && live.asksByItself() {
		if why := live.greet(ctx); why != "" {
			warnings = append(warnings, why)
		}
	}
	if live := m.Mirror(name); live != nil {
		if why := live.consult(ctx); why != "" {
			warnings = append(warnings, why)
		}
		if a := live.Spec.Policy.Advisories; a != nil && advisory.Unguarded(a.Source) {
			warnings = append(warnings, fmt.Sprintf("mirror `%s`: the advisories of %s come over http, and who is on the way can leave some out: https:// or a folder is better", name, a.Source))
		}
	}
	return true, warnings, nil
}

func printable(s string) bool {
	for _, c := range []byte(s) {
		if c < 0x20 || c > 0x7e {
			return false
		}
	}
	return true
}

// Delete removes a mirror with all that it cached. The bytes go in the background; what a crash leaves of them, the next cleaning removes.
func (m *Manager) Delete(ctx context.Context, by catalog.Actor, name string) error {
	if err := m.Catalog.DeleteMirror(ctx, by, name); err != nil {
		return err
	}
	if err := m.Reload(ctx); err != nil {
		return err
	}
	m.work.Go(func() {
		if err := m.removeUnknown(m.life, storage.MirrorPrefix(name), 0, nil); err != nil && m.life.Err() == nil {
			m.Log.Warn("The archives of a deleted mirror cannot be removed now; it is tried again", "mirror", name, "error", err)
		}
	})
	return nil
}

// RequestSync has a mirror be synced soon, by one of the servers.
func (m *Manager) RequestSync(ctx context.Context, by catalog.Actor, name string) error {
	if err := m.Catalog.RequestMirrorSync(ctx, by, name); err != nil {
		return err
	}
	return m.Reload(ctx)
}

// find is Mirror with an error that says that there is none.
func (m *Manager) find(ctx context.Context, name string) (*Mirror, error) {
	if found := m.Mirror(name); found != nil {
		return found, nil
	}
	if _, err := m.Catalog.Mirror(ctx, name); err != nil {
		return nil, err
	}
	if err := m.Reload(ctx); err != nil { // another server has just made it
		return nil, err
	}
	if found := m.Mirror(name); found != nil {
		return found, nil
	}
	return nil, fault.New(fault.Unavailable, "mirror `%s` cannot be served as it is; the server's log says why", name)
}

// PutLockfile gives a mirror a lockfile, under a name.
func (m *Manager) PutLockfile(ctx context.Context, by catalog.Actor, mirror, name string, text []byte) (out wire.MirrorLockfile, err error) {
	found, err := m.find(ctx, mirror)
	if err != nil {
		return out, err
	}
	parsed, err := lockfile.Parse(text, found.sources())
	if err != nil {
		return out, fault.New(fault.Invalid, "lockfile `%s`: %v", name, err)
	}
	row, err := lockfileRow(name, text, parsed)
	if err != nil {
		return out, err
	}
	if err := m.Catalog.PutMirrorLockfile(ctx, by, mirror, row); err != nil {
		return out, err
	}
	return lockfileWire(row), m.Reload(ctx)
}

// sources are what lockfiles call the upstream of a mirror.
func (m *Mirror) sources() lockfile.Sources {
	if m.Spec.Upstream.Index == wire.CratesIOIndex {
		return lockfile.Sources{lockfile.CratesIO, wire.CratesIOIndex}
	}
	// Cargo can be told that another registry is crates.io, and a mirror of such a registry is asked for crates.io's crates.
	return lockfile.Sources{m.Spec.Upstream.Index, lockfile.CratesIO}
}

type pin [3]string // crate, version, checksum

func lockfileRow(name string, text []byte, l lockfile.Lockfile) (row catalog.MirrorLockfile, err error) {
	sum := sha256.Sum256(text)
	pins := make([]pin, 0, len(l.Packages))
	for _, p := range l.Packages {
		pins = append(pins, pin{p.Name, p.Version, p.SHA256})
	}
	skipped := struct {
		Total int                  `json:"total"`
		First []wire.MirrorSkipped `json:"first"`
	}{Total: len(l.Skipped), First: []wire.MirrorSkipped{}}
	for _, s := range l.Skipped[:min(len(l.Skipped), maxProblems)] {
		skipped.First = append(skipped.First, wire.MirrorSkipped{Crate: s.Name, Version: s.Version, Reason: s.Reason})
	}
	a, err := json.Marshal(pins)
	b, berr := json.Marshal(skipped)
	return catalog.MirrorLockfile{Name: name, SHA256: hex.EncodeToString(sum[:]), Pins: string(a), Skipped: string(b)}, errors.Join(err, berr)
}

func lockfileWire(row catalog.MirrorLockfile) wire.MirrorLockfile {
	out := wire.MirrorLockfile{Name: row.Name, SHA256: row.SHA256, Skipped: []wire.MirrorSkipped{}}
	var pins []pin
	var skipped struct {
		Total int                  `json:"total"`
		First []wire.MirrorSkipped `json:"first"`
	}
	if json.Unmarshal([]byte(row.Pins), &pins) == nil && json.Unmarshal([]byte(row.Skipped), &skipped) == nil { // we wrote them
		out.Versions, out.SkippedTotal, out.Skipped = len(pins), skipped.Total, append(out.Skipped, skipped.First...)
	}
	return out
}

// DeleteLockfile takes a lockfile from a mirror. What it pinned may be evicted from then on.
func (m *Manager) DeleteLockfile(ctx context.Context, by catalog.Actor, mirror, name string) error {
	if err := m.Catalog.DeleteMirrorLockfile(ctx, by, mirror, name); err != nil {
		return err
	}
	return m.Reload(ctx)
}

// Cache fetches one version now, whatever the mode. What the policy denies is refused.
func (m *Manager) Cache(ctx context.Context, mirror, name, num string) (out wire.MirroredCrate, err error) {
	found, err := m.find(ctx, mirror)
	if err != nil {
		return out, err
	}
	row, fetched, err := found.ensure(ctx, name, num, catalog.NotPinned, true, found.beside)
	if err != nil {
		return out, err
	}
	if fetched { // whoever is told so finds it in the index
		m.writer.settled(ctx)
		found.drop(indexKey(name))
		if known, err := m.Catalog.MirrorCrate(ctx, found.Row.ID, row.Name, row.Num); err != nil || known == nil {
			m.crates.Invalidate(found.fetchKey(row.Name, row.Num))
			return out, errors.Join(err, notStored(row.Name, row.Num))
		}
	}
	return wire.MirroredCrate{Crate: row.Name, Version: row.Num, SHA256: row.SHA256, Size: row.Size, Fetched: fetched}, nil
}

// notStored is the error for an archive that storage or catalog did not take.
func notStored(name, num string) error {
	return fault.New(fault.Unavailable, "the archive of %s %s could not be stored; the server's log says why", name, num)
}

// forgetTries is how often an archive is looked at again that was used just before it was to go.
const forgetTries = 5

// ForgetCrate drops what a mirror cached of a crate. What of it the mirror is to have is fetched again by a sync, which begins by itself; of a mirror that is
// suspended, the status says that it lacks.
func (m *Manager) ForgetCrate(ctx context.Context, by catalog.Actor, mirror, name string) error {
	found, err := m.find(ctx, mirror)
	if err != nil {
		return err
	}
	if !checkName(name) {
		return noName(name)
	}
	if err := found.fetched(ctx, name); err != nil { // what is on its way now is to be forgotten, too
		return err
	}
	m.writer.settled(ctx)
	e, err := found.load(ctx, indexKey(name))
	unknown := err == nil && e == nil
	if err == nil && e != nil {
		for _, l := range e.lines {
			name = l.Name // as upstream spells it
			break
		}
	}
	rows, err := m.Catalog.MirrorCratesOf(ctx, found.Row.ID, name)
	if err != nil {
		return err
	}
	if unknown && len(rows) == 0 && !found.problems.about(name) {
		return fault.New(fault.NotFound, "mirror `%s` has nothing cached of crate `%s`, so there is nothing to forget", mirror, name)
	}
	wanted, err := found.forgetAll(ctx, name, rows)
	var lost func(catalog.Mirror) (bool, string)
	if wanted > 0 {
		lost = func(row catalog.Mirror) (bool, string) { return lack(row, name, wanted) }
	}
	if err != nil && wanted == 0 {
		return err
	}
	noting, cancel := found.detached(refreshTime) // what went is told, also when the client goes away, or the storage does not remove a file
	defer cancel()
	if err := errors.Join(err, m.Catalog.ForgetMirrorIndex(noting, by, mirror, indexKey(name), lost)); err != nil {
		return err
	}
	found.problems.dropAbout(name)
	found.tellStatusNow()
	return m.Reload(ctx, mirror)
}

// forgetAll removes archives of a crate, and gives the number of those that were pinned, also beside an error.
func (m *Mirror) forgetAll(ctx context.Context, name string, rows []catalog.MirrorCrate) (pinned int64, err error) {
	for try := 0; len(rows) > 0 && try < forgetTries; try++ { // the use of one may be noted in between
		for _, row := range rows {
			gone, err := m.evict(ctx, 0, row)
			if gone && row.Pinned != catalog.NotPinned {
				pinned++
			}
			if err != nil {
				return pinned, err
			}
		}
		if rows, err = m.Catalog.MirrorCratesOf(ctx, m.Row.ID, name); err != nil {
			return pinned, err
		}
	}
	return pinned, nil
}

// lack says of a mirror that has no longer what it is to have of a crate, some archives, whether it is to be synced now: unless it is suspended, when its status
// is to tell.
func lack(row catalog.Mirror, name string, archives int64) (sync bool, status string) {
	var spec wire.MirrorSpec
	s := readSync(row.Status)
	if err := json.Unmarshal([]byte(row.Spec), &spec); err != nil || !spec.Suspend || s.Running { // one that runs may have counted them
		return true, ""
	}
	s.Done = max(s.Done-archives, 0)
	s.Message = fmt.Sprintf("crate %s was forgotten, of which the mirror is to keep versions; `crateyard mirror sync %s` has it fetched again, or the next sync when the mirror is resumed", name, row.Name)
	text, err := json.Marshal(s)
	return err != nil, string(text)
}

// evict removes one stored archive, unless it was used in the meantime, or the mirror is of another generation than the given one by now; 0: whatever it is. It
// reports whether it did.
func (m *Mirror) evict(ctx context.Context, generation int64, row catalog.MirrorCrate) (bool, error) {
	m.crates.Invalidate(m.fetchKey(row.Name, row.Num))
	gone, err := m.Catalog.DeleteMirrorCrate(ctx, m.Row.ID, generation, row)
	if err != nil || !gone {
		return false, err
	}
	m.crates.Invalidate(m.fetchKey(row.Name, row.Num))
	return true, m.Store.Delete(ctx, storage.MirrorKey(m.Name(), row.Name, row.Num, row.SHA256))
}

// noteWarning counts and logs that something is given out although a rule warns of it. The same is logged once an hour.
func (m *Mirror) noteWarning(d policy.Denial, name string) {
	m.Metrics.Warned(m.Name(), d.Rule)
	key := "warned\x00" + m.Name() + "\x00" + name + "\x00" + d.Version + "\x00" + d.Rule
	if _, known := m.denials.GetIfPresent(key); known {
		return
	}
	m.denials.Set(key, struct{}{})
	m.Log.Warn("Given out although the policy warns of it", "mirror", m.Name(), "crate", name, "version", d.Version, "rule", d.Rule, "reason", d.Reason)
}

// NoteDenial counts, logs and records what a policy kept from somebody. The same denial of the same one is recorded once an hour.
func (m *Mirror) NoteDenial(by catalog.Actor, d *Denied) {
	m.Metrics.Denied(d.Mirror, d.Rule)
	key := d.Mirror + "\x00" + d.Crate + "\x00" + d.Version + "\x00" + d.Rule + "\x00" + by.User + "\x00" + by.Address
	if _, known := m.denials.GetIfPresent(key); known {
		return
	}
	m.denials.Set(key, struct{}{})
	m.Log.Info("Denied by policy", "mirror", d.Mirror, "crate", d.Crate, "version", d.Version, "rule", d.Rule, "user", by.User, "address", by.Address)
	after, err := json.Marshal(map[string]string{"rule": d.Rule, "reason": d.Err.Detail})
	if err != nil {
		return // texts always marshal
	}
	m.writer.denied(catalog.Record{At: time.Now(), Actor: by.User, TokenID: by.TokenID, Token: by.TokenName, Address: by.Address,
		Action: catalog.ActionMirrorDeny, Crate: d.Crate, Version: d.Version, Subject: d.Mirror, After: after})
}
