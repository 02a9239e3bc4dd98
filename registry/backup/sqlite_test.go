package backup_test

import (
	"context"
	"database/sql"
	"errors"
	"io"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/crateyard/crateyard/registry/catalog"
	"github.com/crateyard/crateyard/registry/upkeep"
	"github.com/crateyard/crateyard/registry/upkeep/upkeeptest"
)

type sqlite struct {
	*catalog.Catalog
	db   *sql.DB
	mu   sync.Mutex
	held map[string]string
}

func keep(t *testing.T, y *upkeeptest.Yard) *sqlite {
	return keepAt(t, y.Catalog, filepath.Join(filepath.Dir(y.Dir), "catalog.db"))
}

func keepAt(t *testing.T, c *catalog.Catalog, path string) *sqlite {
	db, err := sql.Open("sqlite", "file:"+path+"?_pragma=busy_timeout(10000)")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return &sqlite{Catalog: c, db: db, held: map[string]string{}}
}

func (s *sqlite) Blobs(ctx context.Context, after string) iter.Seq2[upkeep.Ref, error] {
	return func(yield func(upkeep.Ref, error) bool) {
		rows, err := s.db.QueryContext(ctx, `SELECT c.name, v.num, v.sha256, v.size, v.id, coalesce(v.deleted_at, c.deleted_at) FROM versions v JOIN crates c ON c.id = v.crate_id
			WHERE 'crates/' || c.name || '/' || v.num || '-' || v.sha256 || '.crate' > ? ORDER BY 'crates/' || c.name || '/' || v.num || '-' || v.sha256 || '.crate'`, after)
		if err != nil {
			yield(upkeep.Ref{}, err)
			return
		}
		defer func() { _ = rows.Close() }()
		for rows.Next() {
			var r upkeep.Ref
			var deleted sql.NullInt64
			err := rows.Scan(&r.Crate, &r.Num, &r.SHA256, &r.Size, &r.VersionID, &deleted)
			if deleted.Valid {
				at := time.Unix(deleted.Int64, 0)
				r.DeletedAt = &at
			}
			if !yield(r, err) {
				return
			}
		}
	}
}

func (s *sqlite) Lease(ctx context.Context, name, holder string, ttl time.Duration) (bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if h := s.held[name]; h != "" && h != holder {
		return false, nil
	}
	s.held[name] = holder
	return true, nil
}
func (s *sqlite) Release(ctx context.Context, name, holder string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.held[name] == holder {
		delete(s.held, name)
	}
	return nil
}

func (s *sqlite) Dump(ctx context.Context, w io.Writer) error {
	dir, err := os.MkdirTemp("", "")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	if _, err := s.db.ExecContext(ctx, "VACUUM INTO ?", filepath.Join(dir, "dump")); err != nil {
		return err
	}
	f, err := os.Open(filepath.Join(dir, "dump"))
	if err != nil {
		return err
	}
	_, err = io.Copy(w, f)
	return errors.Join(err, f.Close())
}

// loader is a catalog that is not there yet.
type loader struct{ path string }

func (l loader) Empty(context.Context) (bool, error) {
	_, err := os.Stat(l.path)
	return errors.Is(err, fs.ErrNotExist), nil
}

func (l loader) Load(_ context.Context, r io.Reader) error {
	data, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	return os.WriteFile(l.path, data, 0o600)
}

func (l loader) open(t *testing.T) *catalog.Catalog {
	c, err := catalog.Open(t.Context(), l.path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}
