package upkeeptest

import (
	"context"
	"database/sql"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"

	_ "github.com/jackc/pgx/v5/stdlib" // the driver "pgx"

	"github.com/crateyard/crateyard/registry/catalog"
	"github.com/crateyard/crateyard/registry/storage"
	"github.com/crateyard/crateyard/test/postgres"
	"github.com/crateyard/crateyard/test/s3"
)

// Main runs the tests of a package and ends the servers that they started.
func Main(m *testing.M) int {
	code := postgres.Main(m)
	if bucket.Server != nil {
		if err := bucket.Stop(); err != nil {
			fmt.Println(err)
			code = 1
		}
		_ = os.RemoveAll(bucket.Dir) // in the temporary folder
	}
	return code
}

// Each runs a test on SQLite and a folder, and on PostgreSQL and a bucket.
func Each(t *testing.T, test func(t *testing.T, y *Yard)) {
	t.Run("sqlite and folder", func(t *testing.T) { test(t, Small(t)) })
	t.Run("postgres and bucket", func(t *testing.T) { test(t, Large(t)) })
}

// Small makes a yard of SQLite and a folder.
func Small(t testing.TB) *Yard {
	t.Helper()
	dir := t.TempDir()
	path := filepath.Join(dir, "catalog.db")
	c, err := catalog.Open(context.Background(), path)
	if err != nil {
		t.Fatal(err)
	}
	y := &Yard{T: t, Catalog: c, db: open(t, "sqlite", "file:"+path+"?_pragma=busy_timeout(10000)"), other: Large}
	closing(t, c.Close)
	y.Store, y.Folder = Folder(t)
	return y
}

// Large makes a yard of PostgreSQL and a bucket.
func Large(t testing.TB) *Yard {
	t.Helper()
	uri := postgres.Database(t)
	c, err := catalog.OpenPostgres(context.Background(), catalog.PostgresOptions{URI: uri, MaxConnections: 8})
	if err != nil {
		t.Fatal(err)
	}
	y := &Yard{T: t, Catalog: c, db: open(t, "pgx", uri), other: Small}
	closing(t, c.Close)
	y.Store, y.Folder = Bucket(t)
	return y
}

// Folder makes a storage in a folder.
func Folder(t testing.TB) (storage.Store, string) {
	t.Helper()
	dir := t.TempDir()
	s, err := storage.OpenSharedFilesystem(dir)
	if err != nil {
		t.Fatal(err)
	}
	closing(t, s.Close)
	return s, dir
}

var bucket struct {
	mu sync.Mutex
	*s3.Server
}

// Bucket makes a storage in a bucket, and tells where its objects lie as files.
func Bucket(t testing.TB) (storage.Store, string) {
	t.Helper()
	s, name := startBucket(t)
	keys := t.TempDir()
	if err := s.WriteCredentials(keys); err != nil {
		t.Fatal(err)
	}
	store, err := storage.OpenS3(context.Background(), storage.S3Options{Bucket: name, Region: s.Region, Endpoint: s.Endpoint, ForcePathStyle: true,
		CredentialsDir: keys, SpoolDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	closing(t, store.Close)
	return store, filepath.Join(s.Dir, name)
}

func startBucket(t testing.TB) (*s3.Server, string) {
	t.Helper()
	bucket.mu.Lock()
	defer bucket.mu.Unlock()
	if err := startServer(); err != nil {
		t.Fatal(err)
	}
	name, err := bucket.Bucket(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	return bucket.Server, name
}

// startServer starts the server that all tests of a package share; Main ends it.
func startServer() error {
	if bucket.Server != nil {
		return nil
	}
	dir, err := os.MkdirTemp("", "crateyard-s3-")
	if err != nil {
		return err
	}
	bucket.Server, err = s3.Start(dir)
	return err
}

func open(t testing.TB, driver, dsn string) *sql.DB {
	t.Helper()
	db, err := sql.Open(driver, dsn)
	if err != nil {
		t.Fatal(err)
	}
	closing(t, db.Close)
	return db
}

func closing(t testing.TB, f func() error) {
	t.Cleanup(func() {
		if err := f(); err != nil {
			t.Error(err)
		}
	})
}
