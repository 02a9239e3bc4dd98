package catalog

import (
	"bufio"
	"context"
	"database/sql"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
)

// Dump writes the whole catalog as it is at one moment, as lines of JSON, while it goes on being changed. What it writes does not
// depend on the database behind it: Load takes it on another. Leases, marks of a sweep and the claim are not in it. Characters that no
// database takes are written as U+FFFD.
func (c *Catalog) Dump(ctx context.Context, w io.Writer) error {
	if c.feed != nil {
		if err := c.feed.numberAll(ctx); err != nil {
			return err
		}
	}
	return c.read(ctx, func(q querier) error {
		id, err := metaValue(ctx, q, "registry_id")
		if err != nil {
			return err
		}
		return c.dump(ctx, q, w, id, dumpTables)
	})
}

func (c *Catalog) dump(ctx context.Context, q querier, w io.Writer, registryID string, tables []dumped) (err error) {
	out := bufio.NewWriterSize(w, 64<<10)
	lines := json.NewEncoder(out)
	lines.SetEscapeHTML(false)
	header := dumpHeader{Crateyard: "catalog", Format: dumpFormat, RegistryID: registryID}
	if header.Schema, err = schemaVersion(ctx, q); err != nil {
		return err
	}
	if err := lines.Encode(header); err != nil {
		return err
	}
	end := dumpEnd{End: true, Rows: map[string]int64{}, Counters: map[string]int64{}}
	for _, t := range tables {
		if end.Rows[t.name], err = c.dumpTable(ctx, q, lines, t); err != nil {
			return fmt.Errorf("table %s: %w", t.name, err)
		}
		if t.counter {
			if end.Counters[t.name], err = c.counter(ctx, q, t.name); err != nil {
				return err
			}
		}
	}
	return errors.Join(lines.Encode(end), out.Flush())
}

func schemaVersion(ctx context.Context, q querier) (version int64, err error) {
	err = q.QueryRowContext(ctx, "SELECT max(version_id) FROM goose_db_version WHERE is_applied").Scan(&version)
	return version, err
}

func (c *Catalog) dumpTable(ctx context.Context, q querier, lines *json.Encoder, t dumped) (n int64, err error) {
	head := dumpTable{Table: t.name}
	for _, col := range t.columns {
		head.Columns = append(head.Columns, col.name)
	}
	if err := lines.Encode(head); err != nil {
		return 0, err
	}
	order, isFeed := t.order, t.name == "changes"
	if isFeed && c.d.shared {
		order = "seq NULLS LAST, id"
	}
	var last int64
	var broken error
	err = each(ctx, q, func(r *sql.Rows) ([]any, error) { return scanDumped(r, t.columns) }, func(values []any) bool {
		if isFeed { // a change that was committed just now gets its number here
			if values[0] == nil {
				values[0] = last + 1
			}
			last, _ = values[0].(int64)
		}
		n++
		broken = lines.Encode(values)
		return broken == nil
	}, "SELECT "+strings.Join(head.Columns, ", ")+" FROM "+t.name+" ORDER BY "+order)
	return n, errors.Join(err, broken)
}

func scanDumped(r *sql.Rows, cols []column) ([]any, error) {
	values, into := make([]any, len(cols)), make([]any, len(cols))
	for i, col := range cols {
		switch col.kind {
		case number:
			into[i] = new(sql.NullInt64)
		case text:
			into[i] = new(sql.NullString)
		case truth:
			into[i] = new(bool)
		case octets:
			into[i] = new([]byte)
		}
	}
	if err := r.Scan(into...); err != nil {
		return nil, err
	}
	for i := range into {
		switch v := into[i].(type) {
		case *sql.NullInt64:
			if v.Valid {
				values[i] = v.Int64
			}
		case *sql.NullString:
			if v.Valid {
				values[i] = strings.ReplaceAll(strings.ToValidUTF8(v.String, "\uFFFD"), "\x00", "\uFFFD")
			}
		case *bool:
			values[i] = *v
		case *[]byte:
			values[i] = hex.EncodeToString(*v)
		}
	}
	return values, nil
}

// counter gives the highest id that a table ever gave.
func (c *Catalog) counter(ctx context.Context, q querier, table string) (n int64, err error) {
	query, args := "SELECT seq FROM sqlite_sequence WHERE name = ?", []any{table}
	if c.d.shared {
		query = "SELECT coalesce(pg_sequence_last_value(CAST(pg_get_serial_sequence(?, 'id') AS REGCLASS)), 0)"
	}
	err = q.QueryRowContext(ctx, query, args...).Scan(&n)
	if errors.Is(err, sql.ErrNoRows) {
		return 0, nil
	}
	return n, err
}

func (c *Catalog) setCounter(ctx context.Context, tx *tx, table string, n int64) error {
	if n == 0 {
		return nil
	}
	if c.d.shared {
		_, err := tx.ExecContext(ctx, "SELECT setval(CAST(pg_get_serial_sequence(?, 'id') AS REGCLASS), ?)", table, n)
		return err
	}
	if _, err := tx.ExecContext(ctx, "DELETE FROM sqlite_sequence WHERE name = ?", table); err != nil {
		return err
	}
	_, err := tx.ExecContext(ctx, "INSERT INTO sqlite_sequence (name, seq) VALUES (?, ?)", table, n)
	return err
}
