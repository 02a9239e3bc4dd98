package registry

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/crateyard/crateyard/registry/catalog"
	"github.com/crateyard/crateyard/registry/fault"
	"github.com/crateyard/crateyard/registry/folder"
	"github.com/crateyard/crateyard/registry/storage"
)

// Backends are where a registry keeps what it knows and what it holds.
type Backends struct {
	Catalog *catalog.Catalog
	Store   ClosableStore

	where string // the storage is, for people

	noting   sync.Mutex       // by NotePosition
	position catalog.Position // that the storage had at noted; guarded by noting
	noted    time.Time        // zero: not by this process
}

// ClosableStore is a store that holds something open.
type ClosableStore interface {
	storage.Store
	io.Closer
}

// BackendOptions say for whom backends are opened.
type BackendOptions struct {
	// Beside opens them beside a server that may have them open, too.
	Beside bool
	// Existing wants a registry that is there, with its own storage, and a schema that is this program's.
	Existing bool
	// Setting is where a bucket stands in the configuration: see storage.S3Options.
	Setting string
	// MayLack lets the storage be empty, for who is there to fill it.
	MayLack  bool
	Log      *slog.Logger
	Observer storage.S3Observer // is told of requests to S3; may be nil
}

// OpenBackends opens catalog and storage as the configuration says. A backend that is away just now is fault.Unavailable.
func OpenBackends(ctx context.Context, c *Config, o BackendOptions) (_ *Backends, err error) {
	b := &Backends{where: c.storageName()}
	defer func() {
		if err != nil {
			err = errors.Join(err, b.Close())
		}
	}()
	if b.Catalog, err = openCatalog(ctx, c, o); err != nil {
		return nil, fmt.Errorf("catalog: %w", err)
	}
	o.Beside = o.Beside || c.Catalog.Postgres != nil
	if b.Store, err = c.OpenStore(ctx, c.Storage.S3, c.StorageFolder(), o); err != nil {
		return nil, fmt.Errorf("storage: %w", err)
	}
	if o.Existing {
		if err := b.verify(ctx, o.MayLack); err != nil {
			return nil, err
		}
	}
	return b, nil
}

func openCatalog(ctx context.Context, c *Config, o BackendOptions) (*catalog.Catalog, error) {
	p := c.Catalog.Postgres
	if p == nil {
		path := filepath.Join(c.Data, "catalog.db")
		if o.Existing {
			return catalog.OpenExisting(ctx, path)
		}
		return catalog.Open(ctx, path)
	}
	uri, err := p.uri()
	if err != nil {
		return nil, fmt.Errorf("catalog.postgres.%w", err)
	}
	scratch := ""
	if c.Data != "" {
		scratch = filepath.Join(c.Data, "load")
	}
	return catalog.OpenPostgres(ctx, catalog.PostgresOptions{URI: uri, MaxConnections: p.MaxConnections, Existing: o.Existing, Scratch: scratch, Log: o.Log})
}

// OpenStore opens a bucket or, where there is none, a folder.
func (c *Config) OpenStore(ctx context.Context, s *S3, dir string, o BackendOptions) (ClosableStore, error) {
	if s == nil {
		open := storage.OpenFilesystem
		if o.Beside {
			open = storage.OpenSharedFilesystem
		}
		files, err := open(dir)
		if err != nil {
			return nil, err
		}
		return files, nil
	}
	spool := "" // of temporary files, where this is no server with a folder
	if c.Data != "" {
		spool = filepath.Join(c.Data, "spool")
		if err := os.MkdirAll(spool, 0o750); err != nil {
			return nil, folder.Explain(c.Data, err)
		}
	}
	bucket, err := storage.OpenS3(ctx, storage.S3Options{
		Bucket: s.Bucket, Region: s.Region, Endpoint: s.Endpoint, Prefix: s.Prefix, ForcePathStyle: s.ForcePathStyle,
		CredentialsDir: s.CredentialsDir, Encryption: s.Encryption, KMSKeyID: s.KMSKeyID, CAFile: s.CAFile, Setting: o.Setting,
		SpoolDir: spool, Observer: o.Observer, Log: o.Log,
	})
	if err != nil {
		return nil, err // and no nil bucket that looks like a store
	}
	return bucket, nil
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

// openCache puts a cache in front of a bucket. A disk that takes no cache keeps no server from starting.
func (s *Server) openCache() error {
	dir, size := filepath.Join(s.config.Data, "cache"), s.config.Storage.Cache.Size
	if s.config.Storage.S3 == nil || size == 0 {
		return os.RemoveAll(dir) // what was cached when there was one
	}
	c, err := storage.NewCached(s.backends.Store, storage.CacheOptions{Dir: dir, Size: size, Observer: s.metrics.BlobCache(), Log: s.log})
	if err != nil {
		s.log.Warn("Crate files are not cached", "folder", dir, "error", err)
		return nil
	}
	s.store, s.cache = c, c
	return nil
}

// The wait between two attempts to reach backends that are away grows from the one to the other.
const firstWait, lastWait = time.Second, 10 * time.Second

// reachBackends opens and claims the backends. It waits for those that are away, for as long as it takes: to end and be started again
// would not bring them back. What else is wrong ends it, unless it is watched.
func (s *Server) reachBackends(ctx context.Context) (*Backends, error) {
	var observer storage.S3Observer
	if s.config.Storage.S3 != nil {
		observer = s.metrics.S3()
	}
	for wait := firstWait; ; wait = min(2*wait, lastWait) {
		b, err := OpenBackends(ctx, &s.config, BackendOptions{Log: s.log, Observer: observer})
		if err == nil {
			if err = b.claim(ctx, &s.config, s.log); err == nil {
				s.gate.Goes()
				return b, nil
			}
			err = errors.Join(err, b.Close())
		}
		if fault.KindOf(err) != fault.Unavailable && !s.watched() || ctx.Err() != nil {
			return nil, err
		}
		s.log.Warn("Waiting for catalog and storage", "error", err, "again", wait.String())
		for _, part := range []string{"catalog", "storage"} {
			s.metrics.BackendUp(part, !strings.HasPrefix(err.Error(), part+":"))
		}
		text := strings.ReplaceAll(err.Error(), "\n", "; ")
		s.waiting.Store(&text)
		s.gate.Waits(forClients(err))
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// forClients is why a server waits, in words for those who ask it for crates; what is only for who runs it stays out.
func forClients(err error) string {
	if fe, ok := errors.AsType[*fault.Error](err); ok && fe.Kind == fault.Unavailable {
		return fe.Detail
	}
	return "its catalog or storage cannot be used as they are; its administrator finds the reason in its log and at /readyz"
}

// watched says whether somebody looks at /readyz and the metrics of a server that does not serve: it has them, and is one of a registry with
// a name. There a database of a newer schema, or a bucket of another registry, is better said than ended for, again and again; and
// the server goes on when it is put right.
func (s *Server) watched() bool { return s.ops != nil && s.config.Instance != "" }
