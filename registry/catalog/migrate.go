package catalog

import (
	"context"
	"database/sql"
	"embed"
	"fmt"
	"io/fs"

	"github.com/pressly/goose/v3"

	"github.com/crateyard/crateyard/registry/fault"
)

//go:embed migrations
var migrations embed.FS

// fillAt is the version that made the tables of search words.
const fillAt = 2

// Migration is what became of the schema when a catalog was opened.
type Migration struct{ From, To int64 } // versions; From is 0 or less where there was none, and To where nothing was to be done

// migrate brings a schema up to date. Who calls it on a database that others may be opening as well holds a lock. With existing, it changes
// nothing, and refuses a schema that is not this program's. fill, where there is one, does at version fillAt what SQL cannot; it is run again
// when it was cut off.
func migrate(ctx context.Context, d goose.Dialect, db *sql.DB, folder string, existing bool, fill func(context.Context, *sql.DB) error) (Migration, error) {
	p, err := provider(d, db, folder)
	if err != nil {
		return Migration{}, err
	}
	have, want, err := p.GetVersions(ctx)
	if err != nil {
		return Migration{}, err
	}
	m := Migration{have, want}
	switch {
	case existing && have <= 0:
		return m, fault.New(fault.NotFound, "there is no registry in it: is it the right one?")
	case existing && have < want:
		return m, fmt.Errorf("its schema is version %d, of an older crateyard; this one needs version %d: upgrade the server first, or run the server's own crateyard", have, want)
	case have > want:
		return m, fmt.Errorf("its schema is version %d, made by a newer crateyard; this one knows version %d: run the newer one", have, want)
	}
	if fill != nil && have > 0 && have <= fillAt {
		if _, err := p.UpTo(ctx, fillAt); err != nil {
			return m, err
		}
		if err := fill(ctx, db); err != nil {
			return m, err
		}
	}
	_, err = p.Up(ctx)
	return m, err
}

func provider(d goose.Dialect, db *sql.DB, folder string) (*goose.Provider, error) {
	dir, err := fs.Sub(migrations, "migrations/"+folder)
	if err != nil {
		return nil, err
	}
	return goose.NewProvider(d, db, dir)
}
