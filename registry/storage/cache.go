package storage

import (
	"container/list"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"log/slog"
	"os"
	"path"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Cached is a Store whose blobs are read from copies on this machine's disk where it has one, and through them where it has none: what is
// asked for the first time is fetched once, however many ask for it meanwhile, and they read what has come so far. A copy is kept when
// its bytes have the digest in its key, and looked at again when it is first used after a start and once a day: one that is damaged is
// fetched anew. Those that were used least lately make room for others.
//
// All else goes to the store behind, and so does what must see what is really there: a scrub or a backup reads from Unwrap. Blobs never
// change, so a copy is as good as its blob, also when the store behind is away; whether somebody may still have it, the catalog knows.
type Cached struct {
	Store
	// Damaged, if set before the first use, is told the keys of blobs whose bytes, as they came from the store behind, do not have the digest.
	// It must not wait.
	Damaged func(key string)

	root    *os.Root
	options CacheOptions
	ctx     context.Context // of the work that no caller waits for
	stop    context.CancelFunc
	work    sync.WaitGroup
	low     atomic.Bool // the disk has no room, whatever is dropped

	mu     sync.Mutex
	files  map[string]*list.Element // of order, by the file's name
	order  *list.List               // of *cachedFile; the one used last is in front
	fills  map[string]*fill         // under way, by the file's name
	bytes  int64                    // of files, and of fills when they are done
	filled int                      // fills that began, for the names of their files
	warned time.Time
}

// CacheOptions say what a cache may take.
type CacheOptions struct {
	Dir      string        // of this cache alone; made when it is not there
	Size     int64         // bytes of all copies, at most
	Observer CacheObserver // may be nil
	Log      *slog.Logger  // nil: slog.Default

	room  func(*os.Root) (free, reserve int64) // tests have their own; nil: diskRoom
	check time.Duration                        // tests shorten it; 0: checkEvery
}

// CacheObserver is told what a cache does. It must be quick and safe for concurrent use.
type CacheObserver interface {
	// Looked tells that a blob was asked for, and whether the store behind need not be.
	Looked(found bool)
	// Dropped tells that a copy was removed, and why: room, damaged or deleted.
	Dropped(why string)
	// Holds tells how many bytes the copies take.
	Holds(bytes int64)
}

type noObserver struct{}

func (noObserver) Looked(bool)    {}
func (noObserver) Dropped(string) {}
func (noObserver) Holds(int64)    {}

const (
	checkEvery = 24 * time.Hour   // how long a copy is believed
	tendEvery  = 10 * time.Second // how often the cache looks for room on the disk
	warnEvery  = time.Minute
)

// NewCached puts a cache in front of a store. It finds the copies that an earlier one left in its folder, which takes some 20 µs each.
// Close gives the folder back; the store behind stays open.
func NewCached(s Store, o CacheOptions) (*Cached, error) {
	if o.Observer == nil {
		o.Observer = noObserver{}
	}
	if o.Log == nil {
		o.Log = slog.Default()
	}
	if o.room == nil {
		o.room = diskRoom
	}
	if o.check == 0 {
		o.check = checkEvery
	}
	if err := os.MkdirAll(o.Dir, 0o750); err != nil {
		return nil, diskFault(err)
	}
	root, err := os.OpenRoot(o.Dir)
	if err != nil {
		return nil, diskFault(err)
	}
	c := &Cached{Store: s, root: root, options: o, files: map[string]*list.Element{}, order: list.New(), fills: map[string]*fill{}}
	if err := c.find(); err != nil {
		return nil, errors.Join(diskFault(err), root.Close())
	}
	c.ctx, c.stop = context.WithCancel(context.Background())
	c.tend()
	c.work.Go(func() {
		tick := time.NewTicker(tendEvery)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				c.tend()
			case <-c.ctx.Done():
				return
			}
		}
	})
	return c, nil
}

// Unwrap gives the store behind.
func (c *Cached) Unwrap() Store { return c.Store }

// Close ends what is being fetched; blobs that are open stay readable as far as they have come.
func (c *Cached) Close() error {
	c.stop()
	c.work.Wait()
	return c.root.Close()
}

// Open gives a copy: an *os.File, which the kernel can send by itself, or what reads one that is still growing.
func (c *Cached) Open(ctx context.Context, key string) (Blob, error) {
	name, ok := cacheName(key)
	if !ok {
		return c.Store.Open(ctx, key)
	}
	b, found, err := c.through(ctx, name, key)
	if errors.Is(err, errNotKept) {
		b, err = c.Store.Open(ctx, key)
		found = false
	}
	c.options.Observer.Looked(found)
	return b, err
}

// through finds a blob in the cache, found, or fetches it.
func (c *Cached) through(ctx context.Context, name, key string) (_ Blob, found bool, err error) {
	found = true
	for range 3 { // what is there may be dropped before it is opened
		c.mu.Lock()
		file, f := c.use(name), c.fills[name]
		if file == nil && f == nil {
			if c.low.Load() {
				c.mu.Unlock()
				break
			}
			f, found = c.begin(name, key), false
		}
		c.mu.Unlock()
		if file != nil {
			opened, err := c.open(file)
			if err == nil {
				return opened, found, nil
			}
			if !errors.Is(err, errDamaged) {
				c.warn("A cached crate file cannot be read; the storage is asked", err)
				break
			}
			c.warn("A cached crate file is damaged; it is fetched again", err)
			c.dropFile(file, "damaged")
			continue
		}
		if b, err := f.open(ctx); !errors.Is(err, errEnded) {
			return b, found, err
		}
	}
	return nil, false, errNotKept
}

// Delete removes a blob, and then its copy.
func (c *Cached) Delete(ctx context.Context, key string) error {
	if err := c.Store.Delete(ctx, key); err != nil {
		return err
	}
	if name, ok := cacheName(key); ok {
		c.forget(name)
	}
	return nil
}

// cacheName is the name of the file for a blob: its digest, which the key ends with, and a bit of the digest of the key, so that a
// blob is found under its own key only. Keys without a digest are not cached.
func cacheName(key string) (name string, ok bool) {
	digest := strings.TrimSuffix(path.Base(key), ".crate")
	if len(digest) < 64 {
		return "", false
	}
	digest = digest[len(digest)-64:]
	if !isSHA256(digest) {
		return "", false
	}
	sum := sha256.Sum256([]byte(key))
	return digest[:2] + "/" + digest + "-" + hex.EncodeToString(sum[:8]), true
}

// warn logs what needs a look, once a minute at most: a disk in trouble is in trouble with each file.
func (c *Cached) warn(text string, err error) {
	c.mu.Lock()
	quiet := time.Since(c.warned) < warnEvery
	if !quiet {
		c.warned = time.Now()
	}
	c.mu.Unlock()
	if !quiet && c.ctx.Err() == nil {
		c.options.Log.Warn(text, "folder", c.options.Dir, "error", err)
	}
}
