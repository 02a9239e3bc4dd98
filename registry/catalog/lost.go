package catalog

import (
	"context"
	"database/sql"
	"hash/maphash"
	"strings"
)

// lostVersions asks for crates whose changes, from behind one on, name versions that are in no row.
const lostVersions = `SELECT ch.crate, count(DISTINCT ch.version_id) FROM changes ch WHERE ch.id_ > ? AND ch.version_id IS NOT NULL
	AND NOT EXISTS (SELECT 1 FROM versions v JOIN crates c ON c.id = v.crate_id WHERE v.id = ch.version_id) GROUP BY ch.crate`

// LostVersions gives the names of the crates of whose history the catalog lacks versions, and how many: changes name them, and they are in no row,
// nor deleted, which keeps the row. Somebody took them out of the database by hand, with foreign keys off, as SQLite's shell has them. It reads
// all changes: who asks again and again takes a Census.
func (c *Catalog) LostVersions(ctx context.Context) (map[string]int64, error) {
	return c.lostAfter(ctx, c.ro, 0)
}

// lostAfter is LostVersions for the changes behind an id.
func (c *Catalog) lostAfter(ctx context.Context, q querier, after int64) (map[string]int64, error) {
	lost := map[string]int64{}
	_, err := collect(ctx, q, func(r *sql.Rows) (struct{}, error) {
		var name string
		var n int64
		err := r.Scan(&name, &n)
		lost[name] = n
		return struct{}{}, err
	}, c.changeID(lostVersions), after)
	return lost, err
}

// Census is what a catalog had at one moment, as far as it takes to tell cheaply, later and again and again, what was taken out of it since. It
// takes some 20 bytes a crate.
type Census struct {
	Lost map[string]int64 // as LostVersions has it; Again adds what it finds

	c       *Catalog
	seed    maphash.Seed
	rows    map[uint64]int64 // versions of a crate, by a hash of its name; two crates with one hash are spared once too often
	version int64            // the last that is counted
	change  int64            // the last that was looked at
}

// Census reads the whole catalog once.
func (c *Catalog) Census(ctx context.Context) (*Census, error) {
	s := &Census{c: c, seed: maphash.MakeSeed(), rows: map[uint64]int64{}}
	return s, c.read(ctx, func(q querier) (err error) {
		if err := q.QueryRowContext(ctx, c.changeID("SELECT (SELECT coalesce(max(id), 0) FROM versions), (SELECT coalesce(max(ch.id_), 0) FROM changes ch)")).
			Scan(&s.version, &s.change); err != nil {
			return err
		}
		if s.Lost, err = c.lostAfter(ctx, q, 0); err != nil {
			return err
		}
		return each(ctx, q, scanCount, func(n crateCount) bool {
			s.rows[maphash.String(s.seed, n.name)] += n.versions
			return true
		}, "SELECT c.name, count(*) FROM crates c JOIN versions v ON v.crate_id = c.id WHERE v.id <= ? GROUP BY c.id, c.name", s.version)
	})
}

// Again looks whether any of these crates have lost versions since. What it costs depends on them, and on what was changed since the census.
func (s *Census) Again(ctx context.Context, crates []string) error {
	names := make([][1]string, 0, len(crates))
	for _, name := range crates {
		names = append(names, [1]string{name})
	}
	return s.c.read(ctx, func(q querier) error {
		// Of the versions that were counted: none comes to them, so fewer are a loss.
		if err := each(ctx, q, scanCount, func(n crateCount) bool {
			if gone := s.rows[maphash.String(s.seed, n.name)] - n.versions; gone > 0 {
				s.Lost[n.name] = max(s.Lost[n.name], gone)
			}
			return true
		}, `SELECT k.crate, (SELECT count(*) FROM crates c JOIN versions v ON v.crate_id = c.id WHERE c.name || '/' = k.crate || '/' AND v.id <= ?)
			FROM (SELECT value ->> 0 AS crate FROM json_each(?)) k`, s.version, toJSON(names)); err != nil {
			return err
		}
		since, err := s.c.lostAfter(ctx, q, s.change)
		for name, n := range since {
			s.Lost[name] = max(s.Lost[name], n)
		}
		return err
	})
}

type crateCount struct {
	name     string
	versions int64
}

func scanCount(r *sql.Rows) (n crateCount, err error) {
	return n, r.Scan(&n.name, &n.versions)
}

// changeID puts the name of the column of a change that ascends, and that each change has at once, in place of id_.
func (c *Catalog) changeID(query string) string {
	if c.d.shared {
		return strings.ReplaceAll(query, "ch.id_", "ch.id")
	}
	return strings.ReplaceAll(query, "ch.id_", "ch.seq")
}
