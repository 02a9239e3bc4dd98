package mirror

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"sync"

	"github.com/klauspost/compress/gzip"
	"golang.org/x/sync/errgroup"

	"github.com/crateyard/crateyard/registry/catalog"
	"github.com/crateyard/crateyard/registry/crate"
	"github.com/crateyard/crateyard/registry/mirror/policy"
)

// inspectMost is how many stored archives are looked into at once.
const inspectMost = 8

// inspect reads the licence of a crate from its archive; empty: it names none, or cannot be read.
func inspect(r io.Reader) string {
	zr, err := gzip.NewReader(r)
	if err != nil {
		return ""
	}
	license, _, err := crate.ReadLicense(zr)
	if err != nil {
		return ""
	}
	return license
}

// reading remembers that its source failed: to an archive's reader that looks as if the archive was damaged.
type reading struct {
	io.Reader
	err error
}

func (r *reading) Read(p []byte) (int, error) {
	n, err := r.Reader.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		r.err = err
	}
	return n, err
}

// facts tells of each stored version what a policy asks for. Into archives that were stored while no policy asked for licences it looks now, once:
// what was cached before a policy is held to it, too.
func (m *Mirror) facts(ctx context.Context, stored map[string]catalog.MirrorCrate) (func(num string) (policy.Facts, bool), error) {
	if m.policy.NeedsLicenses() {
		if err := m.inspectAll(ctx, stored); err != nil {
			return nil, err
		}
	}
	return func(num string) (policy.Facts, bool) {
		r, ok := stored[num]
		return policy.Facts{License: r.License, Size: r.Size}, ok && (r.Inspected || !m.policy.NeedsLicenses())
	}, nil
}

func (m *Mirror) inspectAll(ctx context.Context, stored map[string]catalog.MirrorCrate) error {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(inspectMost)
	var mu sync.Mutex
	var todo []catalog.MirrorCrate
	for _, row := range stored {
		if !row.Inspected {
			todo = append(todo, row)
		}
	}
	for _, row := range todo {
		g.Go(func() error {
			blob, err := m.openWhole(ctx, row)
			if errors.Is(err, fs.ErrNotExist) {
				return nil // it is fetched again, and looked into then
			}
			if err != nil {
				return err
			}
			defer func() { _ = blob.Close() }() // it was read only
			source := &reading{Reader: blob}
			row.License, row.Inspected = inspect(source), true
			if source.err != nil { // that says nothing of the crate
				return source.err
			}
			m.writer.looked(catalog.MirrorLicense{MirrorKey: catalog.MirrorKey{MirrorID: m.Row.ID, Name: row.Name, Num: row.Num}, SHA256: row.SHA256, License: row.License})
			mu.Lock()
			defer mu.Unlock()
			stored[row.Num] = row
			return nil
		})
	}
	return g.Wait()
}
