package catalog

import (
	"cmp"
	"context"
	"database/sql"
	"encoding/json"
	"sync"
	"time"
)

// To prepare a statement takes SQLite's parser some 20 µs, and a publish has a dozen: a tenth of its time. So the statements
// of this package, which are all constants, are prepared once a connection and kept. pgx does the same for PostgreSQL by itself.

// statements are the statements of one pool, by their text.
type statements struct {
	db    *sql.DB
	d     *dialect
	texts sync.Map // string → string: as the dialect has it
	known sync.Map // string → *sql.Stmt
}

// readTimeout bounds one read of a shared database, the wait for a connection included. To give a read up does no harm.
const readTimeout = 15 * time.Second

func (s *statements) text(query string) string {
	if text, ok := s.texts.Load(query); ok {
		return text.(string)
	}
	text := s.d.rewrite(query)
	s.texts.Store(query, text)
	return text
}

// prepare makes a statement known. Two that race both prepare; one is kept.
func (s *statements) prepare(ctx context.Context, query string) (*sql.Stmt, error) {
	if stmt, ok := s.known.Load(query); ok {
		return stmt.(*sql.Stmt), nil
	}
	stmt, err := s.db.PrepareContext(ctx, s.text(query))
	if err != nil {
		return nil, err
	}
	if kept, loaded := s.known.LoadOrStore(query, stmt); loaded {
		return kept.(*sql.Stmt), stmt.Close()
	}
	return stmt, nil
}

// limit bounds a read where others may hold it up.
func (s *statements) limit(ctx context.Context) (context.Context, context.CancelFunc) {
	if !s.d.shared {
		return ctx, func() {}
	}
	return context.WithTimeout(ctx, readTimeout)
}

// QueryContext runs a query outside of any transaction.
func (s *statements) QueryContext(ctx context.Context, query string, args ...any) (*rows, error) {
	if !s.d.prepares {
		return s.query(ctx, s.text(query), args)
	}
	if err := checkTexts(args); err != nil {
		return nil, err
	}
	stmt, err := s.prepare(ctx, query)
	if err != nil {
		return nil, s.d.fault(err)
	}
	r, err := stmt.QueryContext(ctx, args...)
	return newRows(r, s.d, func() {}, err)
}

// QueryOnce is QueryContext for a query that takes too many forms to be kept.
func (s *statements) QueryOnce(ctx context.Context, query string, args ...any) (*rows, error) {
	return s.query(ctx, s.d.rewrite(query), args)
}

func (s *statements) query(ctx context.Context, text string, args []any) (*rows, error) {
	if err := checkTexts(args); err != nil {
		return nil, err
	}
	ctx, cancel := s.limit(ctx)
	r, err := s.db.QueryContext(ctx, text, args...)
	return newRows(r, s.d, cancel, err)
}

// QueryRowContext runs a query for one row outside of any transaction.
func (s *statements) QueryRowContext(ctx context.Context, query string, args ...any) row {
	r, err := s.QueryContext(ctx, query, args...)
	return row{r, err}
}

// rows are the rows of a result whose errors are told as the dialect has them.
type rows struct {
	*sql.Rows
	d      *dialect
	cancel context.CancelFunc
}

func newRows(r *sql.Rows, d *dialect, cancel context.CancelFunc, err error) (*rows, error) {
	if err != nil {
		cancel()
		return nil, d.fault(err)
	}
	return &rows{r, d, cancel}, nil
}

// Err is what ended the rows before their end.
func (r *rows) Err() error { return r.d.fault(r.Rows.Err()) }

// Close ends the query.
func (r *rows) Close() error {
	defer r.cancel()
	return r.d.fault(r.Rows.Close())
}

// row is the first row of a result, or why there is none.
type row struct {
	rows *rows
	err  error
}

// Scan reads the row. Without one it is sql.ErrNoRows.
func (r row) Scan(dest ...any) error {
	if r.err != nil {
		return r.err
	}
	defer func() { _ = r.rows.Close() }() // the second time it does nothing
	if !r.rows.Next() {
		if err := r.rows.Err(); err != nil {
			return err
		}
		return sql.ErrNoRows
	}
	if err := r.rows.Scan(dest...); err != nil {
		return err
	}
	return r.rows.Close() // tells what went wrong after the row: a foreign key, say
}

// tx is a transaction that uses the prepared statements of its pool. SQLite's pool has one connection, which the transaction
// holds, so a statement that is new runs unprepared, and is prepared for the next transaction when this one is over.
type tx struct {
	*sql.Tx
	stmts *statements
	fresh []string
	whole bool  // no statement is cut off in its midst
	crate int64 // that a publish holds; see holds
}

// whole has a quick statement on SQLite run to its end, whoever stopped waiting for it. To cut one off takes the driver and database/sql a goroutine
// each that waits for that, and a publish has a dozen statements.
func (d *dialect) whole(ctx context.Context) context.Context {
	if d.shared {
		return ctx
	}
	return context.WithoutCancel(ctx)
}

// begins tells with which context a statement runs, or that it is not to begin.
func (t *tx) begins(ctx context.Context, args []any) (context.Context, error) {
	if err := cmp.Or(ctx.Err(), checkTexts(args)); err != nil || !t.whole {
		return ctx, err
	}
	return t.stmts.d.whole(ctx), nil
}

func (t *tx) prepared(ctx context.Context, query string) (*sql.Stmt, bool) {
	if !t.stmts.d.prepares {
		return nil, false
	}
	stmt, ok := t.stmts.known.Load(query)
	if !ok {
		t.fresh = append(t.fresh, query)
		return nil, false
	}
	return t.StmtContext(ctx, stmt.(*sql.Stmt)), true
}

// QueryContext runs a query.
func (t *tx) QueryContext(ctx context.Context, query string, args ...any) (*rows, error) {
	ctx, err := t.begins(ctx, args)
	if err != nil {
		return nil, err
	}
	if stmt, ok := t.prepared(ctx, query); ok {
		r, err := stmt.QueryContext(ctx, args...)
		return newRows(r, t.stmts.d, func() {}, err)
	}
	r, err := t.Tx.QueryContext(ctx, t.stmts.text(query), args...)
	return newRows(r, t.stmts.d, func() {}, err)
}

// QueryRowContext runs a query for one row.
func (t *tx) QueryRowContext(ctx context.Context, query string, args ...any) row {
	r, err := t.QueryContext(ctx, query, args...)
	return row{r, err}
}

// ExecContext runs a statement.
func (t *tx) ExecContext(ctx context.Context, query string, args ...any) (res sql.Result, err error) {
	if ctx, err = t.begins(ctx, args); err != nil {
		return nil, err
	}
	if stmt, ok := t.prepared(ctx, query); ok {
		res, err = stmt.ExecContext(ctx, args...)
	} else {
		res, err = t.Tx.ExecContext(ctx, t.stmts.text(query), args...)
	}
	return res, t.stmts.d.fault(err)
}

// keep prepares what the transaction ran unprepared. It is over; what cannot be prepared now runs unprepared again.
func (t *tx) keep(ctx context.Context) {
	for _, query := range t.fresh {
		_, _ = t.stmts.prepare(ctx, query) // see above
	}
}

// jsonRows makes a list the argument of json_each, a row for each text.
func jsonRows(list []string) string {
	rows := make([][1]string, 0, len(list))
	for _, s := range list {
		rows = append(rows, [1]string{s})
	}
	return toJSON(rows)
}

func toJSON[T any](rows []T) string {
	data, err := json.Marshal(rows)
	if err != nil {
		panic(err) // numbers and texts can always be written
	}
	return string(data)
}
