package catalog

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"

	"github.com/crateyard/crateyard/registry/fault"
	"github.com/crateyard/crateyard/test/postgres"
)

// breaker makes the n-th call to a database fail.
type breaker struct {
	left   atomic.Int64 // calls until then
	broke  atomic.Bool
	commit atomic.Bool // what broke was a commit that the database had made
	how    string
}

var numbers = regexp.MustCompile(`#[0-9]+`)

var errInjected = errors.New("injected")

// call says whether the call goes through, and breaks the connection where it is to.
func (b *breaker) call(c *brokenConn, isCommit bool, do func() error) error {
	if b.left.Add(-1) != 0 {
		return do()
	}
	b.broke.Store(true)
	switch b.how {
	case "error":
		if isCommit {
			c.cut() // a commit that fails and leaves a transaction open is none
		}
		return errInjected
	case "cut before":
		c.cut()
		return errors.Join(io.ErrUnexpectedEOF, do())
	default: // cut after
		err := do()
		c.cut()
		b.commit.Store(isCommit && err == nil)
		return io.ErrUnexpectedEOF
	}
}

func (c *brokenConn) cut() {
	c.dead = true
	if pg, ok := c.Conn.(*stdlib.Conn); ok {
		_ = pg.Conn().PgConn().Conn().Close() // it is to be lost
		return
	}
	_ = c.Close()
}

// IsValid keeps a connection that was cut out of the pool, as pgx does.
func (c *brokenConn) IsValid() bool { return !c.dead }

type brokenConnector struct {
	*breaker
	open func() (driver.Conn, error)
}

func (c brokenConnector) Connect(context.Context) (driver.Conn, error) {
	conn, err := c.open()
	return &brokenConn{Conn: conn, b: c.breaker}, err
}

func (c brokenConnector) Driver() driver.Driver { return nil }

type brokenConn struct {
	driver.Conn
	b    *breaker
	dead bool
}

func (c *brokenConn) ExecContext(ctx context.Context, query string, args []driver.NamedValue) (res driver.Result, err error) {
	err = c.b.call(c, false, func() (err error) {
		res, err = c.Conn.(driver.ExecerContext).ExecContext(ctx, query, args)
		return err
	})
	return res, err
}

func (c *brokenConn) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (rows driver.Rows, err error) {
	err = c.b.call(c, false, func() (err error) {
		rows, err = c.Conn.(driver.QueryerContext).QueryContext(ctx, query, args)
		return err
	})
	return rows, err
}

func (c *brokenConn) BeginTx(ctx context.Context, o driver.TxOptions) (tx driver.Tx, err error) {
	err = c.b.call(c, false, func() (err error) {
		tx, err = c.Conn.(driver.ConnBeginTx).BeginTx(ctx, o)
		return err
	})
	return &brokenTx{tx, c}, err
}

// SendBatch is one call, and a commit where the batch ends in one.
func (c *brokenConn) SendBatch(ctx context.Context, batch *pgx.Batch) (res pgx.BatchResults) {
	breaks := c.b.left.Load() == 1
	isCommit := batch.QueuedQueries[batch.Len()-1].SQL == "COMMIT"
	err := c.b.call(c, isCommit, func() error {
		res = c.Conn.(*stdlib.Conn).Conn().SendBatch(ctx, batch)
		if breaks {
			return res.Close() // all of it is done, or it never got there
		}
		return nil
	})
	if err != nil {
		return brokenBatch{err}
	}
	return res
}

// brokenBatch is what is heard of a batch whose answers were lost.
type brokenBatch struct{ err error }

func (b brokenBatch) Exec() (pgconn.CommandTag, error) { return pgconn.CommandTag{}, b.err }
func (b brokenBatch) Query() (pgx.Rows, error)         { return nil, b.err }
func (b brokenBatch) QueryRow() pgx.Row                { return b }
func (b brokenBatch) Scan(...any) error                { return b.err }
func (b brokenBatch) Close() error                     { return b.err }
func (b brokenBatch) Tx() pgx.Tx                       { return nil }

func (c *brokenConn) CheckNamedValue(v *driver.NamedValue) error {
	if checker, ok := c.Conn.(driver.NamedValueChecker); ok {
		return checker.CheckNamedValue(v)
	}
	return driver.ErrSkip
}

type brokenTx struct {
	driver.Tx
	c *brokenConn
}

func (t *brokenTx) Commit() error { return t.c.b.call(t.c, true, t.Tx.Commit) }

// broken opens the database of a catalog once more, through a breaker. It has no feed of its own.
func broken(t *testing.T, c *Catalog, b *breaker, source string) *Catalog {
	t.Helper()
	open := func() (driver.Conn, error) { return c.rw.db.Driver().Open(source) }
	d := *c.d
	d.prepares = false
	db := sql.OpenDB(brokenConnector{b, open})
	if !d.shared {
		db.SetMaxOpenConns(1)
	}
	pool := &statements{db: db, d: &d}
	t.Cleanup(func() { _ = db.Close() }) // a broken connection may say so
	return &Catalog{d: &d, rw: pool, ro: pool, now: c.now}
}

// state tells all that the catalog knows of a crate.
func state(t *testing.T, c *Catalog, name string) string {
	t.Helper()
	var b strings.Builder
	for _, query := range []string{
		"SELECT c.canonical || ' ' || c.max_version || ' ' || c.description || ' ' || CAST(c.deleted_at IS NULL AS TEXT) FROM crates c WHERE c.name = ?",
		"SELECT v.num || ' ' || v.line || CAST(v.deleted_at IS NULL AS TEXT) FROM versions v JOIN crates c ON c.id = v.crate_id WHERE c.name = ? ORDER BY v.id",
		"SELECT u.name FROM owners o JOIN users u ON u.id = o.user_id JOIN crates c ON c.id = o.crate_id WHERE c.name = ? ORDER BY u.name",
		"SELECT w.word FROM crate_words w JOIN crates c ON c.id = w.crate_id WHERE c.name = ? ORDER BY w.word",
		"SELECT d.crate FROM dependencies d JOIN versions v ON v.id = d.version_id JOIN crates c ON c.id = v.crate_id WHERE c.name = ? ORDER BY d.crate",
		"SELECT kind FROM changes WHERE crate = ? ORDER BY seq",
		"SELECT action || after FROM audit WHERE crate = ? ORDER BY id",
	} {
		if c.feed != nil {
			if err := c.feed.numberAll(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		list, err := collect(t.Context(), c.ro, scanString, query, name)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&b, "%q\n", list)
	}
	return numbers.ReplaceAllString(strings.ReplaceAll(b.String(), name, "NAME"), "#ID")
}

// operation is a change of a crate, one transaction.
type operation struct {
	name  string
	fresh bool // there is no crate before
	do    func(ctx context.Context, c *Catalog, by Actor, name string) error
}

func faultOperations(t *testing.T) []operation {
	publish := func(num string, d Details) func(ctx context.Context, c *Catalog, by Actor, name string) error {
		return func(ctx context.Context, c *Catalog, by Actor, name string) error {
			p := publication(t, name, num)
			p.By, p.SHA256, p.Metadata, p.Line, p.Dependencies = by, "11", []byte("{}"), []byte("line\n"), []string{"base"}
			p.Details = d
			return c.Publish(ctx, p, anyone)
		}
	}
	words := Details{Description: "new words", Keywords: []string{"k"}}
	return []operation{
		{"publish", true, publish("1.0.0", words)},
		{"publish again", false, publish("1.1.0", Details{})},
		{"publish with other words", false, publish("1.1.0", words)},
		{"yank", false, func(ctx context.Context, c *Catalog, by Actor, name string) error {
			_, err := c.SetYanked(ctx, by, name, "1.0.0", ptr(true), nil, anyone)
			return err
		}},
		{"delete version", false, func(ctx context.Context, c *Catalog, by Actor, name string) error {
			return c.DeleteVersion(ctx, by, name, "1.0.0")
		}},
		{"delete crate", false, func(ctx context.Context, c *Catalog, by Actor, name string) error {
			return c.DeleteCrate(ctx, by, name, "")
		}},
		{"owners", false, func(ctx context.Context, c *Catalog, by Actor, name string) error {
			return c.RemoveOwners(ctx, by, name, []string{"alice"}, anyone)
		}},
	}
}

// beforeOperation makes what an operation that is not fresh changes.
func beforeOperation(t *testing.T, c *Catalog, by Actor, name string) {
	t.Helper()
	if err := publishAs(t, c, by, name, "1.0.0", "00"); err != nil {
		t.Fatal(err)
	}
	if err := c.AddOwners(t.Context(), Actor{}, name, []string{"bob"}, anyone); err != nil {
		t.Fatal(err)
	}
}

// Whatever call fails, and in whatever way: the change is there whole, or not at all, and who was told that it was made can rely on it.
func TestFaults(t *testing.T) {
	operations := faultOperations(t)
	run := func(t *testing.T, plain *Catalog, source string) {
		by := users(t, plain, "alice", "bob")[0]
		publishWith(t, plain, "base", "1.0.0", nil)
		n := 0
		setUp := func(op operation) string {
			n++
			name := fmt.Sprintf("crate%d", n)
			if !op.fresh {
				beforeOperation(t, plain, by, name)
			}
			return name
		}
		for _, op := range operations {
			name := setUp(op)
			old := state(t, plain, name)
			if err := op.do(t.Context(), plain, by, name); err != nil {
				t.Fatal(err)
			}
			changed := state(t, plain, name)
			hows := []string{"error"}
			if plain.d.shared { // a file has no connection
				hows = append(hows, "cut before", "cut after")
			}
			for _, how := range hows {
				b := &breaker{how: how}
				faulty := broken(t, plain, b, source)
				for at := int64(1); ; at++ {
					name := setUp(op)
					b.broke.Store(false)
					b.commit.Store(false)
					b.left.Store(at)
					err := op.do(t.Context(), faulty, by, name)
					b.left.Store(0)
					got := state(t, plain, name)
					where := fmt.Sprintf("%s, %s at call %d (%v)", op.name, how, at, err)
					switch {
					case err == nil && got != changed, err != nil && !b.commit.Load() && got != old:
						t.Errorf("%s: state is\n%s\nold:\n%s\nchanged:\n%s", where, got, old, changed)
					case got != old && got != changed:
						t.Errorf("%s: half a change:\n%s", where, got)
					case err != nil && plain.d.shared && how != "error" && fault.KindOf(err) != fault.Unavailable:
						t.Errorf("%s: not Unavailable: %T", where, err)
					case b.commit.Load() && plain.d.shared && (err == nil || !strings.Contains(err.Error(), "nobody knows")):
						t.Errorf("%s: the outcome is unknown", where)
					}
					if !b.broke.Load() {
						if at < 3 {
							t.Errorf("%s made %d calls", op.name, at-1)
						}
						t.Logf("%s, %s: %d calls", op.name, how, at-1)
						break
					}
				}
			}
		}
	}
	t.Run("sqlite", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "catalog.db")
		c, err := Open(t.Context(), path)
		run(t, closing(t, c, err), dsn(path, "_txlock=immediate"))
	})
	t.Run("postgres", func(t *testing.T) {
		uri := postgres.Database(t)
		run(t, openPostgres(t, uri), uri)
	})
}
