package gitindex

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"path"

	"github.com/crateyard/crateyard/registry/index"
)

// committer makes one commit after another, in one transaction.
type committer struct {
	tx             *sql.Tx
	nodes          *nodes
	insert         *sql.Stmt
	bury, dig      *sql.Stmt
	rootEvery      int64
	last           tip   // the commit made last
	objects, bytes int64 // of the log so far

	// Of the commit that is being made, or was made last:
	n       int64
	raw     []byte // its content
	pack    []byte
	entries int64
}

func newCommitter(ctx context.Context, tx *sql.Tx, rootEvery int64) (*committer, error) {
	c := &committer{tx: tx, rootEvery: rootEvery}
	var o []byte
	err := tx.QueryRowContext(ctx, "SELECT n, oid, objects, bytes FROM commits ORDER BY n DESC LIMIT 1").
		Scan(&c.last.n, &o, &c.objects, &c.bytes)
	if err != nil {
		return nil, err
	}
	copy(c.last.oid[:], o)
	if c.nodes, err = newNodes(ctx, tx); err != nil {
		return nil, err
	}
	for query, stmt := range map[string]**sql.Stmt{
		"INSERT INTO commits VALUES (?, ?, ?, ?, ?)":                     &c.insert,
		"INSERT OR REPLACE INTO replaced VALUES (?, ?, ?)":               &c.bury,
		"DELETE FROM replaced WHERE oid = ? RETURNING written, replaced": &c.dig,
	} {
		if *stmt, err = tx.PrepareContext(ctx, query); err != nil { //nolint:sqlclosecheck // it ends with the transaction
			return nil, err
		}
	}
	return c, nil
}

// commit makes the next commit of the history.
func (c *committer) commit(ctx context.Context, change index.Change) error {
	c.n, c.pack, c.entries = c.last.n+1, nil, 0
	p := index.Path(change.Crate)
	file, err := c.nodes.get(ctx, p)
	if err != nil {
		return err
	}
	var before []byte
	if file != nil {
		before = file.raw
	}
	after, err := change.Apply(before)
	if err != nil {
		return &feedError{err}
	}
	if err := c.change(ctx, p, modeFile, typeBlob, file, after); err != nil {
		return err
	}
	root, err := c.nodes.get(ctx, "")
	if err != nil {
		return err
	}
	parent := &c.last.oid
	if c.n%c.rootEvery == 0 || cuts(change) {
		parent = nil
	}
	c.raw = encodeCommit(root.oid, parent, change.At, subject(change, c.n))
	c.pack = appendEntry(c.pack, typeCommit, len(c.raw), deflate(c.raw))
	c.last = tip{n: c.n, oid: hashObject(typeCommit, c.raw)}
	c.objects, c.bytes = c.objects+c.entries+1, c.bytes+int64(len(c.pack))
	_, err = c.insert.ExecContext(ctx, c.n, c.last.oid[:], c.objects, c.bytes, c.pack)
	return err
}

// cuts reports whether the history begins anew with a change: of a crate that was taken out of the index nothing is to be found in it any more, neither
// lines nor name.
func cuts(c index.Change) bool { return c.Kind == index.KindRemoveCrate }

// change gives the node at p new content, empty for none, and takes the change up to the root.
func (c *committer) change(ctx context.Context, p, mode string, t objectType, old *node, content []byte) error {
	isRoot := p == ""
	var fresh *node
	if len(content) > 0 || isRoot {
		fresh = &node{tree: t == typeTree, oid: hashObject(t, content), raw: content, written: c.n}
	}
	if old == nil && fresh == nil || old != nil && fresh != nil && old.oid == fresh.oid {
		return nil
	}
	if old != nil {
		if _, err := c.bury.ExecContext(ctx, old.oid[:], old.written, c.n); err != nil {
			return err
		}
	}
	if fresh != nil {
		if err := c.write(ctx, t, old, fresh); err != nil {
			return err
		}
	}
	c.nodes.set(p, fresh)
	if isRoot {
		return nil
	}
	dir := parentOf(p)
	folder, err := c.nodes.get(ctx, dir)
	if err != nil {
		return err
	}
	var entries []byte
	if folder != nil {
		entries = folder.raw
	}
	var o *oid
	if fresh != nil {
		o = &fresh.oid
	}
	return c.change(ctx, dir, modeFolder, typeTree, folder, setTreeEntry(entries, mode, path.Base(p), o))
}

// write adds an object to the commit's pack: as a delta against what was there before, or whole when that is no gain, when too
// many deltas lean on each other already, or when the object had been there before: its old delta might lean on what
// would now lean on it.
func (c *committer) write(ctx context.Context, t objectType, old, fresh *node) error {
	c.entries++
	var written, replaced int64
	err := c.dig.QueryRowContext(ctx, fresh.oid[:]).Scan(&written, &replaced)
	isRepeat := err == nil
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return err
	}
	start := len(c.pack)
	if old != nil && !isRepeat && old.depth < maxDepth {
		if d := diff(old.raw, fresh.raw); len(d) < len(fresh.raw)/2 {
			fresh.depth = old.depth + 1
			c.pack = appendDelta(c.pack, old.oid, d)
			return nil
		}
	}
	c.pack = appendEntry(c.pack, t, len(fresh.raw), deflate(fresh.raw))
	if isRepeat {
		if _, err := c.tx.ExecContext(ctx, "INSERT INTO repeats VALUES (?, ?, ?, ?, ?)", c.n, start, len(c.pack)-start, written, replaced); err != nil {
			return fmt.Errorf("commit %d: %w", c.n, err)
		}
	}
	return nil
}
