package gitindex

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
)

// node is a file or a folder of the newest state.
type node struct {
	tree    bool
	oid     oid
	raw     []byte // the content
	depth   int
	written int64
}

// nodes are the nodes that a batch of commits touches. They are read when they are first needed and written once.
type nodes struct {
	tx      *sql.Tx
	read    *sql.Stmt
	loaded  map[string]*node // nil: there is none
	changed map[string]bool
}

func newNodes(ctx context.Context, tx *sql.Tx) (*nodes, error) {
	read, err := tx.PrepareContext(ctx, "SELECT tree, oid, size, data, depth, written FROM nodes WHERE path = ?")
	return &nodes{tx: tx, read: read, loaded: map[string]*node{}, changed: map[string]bool{}}, err
}

// get gives the node at a path, nil when there is none. The node may not be changed.
func (ns *nodes) get(ctx context.Context, path string) (*node, error) {
	if n, ok := ns.loaded[path]; ok {
		return n, nil
	}
	n, size, data, o := &node{}, 0, []byte(nil), []byte(nil)
	err := ns.read.QueryRowContext(ctx, path).Scan(&n.tree, &o, &size, &data, &n.depth, &n.written)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		ns.loaded[path] = nil
		return nil, nil
	case err != nil:
		return nil, err
	}
	copy(n.oid[:], o)
	n.raw = data
	if !n.tree {
		if n.raw, err = inflate(data, size); err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
	}
	ns.loaded[path] = n
	return n, nil
}

// set puts a node at a path; nil takes it away.
func (ns *nodes) set(path string, n *node) {
	ns.loaded[path], ns.changed[path] = n, true
}

// write writes what was set.
func (ns *nodes) write(ctx context.Context) error {
	for path := range ns.changed {
		var err error
		if n := ns.loaded[path]; n == nil {
			_, err = ns.tx.ExecContext(ctx, "DELETE FROM nodes WHERE path = ?", path)
		} else {
			err = putNode(ctx, ns.tx, path, n)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func putNode(ctx context.Context, tx *sql.Tx, path string, n *node) error {
	data := n.raw
	if !n.tree {
		data = deflate(n.raw)
	}
	_, err := tx.ExecContext(ctx, `INSERT INTO nodes VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (path) DO UPDATE SET
		oid = excluded.oid, size = excluded.size, data = excluded.data, depth = excluded.depth, written = excluded.written`,
		path, n.tree, n.oid[:], len(n.raw), data, n.depth, n.written)
	return err
}

// putFile writes a file as a whole object of commit n.
func putFile(ctx context.Context, tx *sql.Tx, path string, content []byte, n int64) error {
	return putNode(ctx, tx, path, &node{oid: hashObject(typeBlob, content), raw: content, written: n})
}
