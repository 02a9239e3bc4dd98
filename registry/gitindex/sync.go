package gitindex

import (
	"bytes"
	"context"
	"crypto/sha256"
	"database/sql"
	"errors"
	"fmt"
	"slices"

	"github.com/crateyard/crateyard/registry/index"
)

// sync brings the store up to the feed's end.
func (r *Repo) sync(ctx context.Context) (err error) {
	s, err := r.open(ctx)
	if err != nil {
		return err
	}
	isNew := r.isNew(s)
	defer func() {
		if err != nil && isNew {
			err = errors.Join(err, s.close())
		}
	}()
	if err := s.check(ctx); err != nil {
		return err
	}
	st, err := readState(ctx, s.rw)
	if err != nil {
		return err
	}
	if err := r.verify(ctx, st); err != nil {
		return err
	}
	if !st.settled {
		if st, err = r.leap(ctx, s, st); err != nil {
			return err
		}
		if err := s.settle(ctx, st); err != nil {
			return err
		}
	}
	t, err := r.follow(ctx, s)
	if err != nil {
		return err
	}
	r.mu.Lock()
	r.store, r.tip = s, t
	r.mu.Unlock()
	return nil
}

func (r *Repo) isNew(s *store) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.store != s
}

// changes reads on from the feed.
func (r *Repo) changes(ctx context.Context, after int64, limit int) ([]index.Change, error) {
	changes, err := r.Feed.IndexChanges(ctx, after, limit)
	if err != nil {
		return nil, &feedError{fmt.Errorf("read the changes of the index: %w", err)}
	}
	for _, c := range changes {
		if c.Seq <= after {
			return nil, &feedError{fmt.Errorf("the changes of the index are out of order: %d after %d", c.Seq, after)}
		}
		after = c.Seq
	}
	return changes, nil
}

// errOtherFeed means that the feed is not the one that the folder was built from: the catalog was restored from a backup, say.
var errOtherFeed = errors.New("the git index was built from other changes")

// verify asks whether the last change that was applied is still in the feed.
func (r *Repo) verify(ctx context.Context, st state) error {
	if st.seq == 0 {
		return nil
	}
	last, err := r.changes(ctx, st.seq-1, 1)
	if err != nil {
		return err
	}
	if len(last) == 0 || last[0].Seq != st.seq || !bytes.Equal(mark(last[0]), st.mark) {
		return errOtherFeed
	}
	return nil
}

// mark is a digest of a change.
func mark(c index.Change) []byte {
	h := sha256.New()
	fmt.Fprintf(h, "%d %d %q %q %q %q", c.Seq, c.At.Unix(), c.Crate, c.Kind, c.Num, c.Lines)
	return h.Sum(nil)
}

// leap takes a store that has no commit yet over all of the history that lies before the newest commit without a parent: of that,
// only the files count, so no commit is made. The feed is read twice on this way: to see that the next commit without
// a parent is there, and to get to it.
func (r *Repo) leap(ctx context.Context, s *store, st state) (state, error) {
	for {
		seen, after := int64(0), st.seq
		for seen < r.rootEvery {
			changes, err := r.changes(ctx, after, int(min(int64(r.batch), r.rootEvery-seen)))
			if err != nil {
				return st, err
			}
			if len(changes) == 0 {
				return st, nil
			}
			seen, after = seen+int64(len(changes)), changes[len(changes)-1].Seq
		}
		err := inTx(ctx, s.rw, func(tx *sql.Tx) (err error) {
			for left := r.rootEvery; left > 0 && err == nil; {
				var changes []index.Change
				if changes, err = r.changes(ctx, st.seq, int(min(int64(r.batch), left))); err == nil {
					left -= int64(len(changes))
					st, err = applyFiles(ctx, tx, st, changes)
				}
			}
			if err != nil {
				return err
			}
			return st.write(ctx, tx)
		})
		if err != nil {
			return st, err
		}
	}
}

// applyFiles applies changes to the files and to nothing else.
func applyFiles(ctx context.Context, tx *sql.Tx, st state, changes []index.Change) (state, error) {
	if len(changes) == 0 {
		return st, &feedError{errors.New("changes of the index went away while they were read")}
	}
	ns, err := newNodes(ctx, tx)
	if err != nil {
		return st, err
	}
	for _, c := range changes {
		p := index.Path(c.Crate)
		file, err := ns.get(ctx, p)
		if err != nil {
			return st, err
		}
		var before []byte
		if file != nil {
			before = file.raw
		}
		after, err := c.Apply(before)
		if err != nil {
			return st, &feedError{err}
		}
		if st.n++; len(after) == 0 {
			ns.set(p, nil)
		} else {
			ns.set(p, &node{oid: hashObject(typeBlob, after), raw: after, written: st.n})
		}
		st.seq, st.mark, st.subject, st.at = c.Seq, mark(c), subject(c, st.n), c.At
		if cuts(c) {
			st.cut = st.n
		}
	}
	return st, ns.write(ctx)
}

// follow makes a commit of each change that is not applied yet, and gives the newest commit.
func (r *Repo) follow(ctx context.Context, s *store) (tip, error) {
	for {
		st, err := readState(ctx, s.rw)
		if err != nil {
			return tip{}, err
		}
		// A batch ends where the history begins anew, for the base is made of exactly that state.
		limit := min(int64(r.batch), r.rootEvery-st.n%r.rootEvery)
		changes, err := r.changes(ctx, st.seq, int(limit))
		if err != nil {
			return tip{}, err
		}
		if len(changes) == 0 {
			return s.newest(ctx, st)
		}
		if last := lastCut(changes); last >= 0 { // here, too; of several, nobody begins at those before the last
			changes = changes[:last+1]
		}
		if err := r.commit(ctx, s, st, changes); err != nil {
			return tip{}, err
		}
	}
}

func lastCut(changes []index.Change) int {
	for i, c := range slices.Backward(changes) {
		if cuts(c) {
			return i
		}
	}
	return -1
}

func (r *Repo) commit(ctx context.Context, s *store, st state, changes []index.Change) error {
	var isRoot bool
	err := inTx(ctx, s.rw, func(tx *sql.Tx) error {
		c, err := newCommitter(ctx, tx, r.rootEvery)
		if err != nil {
			return err
		}
		for _, change := range changes {
			if err := c.commit(ctx, change); err != nil {
				return err
			}
			st.n, st.seq, st.mark = st.n+1, change.Seq, mark(change)
			if cuts(change) {
				st.cut = st.n
			}
		}
		if err := c.nodes.write(ctx); err != nil {
			return err
		}
		if isRoot = st.n%r.rootEvery == 0 || st.n == st.cut; isRoot {
			if err := s.putBase(ctx, tx, st.n, c.raw); err != nil {
				return err
			}
		}
		return st.write(ctx, tx)
	})
	if err != nil || !isRoot {
		return err
	}
	r.forgetting.Lock()
	defer r.forgetting.Unlock()
	return s.forget(ctx, st.n, r.keepLog, r.oldestLease())
}

// newest gives the newest commit, which must be the one that the state tells of.
func (s *store) newest(ctx context.Context, st state) (tip, error) {
	t := tip{}
	var o []byte
	if err := s.rw.QueryRowContext(ctx, "SELECT n, oid FROM commits ORDER BY n DESC LIMIT 1").Scan(&t.n, &o); err != nil {
		return t, err
	}
	copy(t.oid[:], o)
	if t.n != st.n {
		return t, fmt.Errorf("the newest commit is %d, not %d", t.n, st.n)
	}
	return t, nil
}
