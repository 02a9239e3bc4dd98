package upkeep

import (
	"context"
	"iter"

	"github.com/crateyard/crateyard/registry/catalog"
	"github.com/crateyard/crateyard/registry/index"
	"github.com/crateyard/crateyard/registry/storage"
)

// Ref is a version of the catalog, as far as its blob is concerned.
type Ref = catalog.BlobRef

// Key is where a blob lies.
func Key(b catalog.CrateBlob) string { return storage.CrateKey(b.Crate, b.Num, b.SHA256) }

// Blobs is a catalog that tells which blobs it names.
type Blobs interface {
	// BlobsAfter gives the versions whose keys come after a blob's, deleted ones too, in the order of the keys' bytes, as one
	// transaction sees them. The zero CrateBlob comes before all.
	BlobsAfter(ctx context.Context, after catalog.CrateBlob) iter.Seq2[catalog.BlobRef, error]
}

// Lost is a catalog that tells what it has lost.
type Lost interface {
	// LostVersions gives the crates whose changes name versions that the catalog no longer has, and how many. The archives of these lie in
	// the storage under keys that nothing names, and may be the last copies.
	LostVersions(ctx context.Context) (map[string]int64, error)
}

// Counted is a catalog that can be counted, to tell what it loses meanwhile.
type Counted interface {
	Census(ctx context.Context) (*catalog.Census, error)
}

// Catalog is what a check needs of the catalog.
type Catalog interface {
	Blobs
	Version(ctx context.Context, name, num string) (catalog.Version, error)
}

// Feed is what a check needs to replay the history of the index.
type Feed interface {
	Lost
	IndexChanges(ctx context.Context, after int64, limit int) ([]index.Change, error)
	IndexFile(ctx context.Context, lower string) (catalog.Lines, error)
}
