package gitindex

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"modernc.org/sqlite" // the driver "sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

// format is the number of what lies in the folder, and of how commits are made. A folder of another number is built again.
const format = 2

const schema = `
CREATE TABLE meta (
	id      INTEGER PRIMARY KEY CHECK (id = 1),
	format  INTEGER NOT NULL,
	config  BLOB NOT NULL,    -- config.json
	n       INTEGER NOT NULL, -- changes applied so far, which is the number of the newest commit
	cut     INTEGER NOT NULL, -- the newest commit that took a crate out of the index, and so has no parent; 0: none
	seq     INTEGER NOT NULL, -- the last of them in the feed; 0: none
	mark    BLOB,             -- digest of that change
	settled INTEGER NOT NULL, -- 0: nodes has files only, commit n is not made yet
	subject TEXT NOT NULL,    -- of commit n while it is not made
	at      INTEGER NOT NULL  -- its time, seconds
) STRICT;
CREATE TABLE nodes ( -- the newest state: files and folders
	path    TEXT NOT NULL UNIQUE, -- "" is the root
	tree    INTEGER NOT NULL,
	oid     BLOB NOT NULL,
	size    INTEGER NOT NULL, -- of the content
	data    BLOB NOT NULL,    -- the content; of files deflated
	depth   INTEGER NOT NULL, -- deltas between it and a whole object
	written INTEGER NOT NULL  -- the commit that wrote it
) STRICT;
CREATE TABLE commits ( -- the log
	n       INTEGER PRIMARY KEY,
	oid     BLOB NOT NULL UNIQUE,
	objects INTEGER NOT NULL, -- entries of this and all rows before, gone ones too
	bytes   INTEGER NOT NULL, -- their bytes
	pack    BLOB NOT NULL     -- the entries
) STRICT;
CREATE TABLE replaced ( -- objects that the newest state does not have any more
	oid      BLOB PRIMARY KEY,
	written  INTEGER NOT NULL,
	replaced INTEGER NOT NULL -- by this commit
) STRICT, WITHOUT ROWID;
CREATE INDEX replaced_by ON replaced (replaced);
CREATE TABLE repeats ( -- entries of the log whose object had been there before
	n        INTEGER NOT NULL,
	start    INTEGER NOT NULL, -- bytes of the row's pack
	length   INTEGER NOT NULL,
	written  INTEGER NOT NULL, -- where it was written before that
	replaced INTEGER NOT NULL,
	PRIMARY KEY (n, start)
) STRICT, WITHOUT ROWID;
CREATE TABLE bases (
	n       INTEGER PRIMARY KEY, -- a commit without a parent
	objects INTEGER NOT NULL,
	bytes   INTEGER NOT NULL     -- size of the file base-N
) STRICT;
`

// store is the folder. One goroutine writes; any number read, each with short queries.
type store struct {
	dir string
	rw  *sql.DB // one connection
	ro  *sql.DB
}

// readers bounds the connections that read at the same time.
const readers = 4

// errForeign means that the folder holds something else than what is needed now.
var errForeign = errors.New("the folder was made by another version or for another config.json")

// openStore opens the folder, and makes it when it is not there. Nothing in it is worth more than the time to build it, so a
// power loss may take the newest commits: what is there is consistent in any case.
func openStore(ctx context.Context, dir string, config []byte) (_ *store, err error) {
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return nil, err
	}
	file := filepath.Join(dir, "index.db")
	// SQLite would make the file readable for everybody; its log takes the file's mode.
	f, err := os.OpenFile(file, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := f.Close(); err != nil {
		return nil, err
	}
	dsn := "file:" + (&url.URL{Path: file}).EscapedPath() + "?_pragma=journal_mode(WAL)&_pragma=synchronous(NORMAL)&_pragma=busy_timeout(10000)"
	s := &store{dir: dir}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.close())
		}
	}()
	if s.rw, err = sql.Open("sqlite", dsn+"&_txlock=immediate"); err != nil {
		return nil, err
	}
	s.rw.SetMaxOpenConns(1)
	if err := s.prepare(ctx, config); err != nil {
		return nil, err
	}
	if s.ro, err = sql.Open("sqlite", dsn+"&_pragma=query_only(1)"); err != nil {
		return nil, err
	}
	s.ro.SetMaxOpenConns(readers)
	s.ro.SetMaxIdleConns(readers)
	return s, nil
}

// prepare makes the tables of an empty database.
func (s *store) prepare(ctx context.Context, config []byte) error {
	var tables int
	if err := s.rw.QueryRowContext(ctx, "SELECT count(*) FROM sqlite_schema").Scan(&tables); err != nil {
		return err
	}
	if tables == 0 {
		return inTx(ctx, s.rw, func(tx *sql.Tx) error {
			if _, err := tx.ExecContext(ctx, schema); err != nil {
				return err
			}
			if err := putFile(ctx, tx, "config.json", config, 0); err != nil {
				return err
			}
			_, err := tx.ExecContext(ctx, "INSERT INTO meta VALUES (1, ?, ?, 0, 0, 0, NULL, 0, ?, 0)", format, config, firstSubject)
			return err
		})
	}
	var f int
	var c []byte
	if err := s.rw.QueryRowContext(ctx, "SELECT format, config FROM meta").Scan(&f, &c); err != nil {
		return err
	}
	if f != format || !bytes.Equal(c, config) {
		return errForeign
	}
	return nil
}

// check asks whether the files are still there, holds those of bases against what the database says of them, and removes bases
// that it does not name.
func (s *store) check(ctx context.Context) error {
	if _, err := os.Stat(filepath.Join(s.dir, "index.db")); err != nil {
		return err // open, but removed: what is written to it now would be gone with this process
	}
	bases, err := s.bases(ctx, s.rw)
	if err != nil {
		return err
	}
	named := map[string]bool{}
	for _, b := range bases {
		info, err := os.Stat(s.basePath(b.n))
		if err != nil {
			return err
		}
		if info.Size() != b.bytes {
			return fmt.Errorf("%s has %d bytes, not %d", s.basePath(b.n), info.Size(), b.bytes)
		}
		named[info.Name()] = true
	}
	files, err := os.ReadDir(s.dir)
	if err != nil {
		return err
	}
	for _, f := range files {
		if strings.HasPrefix(f.Name(), basePrefix) && !named[f.Name()] {
			if err := os.Remove(filepath.Join(s.dir, f.Name())); err != nil {
				return err
			}
		}
	}
	return nil
}

func (s *store) close() error {
	var errs []error
	for _, db := range []*sql.DB{s.ro, s.rw} {
		if db != nil {
			errs = append(errs, db.Close())
		}
	}
	return errors.Join(errs...)
}

// clear removes all that a store keeps in dir, and nothing else.
func clear(dir string) error {
	files, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	for _, f := range files {
		if strings.HasPrefix(f.Name(), "index.db") || strings.HasPrefix(f.Name(), basePrefix) {
			err = errors.Join(err, os.Remove(filepath.Join(dir, f.Name())))
		}
	}
	return err
}

// isDamage reports whether building the folder again may help against err. It cannot when the disk is full, may not be
// written to, or the sync was stopped.
func isDamage(err error) bool {
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) || errors.Is(err, fs.ErrPermission) {
		return false
	}
	if e, ok := errors.AsType[*sqlite.Error](err); ok {
		switch e.Code() & 0xff {
		case sqlite3.SQLITE_FULL, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_BUSY, sqlite3.SQLITE_NOMEM, sqlite3.SQLITE_INTERRUPT:
			return false
		}
		return true
	}
	_, isFile := errors.AsType[*fs.PathError](err)
	return !isFile || errors.Is(err, fs.ErrNotExist)
}

// state is the row of meta.
type state struct {
	n, cut  int64
	seq     int64
	mark    []byte
	settled bool
	subject string
	at      time.Time
}

func readState(ctx context.Context, q querier) (st state, err error) {
	var at int64
	err = q.QueryRowContext(ctx, "SELECT n, cut, seq, mark, settled, subject, at FROM meta").
		Scan(&st.n, &st.cut, &st.seq, &st.mark, &st.settled, &st.subject, &at)
	st.at = time.Unix(at, 0).UTC()
	return st, err
}

func (st state) write(ctx context.Context, tx *sql.Tx) error {
	_, err := tx.ExecContext(ctx, "UPDATE meta SET n = ?, cut = ?, seq = ?, mark = ?, settled = ?, subject = ?, at = ?",
		st.n, st.cut, st.seq, st.mark, st.settled, st.subject, st.at.Unix())
	return err
}

// querier is what a database and a transaction share.
type querier interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

func inTx(ctx context.Context, db *sql.DB, f func(tx *sql.Tx) error) error {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }() // after a commit it does nothing
	if err := f(tx); err != nil {
		return err
	}
	return tx.Commit()
}
