package upkeep

import (
	"context"
	"iter"
	"time"

	"github.com/crateyard/crateyard/registry/catalog"
	"github.com/crateyard/crateyard/registry/index"
	"github.com/crateyard/crateyard/registry/storage"
)

// Ref is a version of the catalog, as far as its blob is concerned.
type Ref struct {
	Crate, Num string
	SHA256     string // lower-case hex
	Size       int64  // bytes
	VersionID  int64
	DeletedAt  *time.Time // nil: it is there
}

// Key is where the blob lies.
func (r Ref) Key() string { return storage.CrateKey(r.Crate, r.Num, r.SHA256) }

// Blobs is a catalog that tells which blobs it names.
type Blobs interface {
	// Blobs gives the versions whose keys come after the key after, deleted ones too, in the order of the keys' bytes, as one
	// transaction sees them.
	Blobs(ctx context.Context, after string) iter.Seq2[Ref, error]
}

// Catalog is what a check needs of the catalog.
type Catalog interface {
	Blobs
	Version(ctx context.Context, name, num string) (catalog.Version, error)
}

// Feed is what a check needs to replay the history of the index.
type Feed interface {
	IndexChanges(ctx context.Context, after int64, limit int) ([]index.Change, error)
	IndexFile(ctx context.Context, lower string) (catalog.Lines, error)
}
