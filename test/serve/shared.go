package serve

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/crateyard/crateyard/test/postgres"
	"github.com/crateyard/crateyard/test/s3"
)

// Shared is a registry that several servers serve: a database, and a bucket or a folder.
type Shared struct {
	URI        string // of the database
	Blobs      string // folder in which they lie, S3's own where they are in a bucket
	ConfigFile string // of its servers
}

// sharedToken is the admin's token of all its servers.
const sharedToken = "cy_test_aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

// NewShared makes a new database and a new bucket; without an S3 server, a folder below dir. more is added to the configuration, as
// YAML; what is indented goes on with storage.
func NewShared(pg *postgres.Server, bucket *s3.Server, dir string, more ...string) (*Shared, error) {
	uri, err := pg.NewDatabase()
	if err != nil {
		return nil, err
	}
	blobs := filepath.Join(dir, "crates")
	storage := fmt.Sprintf("storage:\n  folder: %q\n", blobs)
	if bucket != nil {
		name, err := bucket.Bucket(context.Background())
		if err != nil {
			return nil, err
		}
		if err := os.Mkdir(filepath.Join(dir, "keys"), 0o700); err != nil {
			return nil, err
		}
		if err := bucket.WriteCredentials(filepath.Join(dir, "keys")); err != nil {
			return nil, err
		}
		storage = fmt.Sprintf("storage:\n  s3: {bucket: %s, region: %s, endpoint: %q, forcePathStyle: true, credentialsDir: %q}\n", name, bucket.Region, bucket.Endpoint, filepath.Join(dir, "keys"))
		blobs = filepath.Join(bucket.Dir, name)
	}
	for _, m := range more {
		storage += m
	}
	s := &Shared{URI: uri, Blobs: blobs, ConfigFile: filepath.Join(dir, "config.yaml")}
	return s, os.WriteFile(s.ConfigFile, []byte(storage), 0o600)
}

// Options are those of one of its servers, which has a folder of its own.
func (s *Shared) Options(data string) Options {
	return Options{Data: data, Flags: []string{"--config", s.ConfigFile}, Env: []string{"CRATEYARD_POSTGRES_URI=" + s.URI}, AdminToken: sharedToken}
}
