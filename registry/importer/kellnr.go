package importer

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"net/url"
	"os"
	"path/filepath"
	"time"

	_ "modernc.org/sqlite" // the driver "sqlite"
)

// Kellnr is the data folder of a Kellnr with SQLite: db.sqlite and crates/{name}-{version}.crate. Stop that Kellnr first, or copy the
// folder. What it cached of crates.io is passed over.
type Kellnr struct{ Dir string }

// Crates reads Kellnr's own index from its database, by tables that it has had since its version 4.
func (k Kellnr) Crates(ctx context.Context) iter.Seq2[Crate, error] {
	return func(yield func(Crate, error) bool) {
		crates, err := k.read(ctx)
		if err == nil && len(crates) == 0 {
			err = fmt.Errorf("%s has no crates of its own: is this the data folder of the Kellnr that you mean?", filepath.Join(k.Dir, "db.sqlite"))
		}
		if err != nil {
			yield(Crate{}, fmt.Errorf("Kellnr's database: %w", err))
			return
		}
		for _, c := range crates {
			if !yield(c, nil) {
				return
			}
		}
	}
}

func (k Kellnr) read(ctx context.Context) (crates []Crate, err error) {
	file := filepath.Join(k.Dir, "db.sqlite")
	if _, err := os.Stat(file); errors.Is(err, fs.ErrNotExist) { // SQLite would make it
		return nil, fmt.Errorf("there is no db.sqlite in %s: say Kellnr's data folder; one with PostgreSQL is imported with `crateyard import sparse`", k.Dir)
	} else if err != nil {
		return nil, err
	}
	db, err := sql.Open("sqlite", "file:"+(&url.URL{Path: file}).EscapedPath()+"?mode=ro")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	rows, err := db.QueryContext(ctx, `SELECT k.original_name, i.vers, i.cksum, i.yanked, coalesce(m.created, ''), coalesce(i.deps, '[]')
		FROM crate_index i JOIN krate k ON k.id = i.crate_fk LEFT JOIN crate_meta m ON m.crate_fk = k.id AND m.version = i.vers
		ORDER BY k.original_name, i.id`)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var name, created string
		var deps []byte
		var v Version
		if err := rows.Scan(&name, &v.Vers, &v.SHA256, &v.Yanked, &created, &deps); err != nil {
			return nil, err
		}
		var of line
		if json.Unmarshal(deps, &of.Deps) == nil { // else nobody knows which are its own
			v.Own = of.own()
		}
		v.PublishedAt = kellnrTime(created)
		v.Open = openFile(filepath.Join(k.Dir, "crates", name+"-"+v.Vers+".crate"))
		if n := len(crates); n == 0 || crates[n-1].Name != name {
			crates = append(crates, Crate{Name: name})
		}
		last := &crates[len(crates)-1]
		last.Versions = append(last.Versions, v)
	}
	return crates, rows.Err()
}

// kellnrTime reads a time as Kellnr has written it over the years, in UTC; zero when it is none.
func kellnrTime(text string) time.Time {
	for _, layout := range []string{"2006-01-02 15:04:05", "2006-01-02 15:04:05.999999999 UTC", time.RFC3339} {
		if at, err := time.Parse(layout, text); err == nil {
			return at.UTC()
		}
	}
	return time.Time{}
}
