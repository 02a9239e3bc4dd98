package advisory

import (
	"cmp"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"reflect"
	"slices"
	"strings"

	"github.com/crateyard/crateyard/registry/crate"
)

// Limits of a database.
const (
	MaxFiles    = 100_000 // advisories; RustSec has some 1,200
	MaxBytes    = 256 << 20
	maxProblems = 100 // that are told; the others are counted
)

// Root is the folder of a database that is read, below its root.
const Root = "crates"

// DB is a database. It does not change once it is loaded; any number may read it at once. A nil *DB has no advisories.
type DB struct {
	crates map[string][]*Advisory // by canonical name; ordered by id
	count  int
	broken map[string]bool // files that could not be read, and folders of crates
}

// Load reads the database in a folder. What cannot be read is told, each with its path, and the rest goes on; the DB is nil when
// there is no database at all: no folder crates, or not one advisory in it.
func Load(fsys fs.FS) (*DB, []error) {
	l := loader{}
	folders, err := fs.ReadDir(fsys, Root)
	if err != nil {
		return nil, []error{fmt.Errorf("this is no advisory database: %w", err)}
	}
	for _, folder := range folders {
		files, err := fs.ReadDir(fsys, path.Join(Root, folder.Name()))
		if err != nil {
			if folder.IsDir() {
				l.problem(path.Join(Root, folder.Name()), err)
				l.lost(path.Join(Root, folder.Name()))
			}
			continue
		}
		for _, f := range files {
			if name := path.Join(Root, folder.Name(), f.Name()); IsAdvisory(name) && !l.full() {
				l.addFile(fsys, name)
			}
		}
	}
	return l.finish()
}

// LoadFiles is Load for files that are in memory, by their paths below the root of the database.
func LoadFiles(files map[string][]byte) (*DB, []error) {
	l := loader{}
	for _, name := range slices.Sorted(maps.Keys(files)) {
		if IsAdvisory(name) && !l.full() {
			l.add(name, files[name])
		}
	}
	return l.finish()
}

// IsAdvisory reports whether the file at a path below the root of a database is read.
func IsAdvisory(name string) bool {
	folder, base := path.Split(name)
	ext := path.Ext(base)
	return path.Dir(path.Clean(folder)) == Root && (ext == ".md" || ext == ".toml") && !strings.HasPrefix(base, ".") && !strings.HasPrefix(base, "RUSTSEC-0000-0000.")
}

// loader collects advisories, within the limits.
type loader struct {
	crates   map[string][]*Advisory
	problems []error
	untold   int
	files    int
	read     int // of them, those that could be read; withdrawn ones, too
	bytes    int64
	isFull   bool
	broken   map[string]bool
}

func (l *loader) problem(name string, err error) {
	if len(l.problems) == maxProblems {
		l.untold++
		return
	}
	l.problems = append(l.problems, fmt.Errorf("%s: %w", name, err))
}

// lost notes a file, or a folder, of which nothing is known.
func (l *loader) lost(name string) {
	if l.broken == nil {
		l.broken = map[string]bool{}
	}
	l.broken[name] = true
}

func (l *loader) full() bool {
	if !l.isFull && (l.files >= MaxFiles || l.bytes >= MaxBytes) {
		l.isFull = true
		l.problems = append(l.problems, fmt.Errorf("the database has more than %d advisories, or %d MiB: the others are not read", MaxFiles, MaxBytes>>20))
	}
	return l.isFull
}

func (l *loader) addFile(fsys fs.FS, name string) {
	info, err := fs.Stat(fsys, name)
	switch {
	case err != nil:
		l.problem(name, err)
		l.lost(name)
		return
	case !info.Mode().IsRegular():
		return // a pipe would be read for ever
	case info.Size() > MaxFile:
		l.problem(name, fmt.Errorf("it has %d bytes, the limit is %d", info.Size(), MaxFile))
		l.lost(name)
		return
	}
	data, err := fs.ReadFile(fsys, name)
	if err != nil {
		l.problem(name, err)
		l.lost(name)
		return
	}
	l.add(name, data)
}

func (l *loader) add(name string, data []byte) {
	l.files++
	l.bytes += int64(len(data))
	a, err := parse(name, data)
	if err != nil {
		l.problem(name, err)
	}
	if err == nil || a != nil {
		l.read++
	} else {
		l.lost(name)
	}
	if a == nil {
		return
	}
	a.file = name
	if l.crates == nil {
		l.crates = map[string][]*Advisory{}
	}
	key := crate.Canonical(a.Package)
	l.crates[key] = append(l.crates[key], a)
}

func (l *loader) finish() (*DB, []error) {
	if l.untold > 0 {
		l.problems = append(l.problems, fmt.Errorf("and %d more", l.untold))
	}
	if l.read == 0 {
		return nil, append(l.problems, fmt.Errorf("this is no advisory database: its folder %s has no advisory that could be read", Root))
	}
	db := &DB{crates: l.crates, broken: l.broken}
	db.order()
	return db, l.problems
}

func (db *DB) order() {
	db.count = 0
	for _, list := range db.crates {
		slices.SortStableFunc(list, func(a, b *Advisory) int { return cmp.Compare(a.ID, b.ID) })
		db.count += len(list)
	}
}

// With is the database with what an older one has of files that cannot be read any more: one that is half written, or was broken by an edit, takes no
// advisory away.
func (db *DB) With(old *DB) *DB {
	out := &DB{crates: map[string][]*Advisory{}, broken: db.broken}
	for name, list := range old.crates {
		for _, a := range list {
			if db.broken[a.file] || db.broken[path.Dir(a.file)] {
				out.crates[name] = append(out.crates[name], a)
			}
		}
	}
	if len(out.crates) == 0 {
		return db
	}
	for name, list := range db.crates {
		out.crates[name] = append(slices.Clone(list), out.crates[name]...)
	}
	out.order()
	return out
}

// Same reports whether two databases say the same.
func (db *DB) Same(other *DB) bool { return reflect.DeepEqual(db.crates, other.crates) }

// Len is the number of advisories.
func (db *DB) Len() int {
	if db == nil {
		return 0
	}
	return db.count
}

// Of gives the advisories about any version of a crate, by id. Neither the slice nor what it points at may be changed.
func (db *DB) Of(name string) []*Advisory {
	if db == nil {
		return nil
	}
	return db.crates[crate.Canonical(name)]
}

// About gives the advisories about one version of a crate, by id. Informational ones are among them.
func (db *DB) About(name string, v crate.Version) []Advisory {
	var about []Advisory
	for _, a := range db.Of(name) {
		if a.Affects(v) {
			about = append(about, *a)
		}
	}
	return about
}
