package upkeep_test

import (
	"context"
	"database/sql"
	"iter"
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
	db    *sql.DB
	mu    sync.Mutex
	marks map[string]bool
	held  map[string]string
}

func keep(t *testing.T, y *upkeeptest.Yard) *sqlite {
	db, err := sql.Open("sqlite", "file:"+filepath.Join(filepath.Dir(y.Dir), "catalog.db")+"?_pragma=busy_timeout(10000)")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return &sqlite{Catalog: y.Catalog, db: db, marks: map[string]bool{}, held: map[string]string{}}
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

func (s *sqlite) MarkForSweep(ctx context.Context, keys []string, deletedBefore time.Time) (marked []string, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, k := range keys {
		s.marks[k] = true
	}
	return keys, nil
}
func (s *sqlite) Marked(ctx context.Context) (list []string, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for k := range s.marks {
		list = append(list, k)
	}
	return list, nil
}
func (s *sqlite) Unmark(ctx context.Context, keys []string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, k := range keys {
		delete(s.marks, k)
	}
	return nil
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
