package httpapi

import (
	"context"
	"hash/maphash"
	"strconv"
	"strings"
	"sync/atomic"

	"github.com/maypok86/otter/v2"
	"golang.org/x/sync/singleflight"

	"github.com/crateyard/crateyard/registry/catalog"
	"github.com/crateyard/crateyard/registry/crate"
	"github.com/crateyard/crateyard/registry/fault"
	"github.com/crateyard/crateyard/registry/index"
	"github.com/crateyard/crateyard/registry/metrics"
)

// fileCacheBytes bounds the memory that index files take: some 10,000 crates of the usual size.
const fileCacheBytes = 32 << 20

// file is an index file ready to be sent, and who may have it.
type file struct {
	*index.File
	crateID    int64
	restricted bool  // not for everybody
	missing    error // instead of all the rest: there is no such crate
}

// fileCache holds index files by their path below the root of the index.
//
// A file that was read from the catalog before a change must not stay after it. So a change first advances the generation
// of its key and then drops the key; a reader keeps its file only when the generation is still the one from before it read.
// Reads of one key and generation are made once and shared.
//
// That a crate does not exist is held in the same way: cargo asks for both spellings of a name that it does not find, so 404s
// are many. A publish drops it like any other file, before its uploader gets an answer.
type fileCache struct {
	catalog     *catalog.Catalog
	metrics     *metrics.Metrics
	cache       *otter.Cache[string, *file]
	flight      singleflight.Group
	seed        maphash.Seed
	generations [256]atomic.Uint64 // by the hash of the key; to share one costs at most a second read
}

func newFileCache(c *catalog.Catalog, m *metrics.Metrics) *fileCache {
	return &fileCache{catalog: c, metrics: m, seed: maphash.MakeSeed(), cache: otter.Must(&otter.Options[string, *file]{
		MaximumWeight: fileCacheBytes,
		Weigher: func(key string, f *file) uint32 {
			size := len(key) + 256 // 256: headers and the cache's own entry
			if f.File != nil {
				size += f.Size()
			}
			return uint32(size)
		},
	})}
}

func (c *fileCache) generation(key string) *atomic.Uint64 {
	return &c.generations[maphash.String(c.seed, key)%uint64(len(c.generations))]
}

// changed follows the catalog. A change without a kind says that any may have happened.
func (c *fileCache) changed(ch catalog.Change) {
	if ch.Kind == "" {
		for i := range c.generations {
			c.generations[i].Add(1)
		}
		c.cache.InvalidateAll()
		return
	}
	key := index.Path(ch.Crate)
	c.generation(key).Add(1)
	c.cache.Invalidate(key)
}

func (c *fileCache) bytes() uint64 { return c.cache.WeightedSize() }

// get gives the file at a path, such as se/rd/serde. An unknown crate, and a path that no crate has, is fault.NotFound.
func (c *fileCache) get(ctx context.Context, key string) (*file, error) {
	if f, ok := c.cache.GetIfPresent(key); ok {
		c.metrics.IndexHits.Inc()
		return f, f.missing
	}
	name := key[strings.LastIndexByte(key, '/')+1:]
	if crate.CheckDependencyName(name) != nil || key != index.Path(name) {
		return nil, fault.New(fault.NotFound, "there is no index file %q", key)
	}
	c.metrics.IndexMisses.Inc()
	gen := c.generation(key)
	before := gen.Load()
	v, err, _ := c.flight.Do(key+"\x00"+strconv.FormatUint(before, 36), func() (any, error) {
		// Others wait for this read, so it must not end because the first of them went away.
		var f *file
		lines, err := c.catalog.IndexFile(context.WithoutCancel(ctx), name)
		switch {
		case err == nil:
			f = &file{File: index.NewFile(lines.Text), crateID: lines.CrateID, restricted: lines.Restricted}
		case fault.KindOf(err) == fault.NotFound:
			f = &file{missing: err}
		default:
			return nil, err
		}
		// Looked at under the cache's lock for the key: a change that comes later has to wait, and then drops the file.
		c.cache.ComputeIfAbsent(key, func() (*file, bool) { return f, gen.Load() != before })
		return f, nil
	})
	if err != nil {
		return nil, err
	}
	f := v.(*file)
	return f, f.missing
}
