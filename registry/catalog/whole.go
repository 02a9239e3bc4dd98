package catalog

import (
	"context"
	"iter"
)

// BlobsAfter is Blobs from behind a blob on, in the order of the whole storage keys: the zero CrateBlob is before all. A reader that takes
// hours reads a part at a time, so that no transaction is as long as that.
func (c *Catalog) BlobsAfter(ctx context.Context, after CrateBlob) iter.Seq2[BlobRef, error] {
	return func(yield func(BlobRef, error) bool) {
		name, file := after.Crate+"/", after.Num+"-"+after.SHA256+".crate"
		if after == (CrateBlob{}) {
			name, file = "", ""
		}
		err := c.read(ctx, func(q querier) error {
			return each(ctx, q, scanBlob, func(b BlobRef) bool { return yield(b, nil) },
				blobColumns+` WHERE c.name || '/' >= ? AND (c.name || '/' > ? OR v.num || '-' || v.sha256 || '.crate' > ?)
				ORDER BY c.name || '/', v.num || '-' || v.sha256 || '.crate', v.id`, name, name, file)
		})
		if err != nil {
			yield(BlobRef{}, err)
		}
	}
}

// Empty reports whether Load would take the catalog for empty.
func (c *Catalog) Empty(ctx context.Context) (bool, error) {
	for _, t := range dumpTables {
		var is bool
		if err := c.ro.QueryRowContext(ctx, "SELECT EXISTS (SELECT 1 FROM "+t.name+")").Scan(&is); err != nil || is {
			return false, err
		}
	}
	return true, nil
}
