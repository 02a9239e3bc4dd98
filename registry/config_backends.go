package registry

import (
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"github.com/crateyard/crateyard/registry/backup"
	"github.com/crateyard/crateyard/registry/cron"
)

// Storage says where crate files lie. Left out, they lie in Data/storage.
type Storage struct {
	// Folder keeps them in a folder elsewhere than in Data, such as a volume that several servers mount (ReadWriteMany).
	Folder string `yaml:"folder"`
	// S3 keeps them in a bucket.
	S3 *S3 `yaml:"s3"`
	// Delivery of downloads: Proxy (default) streams them through the server, Redirect sends cargo to the bucket with an address that
	// holds for a few minutes.
	Delivery string `yaml:"delivery"`
	// Cache keeps copies of what is read from S3 in Data/cache.
	Cache Cache `yaml:"cache"`
}

// Cache says what copies of crate files may take.
type Cache struct {
	Size int64 `yaml:"size"` // bytes; 0: no cache; default 1 GiB
}

// leastCache is the smallest cache that is worth it.
const leastCache = 1 << 20

// S3 is a bucket, or a part of one, on anything that speaks S3.
type S3 struct {
	Bucket         string `yaml:"bucket"`
	Region         string `yaml:"region"`         // empty: as the environment says, else us-east-1
	Endpoint       string `yaml:"endpoint"`       // empty: Amazon's for the region
	Prefix         string `yaml:"prefix"`         // before all keys, such as team/crates; empty: the whole bucket
	ForcePathStyle bool   `yaml:"forcePathStyle"` // the bucket in the path instead of the host's name, as most servers that are not Amazon's need
	// CredentialsDir holds the files AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and perhaps AWS_SESSION_TOKEN, as a mounted Secret has
	// them; they are read anew when they change. Empty: the AWS chain of environment, files, web identity and instance.
	CredentialsDir string `yaml:"credentialsDir"`
	// Encryption asks the server to encrypt: AES256 or aws:kms. Empty: as the bucket has it.
	Encryption string `yaml:"encryption"`
	KMSKeyID   string `yaml:"kmsKeyID"` // of aws:kms; empty: the bucket's own
	CAFile     string `yaml:"caFile"`   // PEM certificates to believe besides the system's
}

// Catalog says where the catalog is kept. Left out, it is SQLite in Data/catalog.db.
type Catalog struct {
	Postgres *Postgres `yaml:"postgres"`
}

// Postgres is a database of a PostgreSQL server, 15 or later.
type Postgres struct {
	// URIFile holds the connection URI, postgresql://user:password@host/database?sslmode=verify-full, as a mounted Secret has it.
	URIFile string `yaml:"uriFile"`
	// URI is the URI itself, from the environment only: CRATEYARD_POSTGRES_URI.
	URI            string `yaml:"-"`
	MaxConnections int    `yaml:"maxConnections"` // of one server; default 20
}

// Sweep says when blobs that nothing names are removed.
type Sweep struct {
	Every     Duration `yaml:"every"`     // 0: never by itself
	OlderThan Duration `yaml:"olderThan"` // at least an hour: an upload may be on its way
}

// Scrub says how fast stored blobs are read again, to find those that no longer have their digest.
type Scrub struct {
	Rate int64 `yaml:"rate"` // bytes a second; 0: not at all
}

// Backup says when and where the registry is backed up by itself.
type Backup struct {
	Schedule string `yaml:"schedule"` // cron, five fields, UTC; empty: never
	Folder   string `yaml:"folder"`   // where to, or
	S3       *S3    `yaml:"s3"`
	Keep     int    `yaml:"keep"` // how many to keep; default 14
}

// RestoreFrom is where backups lie, and which of them to take.
type RestoreFrom struct {
	Folder string `yaml:"folder"`
	S3     *S3    `yaml:"s3"`
	Name   string `yaml:"name"` // empty: the newest
}

// uri gives the connection URI.
func (p *Postgres) uri() (string, error) {
	if p.URI != "" {
		return p.URI, nil
	}
	data, err := os.ReadFile(p.URIFile)
	if err != nil {
		return "", fmt.Errorf("uriFile: %w; the file holds one line, postgresql://USER:PASSWORD@HOST/DATABASE?sslmode=verify-full", err)
	}
	return strings.TrimSpace(string(data)), nil
}

// bucketName is what S3 allows, and what older servers allowed.
var bucketName = regexp.MustCompile(`^[a-zA-Z0-9][a-zA-Z0-9._-]{1,61}[a-zA-Z0-9]$`)

// Check reports all that is wrong with a bucket, which stands under key in the configuration.
func (s *S3) Check(key string) error {
	if s == nil {
		return nil
	}
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(key+"."+format, args...)) }
	if !bucketName.MatchString(s.Bucket) {
		bad("bucket %q: it must be a bucket's name, 3 to 63 letters, digits, '.', '-' and '_'", s.Bucket)
	}
	if s.Endpoint != "" {
		if u, err := url.Parse(s.Endpoint); err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.RawQuery != "" || u.User != nil {
			bad("endpoint: it must look like https://s3.example.com")
		}
	}
	if strings.HasPrefix(s.Prefix, "/") || strings.HasSuffix(s.Prefix, "/") || strings.Contains(s.Prefix, "//") || len(s.Prefix) > 512 {
		bad("prefix %q: it must be a path without a slash at its ends, such as team/crates", s.Prefix)
	}
	switch s.Encryption {
	case "", "AES256", "aws:kms":
	default:
		bad("encryption %q: it must be AES256 or aws:kms", s.Encryption)
	}
	if s.KMSKeyID != "" && s.Encryption != "aws:kms" {
		bad("kmsKeyID needs encryption: aws:kms")
	}
	return errors.Join(errs...)
}

// checkBackends reports what is wrong with storage, catalog and what looks after them.
func (c *Config) checkBackends() error {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if c.Storage.S3 != nil && c.Storage.Folder != "" {
		bad("storage: folder and s3 stand side by side; keep one")
	}
	errs = append(errs, c.Storage.S3.Check("storage.s3"), c.Backup.S3.Check("backup.s3"), c.RestoreFrom.S3.Check("restoreFrom.s3"))
	for key, folder := range map[string]string{"storage": c.Storage.Folder, "backup": c.Backup.Folder, "restoreFrom": c.RestoreFrom.Folder} {
		if backup.CheckFolder(folder) != nil {
			bad("%s.folder %q: it must be the path of a folder; a bucket goes below %s.s3", key, folder, key)
		}
	}
	switch c.Storage.Delivery {
	case "", "Proxy":
	case "Redirect":
		if c.Storage.S3 == nil {
			bad("storage.delivery: Redirect needs storage.s3")
		}
	default:
		bad("storage.delivery %q: it must be Proxy or Redirect", c.Storage.Delivery)
	}
	if size := c.Storage.Cache.Size; size < 0 || size > 0 && size < leastCache {
		bad("storage.cache.size %d: it must be 0, for no cache, or at least %d bytes", size, leastCache)
	}
	if p := c.Catalog.Postgres; p != nil {
		if (p.URI == "") == (p.URIFile == "") {
			bad("catalog.postgres: say uriFile, or set CRATEYARD_POSTGRES_URI, and not both")
		}
		if p.MaxConnections < 0 || p.MaxConnections == 1 || p.MaxConnections > 10_000 {
			bad("catalog.postgres.maxConnections %d: it must be 2 to 10000", p.MaxConnections)
		}
	}
	if c.Sweep.Every < 0 || c.Sweep.Every > 0 && c.Sweep.Every < Duration(time.Minute) {
		bad("sweep.every: it must be 0, for never, or at least 1m")
	}
	if c.Sweep.OlderThan < Duration(time.Hour) {
		bad("sweep.olderThan: it must be at least 1h, for uploads that are on their way")
	}
	if c.Scrub.Rate < 0 {
		bad("scrub.rate: it must not be negative")
	}
	if c.Backup.Schedule != "" && (c.Backup.Folder == "") == (c.Backup.S3 == nil) {
		bad("backup: say where to, with one of folder and s3")
	}
	if c.Backup.Schedule != "" {
		if _, err := cron.Parse(c.Backup.Schedule); err != nil {
			bad("backup.%w", err)
		}
	}
	if c.Backup.Keep < 1 || c.Backup.Keep > 10_000 {
		bad("backup.keep %d: it must be 1 to 10000", c.Backup.Keep)
	}
	return errors.Join(errs...)
}

// StorageFolder is where crate files lie when they are in no bucket.
func (c *Config) StorageFolder() string {
	if c.Storage.Folder != "" {
		return c.Storage.Folder
	}
	return filepath.Join(c.Data, "storage")
}
