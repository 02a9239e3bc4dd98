package mirror

import (
	"context"
	"sync"
	"time"

	"github.com/crateyard/crateyard/registry/mirror/advisory"
	"github.com/crateyard/crateyard/registry/mirror/advisory/source"
)

const (
	adviseEvery = 6 * time.Hour   // how often a database of advisories is read again
	adviseAgain = 5 * time.Minute // after a failure
	adviseFirst = 5 * time.Second // after it was opened: it may be the copy of an earlier run
)

// databases are the databases of advisories that mirrors name, each read once for all of them.
type databases struct {
	dir  string
	mu   sync.Mutex // held while one is read, which may take long
	open map[string]*source.Source
	due  map[string]time.Time

	read sync.Map // the newest of each address, *advisory.DB
}

func newDatabases(dir string) *databases {
	return &databases{dir: dir, open: map[string]*source.Source{}, due: map[string]time.Time{}}
}

// known gives a database as it was last read, without waiting; nil: it never was.
func (d *databases) known(address string) *advisory.DB {
	db, _ := d.read.Load(address)
	known, _ := db.(*advisory.DB)
	return known
}

// get gives a database, which is read when nobody has yet, or is due to be read again. Where that fails, what was there before is given with the error;
// nil: there was nothing.
func (d *databases) get(ctx context.Context, address string) (db *advisory.DB, err error) {
	d.mu.Lock()
	defer d.mu.Unlock() // who comes second waits for the first
	defer func() {
		if db != nil {
			d.read.Store(address, db)
		}
	}()
	s := d.open[address]
	if s != nil && time.Now().Before(d.due[address]) {
		return s.DB(), nil
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
	if err != nil {
		again = adviseAgain
	}
	d.due[address] = time.Now().Add(again)
	return s.DB(), err
}

// aboutAdvisories begins what is said of a database that is of no use.
func aboutAdvisories(source string) string { return "the advisories of " + source + " " }

// advise brings the advisories of a mirror up to date.
func (m *Mirror) advise(ctx context.Context) {
	a := m.Spec.Policy.Advisories
	if a == nil {
		return
	}
	db, err := m.databases.get(ctx, a.Source)
	if err != nil && ctx.Err() == nil {
		text := aboutAdvisories(a.Source) + "cannot be read: " + people(err) + "; those from before hold, if there are any"
		if m.problems.add(text) {
			m.Log.Error("Advisories cannot be read", "mirror", m.Name(), "source", a.Source, "error", err)
			m.tellStatus()
		}
	}
	if err == nil && m.problems.dropPrefix(aboutAdvisories(a.Source)) {
		m.tellStatus()
	}
	if db != nil && m.advisories.Swap(db) != db {
		m.epoch.Add(1)
		m.Log.Info("Read advisories", "mirror", m.Name(), "source", a.Source, "advisories", db.Len())
	}
}
