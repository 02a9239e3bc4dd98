package catalog

import (
	"context"
	"database/sql"
	"sync"
)

// To prepare a statement takes SQLite's parser some 20 µs, and a publish has a dozen: a tenth of its time. So the statements
// of this package, which are all constants, are prepared once a connection and kept.

// statements are the prepared statements of one pool, by their text.
type statements struct {
	db    *sql.DB
	known sync.Map // string → *sql.Stmt
}

// prepare makes a statement known. Two that race both prepare; one is kept.
func (s *statements) prepare(ctx context.Context, query string) (*sql.Stmt, error) {
	if stmt, ok := s.known.Load(query); ok {
		return stmt.(*sql.Stmt), nil
	}
	stmt, err := s.db.PrepareContext(ctx, query)
	if err != nil {
		return nil, err
	}
	if kept, loaded := s.known.LoadOrStore(query, stmt); loaded {
		return kept.(*sql.Stmt), stmt.Close()
	}
	return stmt, nil
}

// QueryContext runs a query outside of any transaction.
func (s *statements) QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	stmt, err := s.prepare(ctx, query)
	if err != nil {
		return nil, err
	}
	return stmt.QueryContext(ctx, args...)
}

// QueryRowContext runs a query for one row outside of any transaction.
func (s *statements) QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row {
	stmt, err := s.prepare(ctx, query)
	if err != nil {
		return s.db.QueryRowContext(ctx, query, args...) // which reports the same error
	}
	return stmt.QueryRowContext(ctx, args...)
}

// tx is a transaction that uses the prepared statements of its pool. The pool has one connection, which the transaction
// holds, so a statement that is new runs unprepared, and is prepared for the next transaction when this one is over.
type tx struct {
	*sql.Tx
	stmts *statements
	fresh []string
}

func (t *tx) prepared(ctx context.Context, query string) (*sql.Stmt, bool) {
	stmt, ok := t.stmts.known.Load(query)
	if !ok {
		t.fresh = append(t.fresh, query)
		return nil, false
	}
	return t.StmtContext(ctx, stmt.(*sql.Stmt)), true
}

// QueryContext runs a query.
func (t *tx) QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	if stmt, ok := t.prepared(ctx, query); ok {
		return stmt.QueryContext(ctx, args...)
	}
	return t.Tx.QueryContext(ctx, query, args...)
}

// QueryRowContext runs a query for one row.
func (t *tx) QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row {
	if stmt, ok := t.prepared(ctx, query); ok {
		return stmt.QueryRowContext(ctx, args...)
	}
	return t.Tx.QueryRowContext(ctx, query, args...)
}

// ExecContext runs a statement.
func (t *tx) ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error) {
	if stmt, ok := t.prepared(ctx, query); ok {
		return stmt.ExecContext(ctx, args...)
	}
	return t.Tx.ExecContext(ctx, query, args...)
}

// keep prepares what the transaction ran unprepared. It is over; what cannot be prepared now runs unprepared again.
func (t *tx) keep(ctx context.Context) {
	for _, query := range t.fresh {
		_, _ = t.stmts.prepare(ctx, query) // see above
	}
}
