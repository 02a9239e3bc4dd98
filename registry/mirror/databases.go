package mirror

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/crateyard/crateyard/registry/fault"
	"github.com/crateyard/crateyard/registry/mirror/advisory"
	"github.com/crateyard/crateyard/registry/mirror/advisory/source"
	"github.com/crateyard/crateyard/registry/wire"
)

const (
	adviseEvery = time.Hour       // how often a database of advisories is read again,
	adviseLocal = time.Minute     // and one in a folder, which costs nobody anything
	adviseAgain = 5 * time.Minute // after a failure
	adviseFirst = 5 * time.Second // after it was opened: it may be the copy of an earlier run
)

// databases are the databases of advisories that mirrors name, each read once for all of them.
type databases struct {
	dir  string
	mu   sync.Mutex // held while one is read, which may take long
	open map[string]*source.Source
	due  map[string]time.Time
	last map[string]error // how the last try to read each ended

	read  sync.Map // the newest of each address, *advisory.DB
	wrong sync.Map // why the last try to read each failed, for people
	lacks sync.Map // what could not be read of each, for people
}

func newDatabases(dir string) *databases {
	return &databases{dir: dir, open: map[string]*source.Source{}, due: map[string]time.Time{}, last: map[string]error{}}
}

// known gives a database as it was last read, without waiting; nil: it never was.
func (d *databases) known(address string) *advisory.DB {
	db, _ := d.read.Load(address)
	known, _ := db.(*advisory.DB)
	return known
}

// why says why a database could not be read when that was last tried, without waiting; empty: it could, or nobody has tried yet.
func (d *databases) why(address string) string {
	text, _ := d.wrong.Load(address)
	why, _ := text.(string)
	return why
}

// get gives a database, which is read when nobody has yet, or is due to be read again. Where that fails, what was there before is given with the error,
// until it can be read again; nil: there was nothing.
func (d *databases) get(ctx context.Context, address string) (db *advisory.DB, err error) {
	d.mu.Lock()
	defer d.mu.Unlock() // who comes second waits for the first
	defer func() {
		if db != nil {
			d.read.Store(address, db)
			d.lacks.Store(address, lacking(d.open[address].Problems()))
		}
		if d.last[address] = err; err == nil {
			d.wrong.Delete(address)
		} else if ctx.Err() == nil {
			d.wrong.Store(address, people(err))
		}
	}()
	s := d.open[address]
	if s != nil && time.Now().Before(d.due[address]) {
		return s.DB(), d.last[address]
	}
	if s == nil {
		if s, err = source.Open(ctx, address, d.dir); err != nil {
			return nil, err
		}
		d.open[address] = s
		d.due[address] = time.Now().Add(adviseFirst)
		return s.DB(), nil
	}
	_, err = s.Update(ctx)
	again := adviseEvery
	switch {
	case advisory.IsFolder(address):
		again = adviseLocal
	case err != nil:
		again = adviseAgain
	}
	d.due[address] = time.Now().Add(again)
	return s.DB(), err
}

// lack says what could not be read of a database, without waiting; empty: nothing.
func (d *databases) lack(address string) string {
	text, _ := d.lacks.Load(address)
	lack, _ := text.(string)
	return lack
}

// lacking puts into words what of a database could not be read; empty: nothing.
func lacking(problems []error) string {
	if len(problems) == 0 {
		return ""
	}
	const told = 3
	texts := make([]string, 0, told)
	for _, p := range problems[:min(told, len(problems))] {
		texts = append(texts, people(p))
	}
	more := ""
	if n := len(problems) - told; n > 0 {
		more = fmt.Sprintf("; and %d more", n)
	}
	return strings.Join(texts, "; ") + more
}

// renew has a database be read again soon, and not when it is due.
func (d *databases) renew(address string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.due, address)
}

// aboutAdvisories begins what is said of a database that is of no use.
func aboutAdvisories(source string) string { return "the advisories of " + source + " " }

// warnsOnly reports whether what advisories are about is given out, so that nobody waits for them.
func warnsOnly(a *wire.MirrorAdvisories) bool { return a.Action == "Warn" }

// unread says, to those who ask for something that nothing is known of before the advisories are read, why they are not.
func (m *Mirror) unread(source string) error {
	if why := m.databases.why(source); why != "" {
		return fault.New(fault.Unavailable, "mirror `%s` gives nothing out before it has read the advisories of %s, and they cannot be read (%s): until somebody mends that, or takes "+
			"policy.advisories from the mirror, trying again is of no use", m.Name(), source, why)
	}
	return fault.New(fault.Unavailable, "mirror `%s` gives nothing out before it has read the advisories of %s; try again in a moment", m.Name(), source)
}

// consult reads advisories that were never read, so that a wrong address is seen at once. It says why there are none, or that they have not come yet.
func (m *Mirror) consult(ctx context.Context) string {
	a := m.Spec.Policy.Advisories
	if a == nil {
		return ""
	}
	if m.advisories.Load() != nil {
		return m.incomplete(a.Source)
	}
	done := make(chan struct{})
	m.work.Go(func() { m.advise(m.life); close(done) })
	select {
	case <-done:
	case <-time.After(greetWait):
	case <-ctx.Done():
		return ""
	}
	if m.advisories.Load() != nil {
		return m.incomplete(a.Source)
	}
	why := m.databases.why(a.Source)
	if why == "" {
		why = fmt.Sprintf("they take more than %s", greetWait)
	}
	means := "gives nothing out before it has read"
	if warnsOnly(a) {
		means = "warns of nothing before it has read"
	}
	return fmt.Sprintf("mirror `%s` is there, and %s the advisories of %s (%s): check policy.advisories.source", m.Name(), means, a.Source, why)
}

// incomplete says what could not be read of the advisories of a mirror; empty: nothing.
func (m *Mirror) incomplete(source string) string {
	lack := m.databases.lack(source)
	if lack == "" {
		return ""
	}
	return fmt.Sprintf("mirror `%s`: %shave faults: %s", m.Name(), aboutAdvisories(source), lack)
}

// advise brings the advisories of a mirror up to date.
func (m *Mirror) advise(ctx context.Context) {
	a := m.Spec.Policy.Advisories
	if a == nil {
		return
	}
	db, err := m.databases.get(ctx, a.Source)
	if err != nil && ctx.Err() == nil {
		text := aboutAdvisories(a.Source) + "cannot be read: " + people(err) + "; "
		switch {
		case db != nil:
			text += "those from before hold"
		case warnsOnly(a):
			text += "so no version is warned of"
		default:
			text += "nothing is given out before they are"
		}
		if !m.problems.has(text) {
			m.problems.dropPrefix(aboutAdvisories(a.Source))
			m.problems.add(text)
			m.Log.Error("Advisories cannot be read", "mirror", m.Name(), "source", a.Source, "error", err)
			m.tellStatus()
		}
	}
	if err == nil {
		m.tellLacking(a.Source)
	}
	if db != nil && m.advisories.Swap(db) != db {
		m.epoch.Add(1)
		m.Log.Info("Read advisories", "mirror", m.Name(), "source", a.Source, "advisories", db.Len())
	}
}

// tellLacking tells people what of a database that was read could not be read.
func (m *Mirror) tellLacking(source string) {
	lack := m.databases.lack(source)
	text := aboutAdvisories(source) + "have faults: " + lack
	if lack != "" && m.problems.has(text) {
		return
	}
	changed := m.problems.dropPrefix(aboutAdvisories(source))
	if lack != "" {
		changed = m.problems.add(text)
		m.Log.Error("Advisories cannot be read", "mirror", m.Name(), "source", source, "problems", lack)
	}
	if changed {
		m.tellStatus()
	}
}
