package catalog

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/crateyard/crateyard/registry/fault"
)

const (
	// loadRows and loadBytes bound what one statement of a load takes.
	loadRows, loadBytes = 500, 1 << 20
	// maxDumpLine bounds a row of a dump. The longest is the index file of a crate that was opened to all again.
	maxDumpLine = 256 << 20
)

// Load fills the catalog from a dump, in one transaction. The catalog must be empty (a server that served has made a user already). The
// dump may be of an older schema than this program's (see loadOlder), and not of a newer one. The claim of the catalog stays as it is; its
// RegistryID becomes that of the dump. Errors of the dump are fault.Invalid, a catalog that is not empty is a Conflict.
func (c *Catalog) Load(ctx context.Context, r io.Reader) error {
	d := newDumpReader(r)
	have, err := c.checkHeader(ctx, d)
	if err != nil {
		return err
	}
	if d.header.Schema < have {
		return c.loadOlder(ctx, d)
	}
	return c.load(ctx, d, dumpTables)
}

// Loadable reads the first line of a dump, and fails when Load would refuse any dump that begins with it.
func (c *Catalog) Loadable(ctx context.Context, r io.Reader) error {
	_, err := c.checkHeader(ctx, newDumpReader(r))
	return err
}

// checkHeader reads the first line of a dump, and gives the schema that the catalog has.
func (c *Catalog) checkHeader(ctx context.Context, d *dumpReader) (have int64, err error) {
	if err := d.readHeader(); err != nil {
		return 0, err
	}
	if have, err = schemaVersion(ctx, c.ro); err != nil {
		return 0, err
	}
	if h := d.header; h.Format > dumpFormat || h.Schema > have {
		return 0, fault.New(fault.Invalid, "the dump was made by a newer crateyard (schema %d, this one has %d): load it with that one", h.Schema, have)
	}
	return have, nil
}

// load loads a dump, whose header was read, of the schema that the catalog has.
func (c *Catalog) load(ctx context.Context, d *dumpReader, tables []dumped) error {
	sqlTx, err := c.rw.db.BeginTx(ctx, nil) // without a limit of time
	if err != nil {
		return c.d.fault(err)
	}
	defer func() { _ = sqlTx.Rollback() }() // after a commit it does nothing
	if c.d.shared {
		if _, err := sqlTx.ExecContext(ctx, "SET LOCAL statement_timeout = 0; SET LOCAL idle_in_transaction_session_timeout = 0"); err != nil {
			return c.d.fault(err)
		}
	}
	l := &loader{dumpReader: d, c: c, tx: &tx{Tx: sqlTx, stmts: c.rw}, tables: tables, rows: map[string]int64{}}
	if err := l.run(ctx); err != nil {
		return err
	}
	if err := sqlTx.Commit(); err != nil {
		return c.commitFault(err)
	}
	c.tell(Change{})
	return c.analyze(ctx)
}

// analyze has PostgreSQL know how large the tables are now. It would find out by itself, after a minute or so in which it plans for
// small ones. SQLite plans without.
func (c *Catalog) analyze(ctx context.Context) error {
	if !c.d.shared {
		return nil
	}
	tx, err := c.rw.db.BeginTx(ctx, nil)
	if err != nil {
		return c.d.fault(err)
	}
	defer func() { _ = tx.Rollback() }() // after a commit it does nothing
	for _, query := range []string{"SET LOCAL statement_timeout = 0", "ANALYZE"} {
		if _, err := tx.ExecContext(ctx, query); err != nil {
			return c.d.fault(err)
		}
	}
	return c.d.fault(tx.Commit())
}

// dumpReader reads the lines of a dump.
type dumpReader struct {
	in     *bufio.Reader
	n      int // of lines that were read
	header dumpHeader
}

func newDumpReader(r io.Reader) *dumpReader {
	return &dumpReader{in: bufio.NewReaderSize(r, 64<<10)}
}

type loader struct {
	*dumpReader
	c      *Catalog
	tx     *tx
	tables []dumped // all that the dump has
	rows   map[string]int64

	insert string // of the table that is being read
	table  string
	batch  []byte
	inside int // rows in the batch
}

func (l *loader) run(ctx context.Context) error {
	if err := l.checkEmpty(ctx); err != nil {
		return err
	}
	for {
		line, err := l.line()
		if err != nil {
			return err
		}
		if line[0] == '[' {
			if err := l.row(ctx, line); err != nil {
				return err
			}
			continue
		}
		if err := l.flush(ctx); err != nil {
			return err
		}
		var end dumpEnd
		if err := json.Unmarshal(line, &end); err == nil && end.End {
			return l.end(ctx, end)
		}
		if err := l.begin(line); err != nil {
			return err
		}
	}
}

// line gives the next line, which is not empty.
func (d *dumpReader) line() ([]byte, error) {
	d.n++
	var line []byte
	for {
		part, err := d.in.ReadSlice('\n')
		line = append(line, part...)
		switch {
		case err == nil && len(bytes.TrimSpace(line)) == 0:
			return nil, d.broken("is empty")
		case err == nil:
			return bytes.TrimSpace(line), nil
		case errors.Is(err, io.EOF):
			return nil, d.broken("is cut off: the dump is not whole")
		case !errors.Is(err, bufio.ErrBufferFull):
			return nil, err
		case len(line) > maxDumpLine:
			return nil, d.broken("is too long")
		}
	}
}

func (d *dumpReader) broken(what string, args ...any) error {
	return fault.New(fault.Invalid, "line %d of the dump "+what, append([]any{d.n}, args...)...)
}

func (d *dumpReader) readHeader() error {
	line, err := d.line()
	if err != nil {
		return err
	}
	if err := json.Unmarshal(line, &d.header); err != nil || d.header.Crateyard != "catalog" || d.header.Format < 1 || d.header.Schema < 1 {
		return d.broken("is not that of a dump of a catalog")
	}
	return nil
}

func (l *loader) checkEmpty(ctx context.Context) error {
	for _, t := range l.tables {
		var is bool
		if err := l.tx.QueryRowContext(ctx, "SELECT EXISTS (SELECT 1 FROM "+t.name+")").Scan(&is); err != nil {
			return err
		}
		if is {
			return notEmpty(t.name)
		}
	}
	return nil
}

func notEmpty(table string) error {
	return fault.New(fault.Conflict, "the catalog is not empty (its table %s has rows); load a dump into a new one", table)
}

// begin begins a table.
func (l *loader) begin(line []byte) error {
	var head dumpTable
	if err := json.Unmarshal(line, &head); err != nil {
		return l.broken("cannot be read: %v", err)
	}
	i := slices.IndexFunc(l.tables, func(t dumped) bool { return t.name == head.Table })
	if i < 0 {
		return l.broken("names a table that there is not: %q", head.Table)
	}
	if _, twice := l.rows[head.Table]; twice {
		return l.broken("begins table %s again", head.Table)
	}
	known := map[string]column{}
	for _, col := range l.tables[i].columns {
		known[col.name] = col
	}
	var values []string
	for j, name := range head.Columns {
		col, ok := known[name]
		if !ok {
			return l.broken("names a column that table %s does not have, or has once: %q", head.Table, name)
		}
		delete(known, name)
		values = append(values, col.load(l.c.d, j))
	}
	if len(known) > 0 {
		return l.broken("does not name all columns of table %s", head.Table)
	}
	l.table, l.rows[head.Table] = head.Table, 0
	l.insert = fmt.Sprintf("INSERT INTO %s (%s) SELECT %s FROM json_each(?)", head.Table, strings.Join(head.Columns, ", "), strings.Join(values, ", "))
	return nil
}

func (l *loader) row(ctx context.Context, line []byte) error {
	if l.table == "" {
		return l.broken("is a row of no table")
	}
	if !json.Valid(line) {
		return l.broken("is no JSON")
	}
	if l.inside > 0 {
		l.batch = append(l.batch, ',')
	}
	l.batch = append(l.batch, line...)
	if l.inside++; l.inside < loadRows && len(l.batch) < loadBytes {
		return nil
	}
	return l.flush(ctx)
}

func (l *loader) flush(ctx context.Context) error {
	if l.inside == 0 {
		return nil
	}
	res, err := l.tx.ExecContext(ctx, l.insert, "["+string(l.batch)+"]")
	if err != nil {
		if fault.KindOf(err) == fault.Internal && ctx.Err() == nil {
			return fault.Wrap(fault.Invalid, err, "table %s refuses what stands in the %d lines of the dump before line %d", l.table, l.inside, l.n)
		}
		return err
	}
	n, err := res.RowsAffected()
	l.rows[l.table] += n
	l.batch, l.inside = l.batch[:0], 0
	return err
}

// end holds what was read against the last line.
func (l *loader) end(ctx context.Context, end dumpEnd) error {
	for _, t := range l.tables {
		got, ok := l.rows[t.name]
		if want := end.Rows[t.name]; !ok || got != want {
			return l.broken("tells of %d rows in table %s, and %d were there", want, t.name, got)
		}
		if t.counter {
			if err := l.c.setCounter(ctx, l.tx, t.name, end.Counters[t.name]); err != nil {
				return err
			}
		}
	}
	if l.header.RegistryID == "" { // of a schema that had none
		return nil
	}
	_, err := l.tx.ExecContext(ctx, "UPDATE meta SET value = ? WHERE key = 'registry_id'", l.header.RegistryID)
	return err
}

// Empty reports whether Load would take the catalog for empty.
func (c *Catalog) Empty(ctx context.Context) (bool, error) {
	full, err := c.fullTable(ctx)
	return full == "" && err == nil, err
}

// fullTable names a table that has rows, if there is one.
func (c *Catalog) fullTable(ctx context.Context) (string, error) {
	for _, t := range dumpTables {
		var is bool
		if err := c.ro.QueryRowContext(ctx, "SELECT EXISTS (SELECT 1 FROM "+t.name+")").Scan(&is); err != nil {
			return "", err
		}
		if is {
			return t.name, nil
		}
	}
	return "", nil
}
