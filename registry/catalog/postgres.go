package catalog

import (
	"cmp"
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"

	"github.com/crateyard/crateyard/registry/fault"
)

// PostgresOptions say which database a catalog is in. Version 15 is the oldest that is supported.
type PostgresOptions struct {
	URI            string // postgres://USER:PASSWORD@HOST:PORT/DATABASE?sslmode=verify-full…, or libpq's key=value form
	MaxConnections int    // of the pool that reads and writes share; 0: DefaultConnections. One more listens
	// Existing opens a catalog that is there, with a schema that is this program's, and changes none.
	Existing bool
	// Scratch is a folder that is not there: a Load of an older dump makes it, with room for the catalog, and removes it. Empty: one among the
	// system's temporary files.
	Scratch string
	Log     *slog.Logger
}

// DefaultConnections is the size of the pool where none is given.
const DefaultConnections = 20

const (
	connectTimeout = 5 * time.Second // for each address that the host's name has
	// connLifetime bounds a connection's age, so that a database that moved is found by all of them.
	connLifetime = 10 * time.Minute
)

// session is set on each connection. What holds locks and does nothing, or is cut off from us, is given up by the server, too.
const (
	session = `SET default_transaction_isolation = 'read committed'; SET statement_timeout = '30s'; SET idle_in_transaction_session_timeout = '60s'; ` +
		keepalive
	keepalive = `SET tcp_keepalives_idle = 5; SET tcp_keepalives_interval = 3; SET tcp_keepalives_count = 3; SET tcp_user_timeout = '14s'`
)

// OpenPostgres opens the catalog in a PostgreSQL database, brings its schema up to date, and begins to follow what other servers
// change there. It refuses a schema that is newer than this program's. Servers that open it at the same time migrate it once. No error holds
// the password.
func OpenPostgres(ctx context.Context, o PostgresOptions) (_ *Catalog, err error) {
	config, err := postgresConfig(o.URI)
	if err != nil {
		return nil, err
	}
	afterConnect := stdlib.OptionAfterConnect(func(ctx context.Context, conn *pgx.Conn) error {
		_, err := conn.Exec(ctx, session)
		return err
	})
	migration, err := migratePostgres(ctx, config, o.Existing)
	if err != nil {
		return nil, fmt.Errorf("catalog %s: %w", place(config), err)
	}
	db := stdlib.OpenDB(*config, afterConnect)
	most := cmp.Or(o.MaxConnections, DefaultConnections)
	db.SetMaxOpenConns(most)
	db.SetMaxIdleConns(most)
	db.SetConnMaxLifetime(connLifetime)
	pool := &statements{db: db, d: &postgresDialect}
	c := &Catalog{d: &postgresDialect, rw: pool, ro: pool, now: time.Now, scratch: o.Scratch, migration: migration, log: cmp.Or(o.Log, slog.New(slog.DiscardHandler))}
	if c.feed, err = startFeed(ctx, c, config); err != nil {
		return nil, errors.Join(fmt.Errorf("catalog %s: %w", place(config), err), db.Close())
	}
	return c, nil
}

// place names a database, and all hosts where it may be, without its password.
func place(c *pgx.ConnConfig) string {
	hosts := []string{fmt.Sprintf("%s:%d", c.Host, c.Port)}
	for _, f := range c.Fallbacks {
		if host := fmt.Sprintf("%s:%d", f.Host, f.Port); !slices.Contains(hosts, host) { // the same without TLS, perhaps
			hosts = append(hosts, host)
		}
	}
	return c.Database + " on " + strings.Join(hosts, ", ")
}

func postgresConfig(uri string) (*pgx.ConnConfig, error) {
	config, err := pgx.ParseConfig(uri)
	if err != nil {
		// The parser's own text may quote parts of the password; the name of a file that it lacks holds none.
		if missing, ok := errors.AsType[*fs.PathError](err); ok {
			return nil, fmt.Errorf("the catalog's URI names a file that cannot be read: %w", missing)
		}
		return nil, errors.New("the catalog's URI cannot be understood: it is postgres://USER:PASSWORD@HOST:PORT/DATABASE, " +
			"where characters of the password such as / and @ are percent-encoded, and its options are those of libpq")
	}
	if config.ConnectTimeout == 0 {
		config.ConnectTimeout = connectTimeout
	}
	config.DialFunc = dialer().DialContext
	if config.RuntimeParams["application_name"] == "" {
		config.RuntimeParams["application_name"] = "crateyard"
	}
	return config, nil
}

// migratePostgres migrates under a lock, on connections without limits of time.
func migratePostgres(ctx context.Context, config *pgx.ConnConfig, existing bool) (m Migration, err error) {
	db := stdlib.OpenDB(*config)
	defer func() { err = errors.Join(err, db.Close()) }()
	lock, err := db.Conn(ctx)
	if err != nil {
		return m, postgresFault(err)
	}
	defer func() { err = errors.Join(err, lock.Close()) }()
	var version int
	if err := lock.QueryRowContext(ctx, "SELECT current_setting('server_version_num')::int").Scan(&version); err != nil {
		return m, postgresFault(err)
	}
	if version < 150000 {
		return m, fmt.Errorf("the server is PostgreSQL %d; 15 is the oldest that is supported", version/10000)
	}
	// A transaction holds the lock: where a pooler is between, a lock of the session would stay with its connection, and be in everybody's way.
	tx, err := lock.BeginTx(ctx, nil)
	if err != nil {
		return m, postgresFault(err)
	}
	defer func() { _ = tx.Rollback() }()                                                                                                             // which frees the lock; where the connection is lost, so is that
	if _, err := tx.ExecContext(ctx, keepalive+"; SET LOCAL idle_in_transaction_session_timeout = 0; SET LOCAL statement_timeout = 0"); err != nil { // a machine that dies with the lock must not hold it for hours
		return m, postgresFault(err)
	}
	if _, err := tx.ExecContext(ctx, "SELECT pg_advisory_xact_lock($1, 0)", lockMigrate); err != nil {
		return m, postgresFault(err)
	}
	m, err = migrate(ctx, goose.DialectPostgres, db, "postgres", existing, nil)
	return m, postgresFault(err)
}

// postgresLost reports whether an error means that the connection, or the server, went away, so that the outcome of what was
// last asked is unknown.
func postgresLost(err error) bool {
	if e, ok := errors.AsType[*pgconn.PgError](err); ok {
		return strings.HasPrefix(e.Code, "08") || strings.HasPrefix(e.Code, "57P")
	}
	if _, ok := errors.AsType[net.Error](err); ok {
		return true
	}
	if _, ok := errors.AsType[syscall.Errno](err); ok {
		return true
	}
	return pgconn.Timeout(err) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, net.ErrClosed) ||
		errors.Is(err, driver.ErrBadConn) || errors.Is(err, sql.ErrConnDone) || errors.Is(err, context.DeadlineExceeded)
}

// postgresFault tells what the client can be told of an error.
func postgresFault(err error) error {
	if err == nil || fault.KindOf(err) != fault.Internal || errors.Is(err, context.Canceled) {
		return err
	}
	if postgresRefuses(err) {
		return fault.Wrap(fault.Unavailable, err, "%s", noWrites)
	}
	if e, ok := errors.AsType[*pgconn.PgError](err); ok {
		switch e.Code {
		case "57014", "55P03", "25P03": // a limit of time
			return fault.Wrap(fault.Unavailable, err, "%s", busy)
		case "26000", "42P05": // a prepared statement is another connection's
			return fault.Wrap(fault.Unavailable, err, "%s", pooled)
		case "22021": // a text that is none; see checkTexts
			return fault.Wrap(fault.Invalid, err, "a text holds characters that cannot be stored; take them out")
		}
		switch e.Code[:2] {
		case "28", "3D": // who we are; no such database
			return fault.Wrap(fault.Unavailable, err, "%s", refused)
		case "08", "53", "57": // connection, resources, shutdown
			return fault.Wrap(fault.Unavailable, err, "%s", away)
		}
	}
	if _, ok := errors.AsType[*pgconn.ConnectError](err); ok || postgresLost(err) || pgconn.SafeToRetry(err) {
		return fault.Wrap(fault.Unavailable, err, "%s", away)
	}
	return err
}

// postgresRefuses: no space; read-only; the disk fails.
func postgresRefuses(err error) bool {
	e, ok := errors.AsType[*pgconn.PgError](err)
	return ok && (e.Code == "53100" || e.Code == "25006" || e.Code == "58030")
}

// postgresRetry: serialization failure, deadlock, a row that another transaction has just made, or has just deleted.
func postgresRetry(err error) bool {
	e, ok := errors.AsType[*pgconn.PgError](err)
	return errors.Is(err, errMade) || ok && (e.Code == "40001" || e.Code == "40P01" || e.Code == "23505" || e.Code == "23503")
}
