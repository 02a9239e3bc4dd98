package storage

import (
	"cmp"
	"container/list"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"path"
	"slices"
	"strings"
	"sync"
	"time"
)

// cachedFile is a copy.
type cachedFile struct {
	name string
	size int64

	mu      sync.Mutex
	checked time.Time // when its digest was last looked at; zero: not since the start
}

// errDamaged is the error for a copy that is not what it was.
var errDamaged = errors.New("its bytes are not what its name says")

// partEnd is how the name of a file ends that is not whole. What a crash leaves of it is removed.
const partEnd = ".part"

// find takes stock of the folder. When a copy was last used is not written down: those of the blobs that were stored last are believed
// to be those that will be used.
func (c *Cached) find() error {
	type found struct {
		cachedFile *cachedFile
		stored     time.Time
	}
	var all []found
	err := fs.WalkDir(c.root.FS(), ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		if strings.HasSuffix(name, partEnd) {
			return c.root.Remove(name)
		}
		base := path.Base(name)
		if len(base) != 64+1+16 || !isSHA256(base[:64]) || path.Dir(name) != base[:2] {
			return nil // somebody else's
		}
		info, err := d.Info()
		if err == nil {
			all = append(all, found{&cachedFile{name: name, size: info.Size()}, info.ModTime()})
		}
		return err
	})
	if err != nil {
		return err
	}
	slices.SortFunc(all, func(a, b found) int {
		return cmp.Or(b.stored.Compare(a.stored), strings.Compare(a.cachedFile.name, b.cachedFile.name))
	})
	for _, f := range all {
		c.files[f.cachedFile.name] = c.order.PushBack(f.cachedFile)
		c.bytes += f.cachedFile.size
	}
	return nil
}

// use finds a copy, and notes its use. The caller holds the lock.
func (c *Cached) use(name string) *cachedFile {
	e := c.files[name]
	if e == nil {
		return nil
	}
	c.order.MoveToFront(e)
	return e.Value.(*cachedFile)
}

// open opens a copy that is sound; errDamaged says that it is not.
func (c *Cached) open(f *cachedFile) (_ *os.File, err error) {
	file, err := c.root.Open(f.name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s: %w: %w", f.name, errDamaged, err)
	}
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, file.Close())
		}
	}()
	info, err := file.Stat()
	if err != nil {
		return nil, err
	}
	if info.Size() != f.size {
		return nil, fmt.Errorf("%s: %w: it has %d bytes instead of %d", f.name, errDamaged, info.Size(), f.size)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.checked.IsZero() && time.Since(f.checked) < c.options.check {
		return file, nil
	}
	if err := checkDigest(file, digestOf(f.name)); err != nil {
		return nil, err
	}
	f.checked = time.Now()
	_, err = file.Seek(0, io.SeekStart)
	return file, err
}

// checkDigest reads a file; errDamaged says that its bytes do not have the digest.
func checkDigest(file *os.File, digest string) error {
	h := sha256.New()
	if _, err := io.CopyBuffer(onlyWriter{h}, io.NewSectionReader(file, 0, math.MaxInt64), make([]byte, 64<<10)); err != nil {
		return err
	}
	if sum := hex.EncodeToString(h.Sum(nil)); sum != digest {
		return fmt.Errorf("%s: %w: its SHA-256 is %s", file.Name(), errDamaged, sum)
	}
	return nil
}

// digestOf is the digest in the name of a file.
func digestOf(name string) string { return path.Base(name)[:64] }

// dropFile removes a copy, unless another has come in its place.
func (c *Cached) dropFile(f *cachedFile, why string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if e := c.files[f.name]; e != nil && e.Value == f {
		c.drop(e, why)
	}
}

// drop removes a copy; who has it open reads on. The caller holds the lock.
func (c *Cached) drop(e *list.Element, why string) {
	f := e.Value.(*cachedFile)
	c.order.Remove(e)
	delete(c.files, f.name)
	c.bytes -= f.size
	_ = c.root.Remove(f.name) // the next start finds what stays
	c.options.Observer.Dropped(why)
	c.options.Observer.Holds(c.bytes)
}

// forget removes what is cached of a blob, or is about to be.
func (c *Cached) forget(name string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if e := c.files[name]; e != nil {
		c.drop(e, "deleted")
	}
	if f := c.fills[name]; f != nil {
		f.unwanted = true
		delete(c.fills, name)
	}
}

// reserve makes room for so many bytes more and counts them, or reports that there is none: neither in what the cache may take nor on
// the disk, of which a part stays free for others. The caller holds the lock.
func (c *Cached) reserve(size int64) bool {
	for c.bytes+size > c.options.Size && c.order.Len() > 0 {
		c.drop(c.order.Back(), "room")
	}
	free, least := c.options.room(c.root)
	short := least + size - free
	for short > 0 && c.order.Len() > 0 {
		last := c.order.Back()
		short -= last.Value.(*cachedFile).size
		c.drop(last, "room")
	}
	if short > 0 || c.bytes+size > c.options.Size {
		return false
	}
	c.bytes += size
	c.options.Observer.Holds(c.bytes)
	return true
}

// tend keeps the cache within its bounds when others fill the disk.
func (c *Cached) tend() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.low.Store(!c.reserve(0))
}
