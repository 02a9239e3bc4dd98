package main

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib" // the driver "pgx"

	"github.com/crateyard/crateyard/registry/catalog"
	"github.com/crateyard/crateyard/registry/crate"
	"github.com/crateyard/crateyard/test/postgres"
)

// few and many are the crates of the catalogs that are held against each other.
const few, many = 1_000, 200_000

// grown is a catalog with so many crates.
type grown struct {
	*catalog.Catalog
	by     catalog.Actor
	crates int
	n      int // publishes so far
}

// measureGrowthPostgres publishes to a catalog of many crates and to one of few, in turns.
func measureGrowthPostgres(ctx context.Context, b *bench) (_ result, err error) {
	pg, err := postgres.Start(postgres.Options{})
	if err != nil {
		return result{}, err
	}
	defer func() { err = errors.Join(err, pg.Close()) }()
	return measureGrowth(ctx, b, "PostgreSQL", func(crates int) (*catalog.Catalog, error) {
		uri, err := pg.NewDatabase()
		if err != nil {
			return nil, err
		}
		open := func() (*catalog.Catalog, error) { return catalog.OpenPostgres(ctx, catalog.PostgresOptions{URI: uri}) }
		return fill(ctx, open, "pgx", uri, crates, "VACUUM ANALYZE")
	})
}

// measureGrowthSQLite does it on SQLite.
func measureGrowthSQLite(ctx context.Context, b *bench) (_ result, err error) {
	dir, err := os.MkdirTemp(b.dir, "growth-")
	if err != nil {
		return result{}, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	return measureGrowth(ctx, b, "SQLite", func(crates int) (*catalog.Catalog, error) {
		path := filepath.Join(dir, fmt.Sprint(crates, ".db"))
		return fill(ctx, func() (*catalog.Catalog, error) { return catalog.Open(ctx, path) }, "sqlite", path, crates, "PRAGMA wal_checkpoint(TRUNCATE)")
	})
}

func measureGrowth(ctx context.Context, b *bench, name string, open func(crates int) (*catalog.Catalog, error)) (_ result, err error) {
	var both [2]*grown
	for i, crates := range []int{few, many} {
		c, err := open(crates)
		if err != nil {
			return result{}, err
		}
		defer func() { err = errors.Join(err, c.Close()) }()
		both[i] = &grown{Catalog: c, crates: crates}
		u, err := c.User(ctx, "owner")
		if err != nil {
			return result{}, err
		}
		tok, err := c.CreateToken(ctx, catalog.Actor{}, catalog.Token{UserName: u.Name, Name: "bench"}, sha256.Sum256([]byte(name)))
		if err != nil {
			return result{}, err
		}
		both[i].by = catalog.Actor{UserID: u.ID, User: u.Name, Role: u.Role, TokenID: tok.ID, TokenName: tok.Name}
	}
	var took [2][]time.Duration
	for end := time.Now().Add(2 * time.Duration(b.rounds) * b.length); time.Now().Before(end); {
		for i, g := range both {
			begin := time.Now()
			if err := g.publish(ctx); err != nil {
				return result{}, err
			}
			if g.n > 50 { // by then statements are prepared
				took[i] = append(took[i], time.Since(begin))
			}
		}
	}
	if len(took[0]) == 0 {
		return result{}, errors.New("too few publishes to measure")
	}
	for i := range took {
		slices.Sort(took[i])
	}
	small, large := took[0][len(took[0])/2], took[1][len(took[1])/2]
	return result{fmt.Sprintf("publish to the catalog, %s, %d crates", name, many), fmt.Sprintf("p50 %.2f ms", ms(large)),
		fmt.Sprintf("%d crates: p50 %.2f ms", few, ms(small)), fmt.Sprintf("%.2f", large.Seconds()/small.Seconds()), "at most 1.20", atMost("the ratio", large.Seconds()/small.Seconds(), 1.2)}, nil
}

// publish publishes a version of any crate, and each tenth time a new one.
func (g *grown) publish(ctx context.Context) error {
	g.n++
	p := catalog.Publication{By: g.by, Name: fmt.Sprintf("bench-%d", 1+rand.IntN(g.crates)), SHA256: strings.Repeat("a", 64), Size: 20_000,
		Line: []byte(strings.Repeat("l", 230)), Metadata: []byte(`{"m":"` + strings.Repeat("m", 330) + `"}`), Details: catalog.Details{Description: "bench"}}
	if g.n%10 == 0 {
		p.Name = fmt.Sprintf("fresh-%d", g.n)
	}
	var err error
	if p.Version, err = crate.ParseVersion(fmt.Sprintf("2.%d.0", g.n)); err != nil {
		return err
	}
	anyone := func(catalog.Standing) error { return nil }
	if err := g.CheckPublish(ctx, p, anyone); err != nil {
		return err
	}
	return g.Publish(ctx, p, anyone)
}

// fill makes a catalog and fills it, in statements that both databases understand: a crate has an owner, three words, two versions, and
// their records and changes.
func fill(ctx context.Context, open func() (*catalog.Catalog, error), driver, source string, crates int, last string) (_ *catalog.Catalog, err error) {
	c, err := open()
	if err != nil {
		return nil, err
	}
	_, err = c.CreateUser(ctx, catalog.Actor{}, catalog.User{Name: "owner", Role: "publisher"})
	if err := errors.Join(err, c.Close()); err != nil { // or its sequencer would be at work
		return nil, err
	}
	db, err := sql.Open(driver, source)
	if err != nil {
		return nil, err
	}
	for _, query := range []string{
		fmt.Sprintf(`WITH RECURSIVE g(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM g WHERE i < %d)
			INSERT INTO crates (name, canonical, description, max_version, created_at, updated_at)
			SELECT 'bench-' || i, 'bench_' || i, 'bench', '1.1.0', 1, 1 FROM g`, crates),
		"INSERT INTO owners (crate_id, user_id) SELECT c.id, u.id FROM crates c, users u WHERE u.name = 'owner'",
		"INSERT INTO crate_words (word, crate_id) SELECT 'bench', id FROM crates UNION ALL SELECT canonical, id FROM crates UNION ALL SELECT 'w' || (id % 1000), id FROM crates",
		`INSERT INTO versions (crate_id, num, release, sha256, size, line, published_by, publisher_id, created_at, metadata, details)
			SELECT c.id, n.num, n.num, 'aa', 20000, '` + strings.Repeat("l", 230) + `', 'owner', 1, 1, '` + strings.Repeat("m", 330) + `', '{}'
			FROM crates c, (SELECT '1.0.0' AS num UNION ALL SELECT '1.1.0') n`,
		`INSERT INTO audit (at, actor, token_id, token, address, action, crate, version)
			SELECT 1700000000, 'owner', 1, 'bench', '127.0.0.1', 'crate.publish', c.name, v.num FROM versions v JOIN crates c ON c.id = v.crate_id`,
		`INSERT INTO changes (seq, crate, kind, version_id, hidden, at)
			SELECT v.id, c.name, 'publish', v.id, 1 = 0, 1700000000 FROM versions v JOIN crates c ON c.id = v.crate_id`,
		last,
	} {
		if _, err := db.ExecContext(ctx, query); err != nil {
			return nil, errors.Join(fmt.Errorf("fill: %w", err), db.Close())
		}
	}
	if err := db.Close(); err != nil {
		return nil, err
	}
	return open()
}
