// Package source gets an advisory database and keeps it fresh, from a folder of the server or from a git repository over HTTP.
//
// Of a repository, the newest commit of its HEAD is fetched, without history, and kept in a folder of the caller's as one file:
// the pack as it came, named after the commit. Every object in a pack is found by the hash of its content, so a file
// that is damaged does not load, and is fetched again. Nothing is checked out, so links in the repository lead nowhere. A new
// commit replaces the file by a rename, once its database is loaded: an update that fails leaves the database, in memory and on disk, that was
// there. A server that starts while the repository is away has the database of last time.
//
// What a repository can make us take up is bounded: bytes sent, objects, bytes when unpacked, time.
package source

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/crateyard/crateyard/registry/mirror/advisory"
)

// updateTimeout bounds one update over the network.
const updateTimeout = 5 * time.Minute

// Source is a database that can be updated. Any number may use it at once.
type Source struct {
	address string
	repo    *repository // nil: a folder
	state   atomic.Pointer[state]
	updates sync.Mutex
}

type state struct {
	db       *advisory.DB
	problems []error
	commit   string
}

// Open gives the database that source names (see advisory.CheckSource). That of a folder is read. That of a repository is the one in
// cacheDir, if it was fetched before; then no network is used, and whether there is a newer one is for Update to find out. Otherwise it is
// fetched. cacheDir is made where it is missing; several sources may share it. An error means that there is no database, and that it may help
// to try again later.
func Open(ctx context.Context, source, cacheDir string) (*Source, error) {
	if err := advisory.CheckSource(source); err != nil {
		return nil, fmt.Errorf("advisory database: %w", err)
	}
	s := &Source{address: source}
	if !advisory.IsFolder(source) {
		repo, err := newRepository(source, cacheDir)
		if err != nil {
			return nil, fmt.Errorf("advisory database %s: %w", source, err)
		}
		s.repo = repo
		if cached := repo.cached(); cached != nil {
			s.state.Store(cached)
			return s, nil
		}
	}
	if _, err := s.Update(ctx); err != nil {
		return nil, err
	}
	return s, nil
}

// DB is the newest database that could be read. It is never nil.
func (s *Source) DB() *advisory.DB { return s.state.Load().db }

// Problems are the files of the database that could not be read, each with its path. What such a file said before still holds, as long as the Source
// is open.
func (s *Source) Problems() []error { return s.state.Load().problems }

// Commit is the hash of the commit that the database is of; empty for a folder.
func (s *Source) Commit() string { return s.state.Load().commit }

// Update reads the folder again, or fetches the newest commit where it is another one, and reports whether the database changed. After an
// error the database is the one that was there. It takes five minutes at most.
func (s *Source) Update(ctx context.Context) (changed bool, err error) {
	s.updates.Lock()
	defer s.updates.Unlock()
	old := s.state.Load()
	if s.repo == nil {
		db, problems := advisory.Load(os.DirFS(advisory.Folder(s.address)))
		if db == nil {
			return false, fmt.Errorf("advisory database %s: %w", s.address, errors.Join(problems...))
		}
		if old != nil {
			if db = db.With(old.db); db.Same(old.db) {
				s.state.Store(&state{db: old.db, problems: problems}) // the same to who compares
				return false, nil
			}
		}
		s.state.Store(&state{db: db, problems: problems})
		return true, nil
	}
	ctx, cancel := context.WithTimeout(ctx, updateTimeout)
	defer cancel()
	commit := ""
	if old != nil {
		commit = old.commit
	}
	fresh, err := s.repo.update(ctx, commit)
	if err != nil {
		return false, fmt.Errorf("advisory database %s: %w", s.address, oneLine(err))
	}
	if fresh == nil {
		return false, nil
	}
	if old != nil {
		fresh.db = fresh.db.With(old.db)
	}
	s.state.Store(fresh)
	return true, nil
}
