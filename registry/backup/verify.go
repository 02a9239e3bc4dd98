package backup

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/crateyard/crateyard/registry/storage"
)

// Verifier reads a backup again, byte by byte.
type Verifier struct {
	Target   storage.Store
	Workers  int // 0: 4
	Progress func(Progress)
}

// Verified is what came of it.
type Verified struct {
	Manifest *Manifest `json:"manifest"`
	Blobs    int64     `json:"blobs"`
	Bytes    int64     `json:"bytes"`
	Bad      []string  `json:"bad"` // what is missing or wrong: the first of it
	BadBlobs int64     `json:"badBlobs"`
}

// Verify reads all that a backup names and holds it against its digests. An error means that the backup cannot be restored at all;
// blobs that are missing or wrong are in the result. Those that the manifest names as missing are not counted again.
func (v *Verifier) Verify(ctx context.Context, name string) (*Verified, error) {
	m, err := ReadManifest(ctx, v.Target, name)
	if err != nil {
		return nil, err
	}
	if err := readPart(ctx, v.Target, backups+m.Name+catalogName, m.Catalog, func(r io.Reader) error {
		_, err := io.Copy(io.Discard, r)
		return err
	}); err != nil {
		return nil, fmt.Errorf("the catalog of backup %s: %w", m.Name, err)
	}
	out := &Verified{Manifest: m, Bad: []string{}}
	var mu sync.Mutex
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(cmp.Or(v.Workers, copyWorkers))
	for i, err := range readList(gctx, v.Target, m.Name, m.List) {
		if err != nil {
			return nil, errors.Join(err, g.Wait())
		}
		if slices.Contains(m.Missing, i.key) {
			continue
		}
		g.Go(func() error {
			sum, n, err := storage.Digest(gctx, v.Target, blobs+i.key, nil)
			if gctx.Err() != nil {
				return gctx.Err()
			}
			mu.Lock()
			defer mu.Unlock()
			out.Blobs++
			out.Bytes += n
			if text := wrong(i, sum, n, err); text != "" {
				if out.BadBlobs++; len(out.Bad) < maxMissing {
					out.Bad = append(out.Bad, text)
				}
			}
			if v.Progress != nil {
				v.Progress(Progress{Stage: "blobs", Blobs: out.Blobs, Bytes: out.Bytes, AllBlobs: m.Blobs, AllIn: m.Bytes})
			}
			return nil
		})
	}
	err = g.Wait()
	slices.Sort(out.Bad)
	return out, err
}

func wrong(i item, sum string, n int64, err error) string {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return i.key + ": missing"
	case err != nil:
		return i.key + ": " + err.Error()
	case sum != i.sha256() || n != i.size:
		return fmt.Sprintf("%s: SHA-256 %s, %d bytes", i.key, sum, n)
	}
	return ""
}
