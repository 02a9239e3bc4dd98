package catalog

import (
	"context"
	"database/sql"
	"embed"
	"fmt"
	"io/fs"

	"github.com/pressly/goose/v3"
)

//go:embed migrations
var migrations embed.FS

// migrate brings a schema up to date. Who calls it on a database that others may be opening as well holds a lock.
func migrate(ctx context.Context, d goose.Dialect, db *sql.DB, folder string) error {
	dir, err := fs.Sub(migrations, "migrations/"+folder)
	if err != nil {
		return err
	}
	p, err := goose.NewProvider(d, db, dir)
	if err != nil {
		return err
	}
	have, want, err := p.GetVersions(ctx)
	if err != nil {
		return err
	}
	if have > want {
		return fmt.Errorf("its schema is version %d, made by a newer crateyard; this one knows version %d: run the newer one", have, want)
	}
	_, err = p.Up(ctx)
	return err
}
