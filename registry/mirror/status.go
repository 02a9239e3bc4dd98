package mirror

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"time"

	"github.com/crateyard/crateyard/registry/catalog"
	"github.com/crateyard/crateyard/registry/cron"
	"github.com/crateyard/crateyard/registry/wire"
)

// problemsNote is where the servers of a registry tell each other what is wrong with a mirror.
const problemsNote = "mirror-problems/"

// List gives all mirrors and how they stand.
func (m *Manager) List(ctx context.Context) ([]wire.Mirror, error) {
	rows, err := m.Catalog.Mirrors(ctx)
	if err != nil {
		return nil, err
	}
	list := make([]wire.Mirror, 0, len(rows))
	for _, row := range rows {
		out, err := m.describe(ctx, row)
		if err != nil {
			return nil, err
		}
		list = append(list, out)
	}
	return list, nil
}

// Get gives a mirror and how it stands.
func (m *Manager) Get(ctx context.Context, name string) (wire.Mirror, error) {
	row, err := m.Catalog.Mirror(ctx, name)
	if err != nil {
		return wire.Mirror{}, err
	}
	return m.describe(ctx, row)
}

func (m *Manager) describe(ctx context.Context, row catalog.Mirror) (out wire.Mirror, err error) {
	out = wire.Mirror{Name: row.Name, IndexURL: wire.MirrorIndexURL(m.URL, row.Name), HasToken: row.Token != "", CreatedAt: row.CreatedAt, Generation: row.Generation,
		Lockfiles: []wire.MirrorLockfile{}}
	if err := json.Unmarshal([]byte(row.Spec), &out.Spec); err != nil {
		return out, err
	}
	locks, err := m.Catalog.MirrorLockfiles(ctx, row.ID)
	if err != nil {
		return out, err
	}
	for _, l := range locks {
		out.Lockfiles = append(out.Lockfiles, lockfileWire(l))
	}
	n, err := m.Catalog.CountMirror(ctx, row.ID)
	if err != nil {
		return out, err
	}
	out.Status = wire.MirrorStatus{IndexFiles: n.IndexFiles, Crates: n.Crates, Bytes: n.Bytes, Sync: readSync(row.Status)}
	if s := &out.Status.Sync; asked(row, *s) {
		s.Requested = true
	}
	if out.Status.Shadowed, err = m.Catalog.Shadowed(ctx, row.ID, maxProblems); err != nil {
		return out, err
	}
	if !out.Spec.Suspend {
		out.Status.Sync.Next = nextSync(out.Spec.Schedule, out.Status.Sync)
	}
	problems, err := m.knownProblems(ctx, row.Name)
	if err != nil {
		return out, err
	}
	out.Status.Upstream = wire.Backend{Backend: strings.TrimPrefix(out.Spec.Upstream.Index, "sparse+"), Ready: true}
	if live := m.Mirror(row.Name); live != nil && live.Row.ID == row.ID {
		if h := live.up.health.Load(); h != nil {
			out.Status.Upstream.Ready, out.Status.Upstream.Message = h.err == "", h.err
		}
		if at := live.up.answered.Load(); at != 0 {
			t := time.Unix(0, at).UTC()
			out.Status.UpstreamAnswered = &t
		}
		if a := live.Spec.Policy.Advisories; a != nil {
			out.Status.Advisories = &wire.Backend{Backend: a.Source, Ready: live.advisories.Load() != nil, Message: m.databases.why(a.Source)}
		}
		for _, p := range live.problems.all() {
			if !slices.Contains(problems, p) {
				problems = append(problems, p)
			}
		}
	}
	out.Status.Problems = problems[max(0, len(problems)-maxProblems):]
	return out, nil
}

func readSync(status string) (s wire.MirrorSync) {
	if json.Unmarshal([]byte(status), &s) != nil { // empty, or of another version
		return wire.MirrorSync{}
	}
	return s
}

// nextSync is when the next sync begins by itself: by the schedule, or because the last one failed; nil: it does not.
func nextSync(schedule string, last wire.MirrorSync) *time.Time {
	var next time.Time
	if !last.Running {
		next = retryAt(last)
	}
	if sched, err := cron.Parse(schedule); schedule != "" && err == nil {
		if at := sched.Next(time.Now()); next.IsZero() || at.Before(next) {
			next = at
		}
	}
	if next.IsZero() {
		return nil
	}
	return &next
}

func (m *Manager) knownProblems(ctx context.Context, mirror string) (list []string, err error) {
	notes, err := m.Catalog.Notes(ctx)
	if err != nil {
		return nil, err
	}
	return readProblems(notes[problemsNote+mirror]), nil
}

// readProblems reads a note; one of another version is none.
func readProblems(note string) (list []string) {
	if json.Unmarshal([]byte(note), &list) != nil {
		return nil
	}
	return list
}

// tellStatus tells the other servers, in the background, what is wrong with a mirror.
func (m *Mirror) tellStatus() {
	m.work.Go(m.tellStatusNow)
}

func (m *Mirror) tellStatusNow() {
	ctx, cancel := m.detached(10 * time.Second)
	defer cancel()
	m.problems.telling.Lock() // what is told last is what is so
	defer m.problems.telling.Unlock()
	text, err := json.Marshal(m.problems.all())
	if err == nil {
		err = m.Catalog.SetNote(ctx, problemsNote+m.Name(), string(text))
	}
	if err != nil && ctx.Err() == nil {
		m.Log.Warn("Cannot tell the other servers what is wrong with a mirror", "mirror", m.Name(), "error", err)
	}
}

// dropPrefix takes back what begins so, and reports whether there was any.
func (p *problems) dropPrefix(prefix string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	before := len(p.list)
	p.list = slices.DeleteFunc(p.list, func(text string) bool { return strings.HasPrefix(text, prefix) })
	return len(p.list) < before
}

// about reports whether anything is said of a crate.
func (p *problems) about(crate string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.ContainsFunc(p.list, func(text string) bool { return strings.Contains(text, " "+crate+" ") })
}

// dropAbout takes back what was said of a crate.
func (p *problems) dropAbout(crate string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.list = slices.DeleteFunc(p.list, func(text string) bool { return strings.Contains(text, " "+crate+" ") })
}
