package gitindex

import (
	"bufio"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
)

const basePrefix = "base-"

// base is a whole state as pack entries: what a clone begins with.
type base struct {
	n              int64 // the commit, which has no parent
	objects, bytes int64
}

func (s *store) basePath(n int64) string {
	return filepath.Join(s.dir, fmt.Sprintf("%s%d", basePrefix, n))
}

// bases gives all bases, the newest first.
func (s *store) bases(ctx context.Context, q querier) (out []base, err error) {
	rows, err := q.QueryContext(ctx, "SELECT n, objects, bytes FROM bases ORDER BY n DESC")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var b base
		if err := rows.Scan(&b.n, &b.objects, &b.bytes); err != nil {
			return nil, err
		}
		out = append(out, b)
	}
	return out, rows.Err()
}

// settle makes commit st.n out of the files alone, and with it the base that it is the only commit of. Memory holds the folders'
// entries, some 40 bytes a crate.
func (s *store) settle(ctx context.Context, st state) error {
	return inTx(ctx, s.rw, func(tx *sql.Tx) error {
		if _, err := tx.ExecContext(ctx, "DELETE FROM nodes WHERE tree"); err != nil {
			return err
		}
		root, err := putFolders(ctx, tx, st.n)
		if err != nil {
			return err
		}
		raw := encodeCommit(root, nil, st.at, st.subject)
		o := hashObject(typeCommit, raw)
		if _, err := tx.ExecContext(ctx, "INSERT INTO commits VALUES (?, ?, 0, 0, x'')", st.n, o[:]); err != nil {
			return err
		}
		if err := s.putBase(ctx, tx, st.n, raw); err != nil {
			return err
		}
		st.settled = true
		return st.write(ctx, tx)
	})
}

// putFolders makes the folders of all files and gives the root's name.
func putFolders(ctx context.Context, tx *sql.Tx, n int64) (root oid, err error) {
	rows, err := tx.QueryContext(ctx, "SELECT path, oid FROM nodes WHERE NOT tree ORDER BY path")
	if err != nil {
		return root, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	// Paths come in the order that git has, folder by folder: all below a folder has its name and a slash before it.
	folders := map[string][]byte{"": nil}
	var open []string // the folders that the last path lies in, the root first
	closeTo := func(dir string) {
		for len(open) > 0 && open[len(open)-1] != dir {
			done := open[len(open)-1]
			open = open[:len(open)-1]
			parent := parentOf(done)
			folders[parent] = appendTreeEntry(folders[parent], modeFolder, path.Base(done), hashObject(typeTree, folders[done]))
		}
	}
	for rows.Next() {
		var p string
		var b []byte
		var o oid
		if err := rows.Scan(&p, &b); err != nil {
			return root, err
		}
		copy(o[:], b)
		var want []string // the folders of p, the innermost first
		for dir := parentOf(p); ; dir = parentOf(dir) {
			want = append(want, dir)
			if dir == "" {
				break
			}
		}
		shared := 0
		for shared < len(open) && shared < len(want) && open[shared] == want[len(want)-1-shared] {
			shared++
		}
		if shared > 0 {
			closeTo(open[shared-1])
		}
		for ; shared < len(want); shared++ {
			open = append(open, want[len(want)-1-shared])
		}
		dir := want[0]
		folders[dir] = appendTreeEntry(folders[dir], modeFile, path.Base(p), o)
	}
	if err := rows.Err(); err != nil {
		return root, err
	}
	closeTo("")
	if err := rows.Close(); err != nil { // before the same connection writes
		return root, err
	}
	for p, raw := range folders {
		if err := putNode(ctx, tx, p, &node{tree: true, oid: hashObject(typeTree, raw), raw: raw, written: n}); err != nil {
			return root, err
		}
	}
	return hashObject(typeTree, folders[""]), nil
}

// putBase writes the whole state as the base of commit n, of which raw is the content.
func (s *store) putBase(ctx context.Context, tx *sql.Tx, n int64, raw []byte) (err error) {
	f, err := os.CreateTemp(s.dir, basePrefix+"*.new")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	w := bufio.NewWriterSize(f, 1<<20)
	b := base{n: n}
	put := func(t objectType, size int, z []byte) error {
		entry := appendEntry(nil, t, size, z)
		b.objects, b.bytes = b.objects+1, b.bytes+int64(len(entry))
		_, err := w.Write(entry)
		return err
	}
	if err := put(typeCommit, len(raw), deflate(raw)); err != nil {
		return err
	}
	if err := eachNode(ctx, tx, put); err != nil {
		return err
	}
	// What the database names must be there after a power loss: the file first, then its name, then the row.
	if err := errors.Join(w.Flush(), f.Sync(), os.Rename(f.Name(), s.basePath(n))); err != nil {
		return err
	}
	_, err = tx.ExecContext(ctx, "INSERT INTO bases VALUES (?, ?, ?)", n, b.objects, b.bytes)
	return err
}

// eachNode calls put for the object of each file and folder, with its deflated content.
func eachNode(ctx context.Context, tx *sql.Tx, put func(t objectType, size int, z []byte) error) (err error) {
	rows, err := tx.QueryContext(ctx, "SELECT tree, size, data FROM nodes")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	var data sql.RawBytes
	for rows.Next() {
		var tree bool
		var size int
		if err := rows.Scan(&tree, &size, &data); err != nil {
			return err
		}
		if tree {
			err = put(typeTree, size, deflate(data))
		} else {
			err = put(typeBlob, size, data)
		}
		if err != nil {
			return err
		}
	}
	return rows.Err()
}

// forget drops the bases but the newest two, and of the log what is older than they and than keep commits, unless a fetch that is
// running reads it: oldest is the oldest commit that one began at.
func (s *store) forget(ctx context.Context, n, keep, oldest int64) error {
	bases, err := s.bases(ctx, s.rw)
	if err != nil || len(bases) < 2 {
		return err
	}
	floor := min(bases[1].n, n-keep, oldest)
	err = inTx(ctx, s.rw, func(tx *sql.Tx) error {
		for _, query := range []string{
			"DELETE FROM commits WHERE n < ?", // a fetch may begin at the lowest that is left
			"DELETE FROM repeats WHERE n <= ?",
			"DELETE FROM replaced WHERE replaced <= ?",
		} {
			if _, err := tx.ExecContext(ctx, query, floor); err != nil {
				return err
			}
		}
		_, err := tx.ExecContext(ctx, "DELETE FROM bases WHERE n < ?", bases[1].n)
		return err
	})
	for _, b := range bases[2:] {
		err = errors.Join(err, os.Remove(s.basePath(b.n))) // who reads it has it open
	}
	return err
}
