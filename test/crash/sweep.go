package crash

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib" // the driver "pgx"
	_ "modernc.org/sqlite"             // the driver "sqlite"

	"github.com/crateyard/crateyard/registry"
	"github.com/crateyard/crateyard/registry/upkeep"
)

// backends are what outlives the server: where its catalog and its blobs are, for a test that makes them older than they are.
type backends struct {
	driver, source string // of the catalog, as database/sql has them
	blobs          string // folder
	config         registry.Config
}

// consistent holds catalog, blobs and index against each other, and reads every blob, beside a server that runs.
func (b backends) consistent(ctx context.Context) (err error) {
	open, err := registry.OpenBackends(ctx, &b.config, registry.BackendOptions{Beside: true, Existing: true, MayLack: true})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, open.Close()) }() // so that the next server alone mends what a kill leaves of the catalog's files
	report := &upkeep.Report{}
	if err := (&upkeep.Checker{Catalog: open.Catalog, Store: open.Store, Feed: open.Catalog}).Run(ctx, report); err != nil {
		return err
	}
	if report.Damaged() > 0 {
		return fmt.Errorf("check: %v", report.Findings)
	}
	return nil
}

// age makes all blobs and deletions two days old, so that a sweep has something to do; and it gives back the lease of a sweep that was killed,
// for which the next one would wait some minutes. It gives the files of the blobs.
func (b backends) age() (blobs []string, err error) {
	db, err := sql.Open(b.driver, b.source)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	for _, statement := range []string{
		"UPDATE versions SET deleted_at = deleted_at - 172800 WHERE deleted_at IS NOT NULL",
		"DELETE FROM leases",
	} {
		if _, err := db.ExecContext(context.Background(), statement); err != nil {
			return nil, err
		}
	}
	old := time.Now().Add(-48 * time.Hour)
	err = b.each(func(path string) error {
		blobs = append(blobs, path)
		return os.Chtimes(path, old, old)
	})
	return blobs, err
}

func (b backends) each(do func(path string) error) error {
	return filepath.WalkDir(b.blobs, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || filepath.Ext(path) != ".crate" {
			return err
		}
		return do(path)
	})
}
