package gitindex

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"

	"github.com/crateyard/crateyard/registry/index"
)

// Feed gives the changes of the index in order, from the first one on: none may ever be left out or altered.
type Feed interface {
	// IndexChanges gives at most limit changes with a number above after, in ascending order; none when there is none yet.
	IndexChanges(ctx context.Context, after int64, limit int) ([]index.Change, error)
}

const (
	// rootEvery is after how many commits the history begins anew. It bounds what a clone costs beyond the newest state (some
	// 1.2 KB a commit); each new beginning costs one pass over the state. It is part of every hash: it never changes.
	rootEvery = 5000
	// keepLog is how many commits back a client may have fetched last and still gets only what is new.
	keepLog = 4 * rootEvery
	// batch is how many changes are read from the feed and committed together.
	batch = 500
)

// Repo is the index as a git repository. It is safe for concurrent use; one process may use a folder.
type Repo struct {
	Options
	rootEvery int64
	keepLog   int64
	batch     int

	ctx    context.Context // ends with Close
	cancel context.CancelFunc
	runs   sync.WaitGroup
	work   sync.Mutex // held by the run that syncs

	mu     sync.Mutex
	next   *run // a run that has not begun
	closed bool
	store  *store // nil: not open yet
	tip    tip
	leases map[*lease]struct{}

	forgetting sync.RWMutex // held for writing while old parts of the log go
}

// tip is a commit by its number and name.
type tip struct {
	n   int64
	oid oid
}

// Options say what a repository is made of. All are needed.
type Options struct {
	Dir    string // the folder: a cache, which may be removed at any time and is built again by the next sync
	Config []byte // the content of config.json
	Feed   Feed
	Log    *slog.Logger
}

// New gives a repository. Nothing is read, made or built before the first Sync or request.
func New(o Options) *Repo {
	r := &Repo{Options: o, rootEvery: rootEvery, keepLog: keepLog, batch: batch, leases: map[*lease]struct{}{}}
	r.ctx, r.cancel = context.WithCancel(context.Background())
	return r
}

// Close stops a sync that is under way, waits for its end, and closes the files. Fetches that are running fail.
func (r *Repo) Close() error {
	r.mu.Lock()
	r.closed = true
	r.mu.Unlock()
	r.cancel()
	r.runs.Wait()
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.store == nil {
		return nil
	}
	s := r.store
	r.store = nil
	return s.close()
}

// run is one sync that any number of callers wait for.
type run struct {
	done chan struct{}
	err  error
}

var errClosed = errors.New("the git index is closed")

// Sync brings the repository up to the end of the feed, as it is when Sync is called or later. Callers at the same time share
// the work, which goes on when one of them leaves. The first Sync builds the repository.
func (r *Repo) Sync(ctx context.Context) error {
	r.mu.Lock()
	if r.closed {
		r.mu.Unlock()
		return errClosed
	}
	// A run that has begun may have read the feed already, so only one that has not may be joined.
	c := r.next
	if c == nil {
		c = &run{done: make(chan struct{})}
		r.next = c
		r.runs.Go(func() { r.run(c) })
	}
	r.mu.Unlock()
	select {
	case <-c.done:
		return c.err
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (r *Repo) run(c *run) {
	defer close(c.done)
	r.work.Lock()
	defer r.work.Unlock()
	r.mu.Lock()
	r.next = nil
	r.mu.Unlock()
	c.err = r.sync(r.ctx)
	var feedErr *feedError
	if c.err == nil || errors.As(c.err, &feedErr) || !isDamage(c.err) {
		return
	}
	r.Log.Warn("the git index is built again", "dir", r.Dir, "reason", c.err)
	if err := r.reset(); err != nil {
		c.err = errors.Join(c.err, err)
		return
	}
	c.err = r.sync(r.ctx)
}

// feedError is an error of the feed, or of what it said: nothing that lies in the folder is to blame.
type feedError struct{ err error }

func (e *feedError) Error() string { return e.err.Error() }
func (e *feedError) Unwrap() error { return e.err }

// reset throws away all that is in the folder.
func (r *Repo) reset() error {
	r.mu.Lock()
	s := r.store
	r.store = nil
	r.mu.Unlock()
	if s != nil {
		_ = s.close() // it is broken
	}
	if err := clear(r.Dir); err != nil {
		return fmt.Errorf("remove the old git index: %w", err)
	}
	return nil
}

// open gives the store, which only the running sync may change.
func (r *Repo) open(ctx context.Context) (*store, error) {
	r.mu.Lock()
	s := r.store
	r.mu.Unlock()
	if s != nil {
		return s, nil
	}
	return openStore(ctx, r.Dir, r.Config)
}

// current gives the open store and its newest commit.
func (r *Repo) current() (*store, tip, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.store == nil {
		return nil, tip{}, errClosed
	}
	return r.store, r.tip, nil
}
