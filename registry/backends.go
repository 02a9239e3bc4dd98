package registry

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/crateyard/crateyard/registry/catalog"
	"github.com/crateyard/crateyard/registry/fault"
	"github.com/crateyard/crateyard/registry/storage"
)

// Backends are where a registry keeps what it knows and what it holds.
type Backends struct {
	Catalog *catalog.Catalog
	Store   ClosableStore
}

// ClosableStore is a store that holds something open.
type ClosableStore interface {
	storage.Store
	io.Closer
}

// BackendOptions say for whom backends are opened.
type BackendOptions struct {
	// Beside opens them beside a server that may have them open, too.
	Beside   bool
	Log      *slog.Logger
	Observer storage.S3Observer // is told of requests to S3; may be nil
}

// OpenBackends opens catalog and storage as the configuration says. A backend that is away just now is fault.Unavailable.
func OpenBackends(ctx context.Context, c *Config, o BackendOptions) (_ *Backends, err error) {
	b := &Backends{}
	defer func() {
		if err != nil {
			err = errors.Join(err, b.Close())
		}
	}()
	if b.Catalog, err = openCatalog(ctx, c, o.Log); err != nil {
		return nil, err
	}
	o.Beside = o.Beside || c.Catalog.Postgres != nil
	if b.Store, err = c.OpenStore(ctx, c.Storage.S3, c.storageFolder(), o); err != nil {
		return nil, fmt.Errorf("storage: %w", err)
	}
	return b, nil
}

func openCatalog(ctx context.Context, c *Config, log *slog.Logger) (*catalog.Catalog, error) {
	p := c.Catalog.Postgres
	if p == nil {
		return catalog.Open(ctx, filepath.Join(c.Data, "catalog.db"))
	}
	uri, err := p.uri()
	if err != nil {
		return nil, fmt.Errorf("catalog.postgres: %w", err)
	}
	return catalog.OpenPostgres(ctx, catalog.PostgresOptions{URI: uri, MaxConnections: p.MaxConnections, Log: log})
}

// OpenStore opens a bucket or, where there is none, a folder.
func (c *Config) OpenStore(ctx context.Context, s *S3, folder string, o BackendOptions) (ClosableStore, error) {
	switch {
	case s == nil && o.Beside:
		return storage.OpenSharedFilesystem(folder)
	case s == nil:
		return storage.OpenFilesystem(folder)
	}
	spool := "" // of temporary files, where this is no server with a folder
	if c.Data != "" {
		spool = filepath.Join(c.Data, "spool")
		if err := os.MkdirAll(spool, 0o750); err != nil {
			return nil, err
		}
	}
	return storage.OpenS3(ctx, storage.S3Options{
		Bucket: s.Bucket, Region: s.Region, Endpoint: s.Endpoint, Prefix: s.Prefix, ForcePathStyle: s.ForcePathStyle,
		CredentialsDir: s.CredentialsDir, Encryption: s.Encryption, KMSKeyID: s.KMSKeyID, CAFile: s.CAFile,
		SpoolDir: spool, Observer: o.Observer, Log: o.Log,
	})
}

// Close closes both.
func (b *Backends) Close() (err error) {
	if b.Catalog != nil {
		err = b.Catalog.Close()
	}
	if b.Store != nil {
		err = errors.Join(err, b.Store.Close())
	}
	return err
}

// claim makes sure that catalog and storage belong together, and to nobody else.
func (b *Backends) claim(ctx context.Context, c *Config) error {
	id, err := b.Catalog.Claim(ctx, c.Instance, c.TakeOver)
	if err != nil {
		return fmt.Errorf("catalog: %w", err)
	}
	if err := storage.Claim(ctx, b.Store, id, c.TakeOver); err != nil {
		return fmt.Errorf("storage: %w", err)
	}
	return nil
}

// The wait between two attempts to reach backends that are away grows from the one to the other.
const firstWait, lastWait = time.Second, 10 * time.Second

// reachBackends opens and claims the backends. It waits for those that are away, for as long as it takes: to end and be started again
// would not bring them back. What is wrong with the configuration ends it at once.
func (s *Server) reachBackends(ctx context.Context) (*Backends, error) {
	observer := s.metrics.S3()
	for wait := firstWait; ; wait = min(2*wait, lastWait) {
		b, err := OpenBackends(ctx, &s.config, BackendOptions{Log: s.log, Observer: observer})
		if err == nil {
			if err = b.claim(ctx, &s.config); err == nil {
				return b, nil
			}
			err = errors.Join(err, b.Close())
		}
		if fault.KindOf(err) != fault.Unavailable || ctx.Err() != nil {
			return nil, err
		}
		s.log.Warn("Waiting for catalog and storage", "error", err, "again", wait.String())
		text := err.Error()
		s.waiting.Store(&text)
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}
