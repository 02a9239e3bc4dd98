package catalog

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"github.com/pressly/goose/v3"
	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"github.com/crateyard/crateyard/registry/fault"
	"github.com/crateyard/crateyard/registry/folder"
)

// readers bounds the connections that read at the same time; each may hold some 2 MiB of pages.
const readers = 8

// Open opens the SQLite catalog at path, creates it when it is not there, and brings its schema up to date. It refuses a
// schema that is newer than this program's.
func Open(ctx context.Context, path string) (*Catalog, error) { return openFile(ctx, path, false) }

// OpenExisting opens a SQLite catalog that is there, with a schema that is this program's: for commands beside a server, which must not
// change it under its feet.
func OpenExisting(ctx context.Context, path string) (*Catalog, error) {
	return openFile(ctx, path, true)
}

func openFile(ctx context.Context, path string, existing bool) (*Catalog, error) {
	if existing {
		if _, err := os.Stat(path); err != nil {
			return nil, folder.Explain(filepath.Dir(path), err)
		}
	}
	if err := lostFile(path); err != nil {
		return nil, err
	}
	// SQLite would make the file readable for everybody; its log takes the file's mode.
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, folder.Explain(filepath.Dir(path), err)
	}
	if err := f.Close(); err != nil {
		return nil, err
	}
	// A publish changes some ten pages, mostly the same ones: to copy them into the database every 4,000 pages (16 MiB of log)
	// instead of every 1,000 makes a publish a fifth faster. What is durable is the same.
	rw, err := sql.Open("sqlite", dsn(path, "_txlock=immediate&_pragma=wal_autocheckpoint(4000)"))
	if err != nil {
		return nil, err
	}
	rw.SetMaxOpenConns(1)
	migration, err := migrate(ctx, goose.DialectSQLite3, rw, "sqlite", existing, fillSearchTerms)
	if err != nil {
		return nil, errors.Join(openFault(path, err), rw.Close())
	}
	ro, err := sql.Open("sqlite", dsn(path, "_pragma=query_only(1)"))
	if err != nil {
		return nil, errors.Join(err, rw.Close())
	}
	ro.SetMaxOpenConns(readers)
	ro.SetMaxIdleConns(readers)
	d := &sqliteDialect
	return &Catalog{d: d, rw: &statements{db: rw, d: d}, ro: &statements{db: ro, d: d}, now: time.Now, scratch: path + ".load", migration: migration}, nil
}

// lostFile refuses to begin a catalog where the log of another one lies, whose file is gone: SQLite would remove the log, which has the newest changes
// and is of use again when the file is found.
func lostFile(path string) error {
	if info, err := os.Stat(path); err == nil && info.Size() > 0 {
		return nil
	}
	log := path + "-wal"
	info, err := os.Stat(log)
	if errors.Is(err, fs.ErrNotExist) || err == nil && info.Size() == 0 {
		return nil
	}
	if err != nil {
		return folder.Explain(filepath.Dir(path), err)
	}
	return fmt.Errorf("catalog %s is gone, and its log %s is there, with the changes that were made last: put the file back beside it. If it is lost for good, "+
		"move the log away first, and then restore a backup into a new folder, or run `crateyard restore --from-blobs --take-over`", path, log)
}

// openFault tells why a catalog cannot be opened, and what to do. What SQLite says of a disk is that a write failed.
func openFault(path string, err error) error {
	dir := filepath.Dir(path)
	for _, file := range []string{path + "-wal", path + "-shm"} { // which somebody else may have made, who ran a command here
		if f, ferr := os.OpenFile(file, os.O_RDWR, 0); ferr == nil {
			_ = f.Close() // nothing was written
		} else if errors.Is(ferr, fs.ErrPermission) {
			return folder.Explain(dir, ferr)
		}
	}
	e, ok := errors.AsType[*sqlite.Error](err)
	if !ok {
		return fmt.Errorf("catalog %s: %w", path, err)
	}
	switch code := e.Code() & 0xff; {
	case code == sqlite3.SQLITE_NOTADB, code == sqlite3.SQLITE_CORRUPT:
		err = fmt.Errorf("%w. Look at the disk and the system's log first, and keep a copy of the file and of those that begin with its name. Then restore a backup into a new folder "+
			"(`crateyard restore --data NEW --from BACKUPS`); without a backup, move the files away and make the catalog anew from the archives "+
			"(`crateyard restore --data %s --from-blobs --take-over --url URL`)", err, dir)
		if code == sqlite3.SQLITE_NOTADB {
			return fmt.Errorf("%s is damaged, or is no catalog of crateyard's: %w", path, err)
		}
		return fault.Wrap(fault.Unavailable, fmt.Errorf("%s: %w", path, err), "%s", unread)
	case sqliteRefuses(err), code == sqlite3.SQLITE_CANTOPEN:
		if why := folder.Probe(dir); why != nil {
			err = fmt.Errorf("%w (%w)", folder.Explain(dir, why), err)
		}
	}
	return fmt.Errorf("catalog %s: %w", path, refusedAs(err))
}

// refusedAs is sqliteFault for an error that says more before SQLite's own.
func refusedAs(err error) error {
	if sqliteRefuses(err) {
		return fault.Wrap(fault.Unavailable, err, "%s", noWrites)
	}
	return sqliteFault(err)
}

func dsn(path, extra string) string {
	return "file:" + (&url.URL{Path: path}).EscapedPath() +
		"?_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)&_pragma=busy_timeout(10000)&_pragma=foreign_keys(1)&" + extra
}

// sqliteFault tells what the client can be told of an error.
func sqliteFault(err error) error {
	e, ok := errors.AsType[*sqlite.Error](err)
	if !ok || fault.KindOf(err) != fault.Internal {
		return err
	}
	switch {
	case sqliteRefuses(err):
		return fault.Wrap(fault.Unavailable, err, "%s", noWrites)
	case e.Code()&0xff == sqlite3.SQLITE_CORRUPT, e.Code()&0xff == sqlite3.SQLITE_CANTOPEN: // SQLite says CORRUPT of a read that the disk refused, too
		return fault.Wrap(fault.Unavailable, err, "%s", unread)
	case e.Code()&0xff == sqlite3.SQLITE_BUSY:
		return fault.Wrap(fault.Unavailable, err, "%s", busy)
	}
	return err
}

func sqliteRefuses(err error) bool {
	e, ok := errors.AsType[*sqlite.Error](err)
	if !ok {
		return false
	}
	switch e.Code() & 0xff { // the rest says more exactly where
	case sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_READONLY:
		return true
	}
	return false
}
