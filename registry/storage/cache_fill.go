package storage

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"sync"
	"time"
)

var (
	// errNotKept says that a blob is not fetched into the cache: whoever wants it asks the store behind.
	errNotKept = errors.New("there is no room for it in the cache")
	// errEnded says that the fetch has ended, and the cache has the copy.
	errEnded = errors.New("it has been fetched")
)

// fill fetches a blob into the cache, for all who ask for it meanwhile. It goes on when they go away: it is bounded by the size of the blob, and
// by sendTime.
type fill struct {
	c         *Cached
	name, key string
	part      string // the file until it is whole
	unwanted  bool   // the blob was deleted meanwhile; this and kept are under the cache's lock
	kept      bool   // the fetch has ended, and the cache has the copy

	opened chan struct{} // closed when what follows is known
	err    error         // there is nothing to read
	info   blobInfo      // as the store behind gives it
	spare  chan Blob     // has the blob that was opened and is not kept, for one reader

	mu    sync.Mutex
	have  int64 // bytes that can be read
	ended bool
	cause error         // why it ended before all could be read
	more  chan struct{} // closed when one of them changes; nil: nobody waits
}

// begin starts to fetch. The caller holds the lock.
func (c *Cached) begin(name, key string) *fill {
	c.filled++
	f := &fill{c: c, name: name, key: key, part: fmt.Sprintf("%s.%d%s", name, c.filled, partEnd), opened: make(chan struct{}), spare: make(chan Blob, 1)}
	c.fills[name] = f
	c.work.Go(f.run)
	return f
}

func (f *fill) run() {
	blob, err := f.c.Store.Open(f.c.ctx, f.key)
	var file *os.File
	if err == nil {
		file, err = f.start(blob)
	}
	if err != nil {
		f.err = err
		f.remove()
		if errors.Is(err, errNotKept) {
			f.spare <- blob
			time.AfterFunc(spareTime, f.closeSpare)
		}
		close(f.opened)
		return
	}
	close(f.opened)
	w := &fillWriter{fill: f, file: file, end: time.Now().Add(sendTime)}
	if s, ok := blob.(Streamer); ok {
		_, err = s.Stream(w)
	} else {
		_, err = io.CopyBuffer(onlyWriter{w}, onlyReader{blob}, make([]byte, 64<<10))
	}
	_ = blob.Close() // it was read only
	f.finish(file, err)
}

// start opens the file for a copy. What goes wrong with it keeps nobody from the blob.
func (f *fill) start(blob Blob) (*os.File, error) {
	info, err := blob.Stat()
	if err != nil {
		return nil, errors.Join(err, blob.Close())
	}
	f.info = blobInfo{name: path.Base(f.key), size: info.Size(), modified: info.ModTime()}
	f.c.mu.Lock()
	kept := f.c.reserve(info.Size())
	f.c.mu.Unlock()
	if !kept {
		return nil, errNotKept
	}
	var file *os.File
	if err = f.c.root.Mkdir(path.Dir(f.name), 0o750); err == nil || errors.Is(err, fs.ErrExist) {
		file, err = f.c.root.OpenFile(f.part, os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o640)
	}
	if err != nil {
		f.c.warn("A crate file cannot be cached", diskFault(err))
		f.giveBack()
		return nil, errNotKept
	}
	return file, nil
}

// spareTime is how long a blob waits for a reader, who is there as a rule.
const spareTime = time.Second

func (f *fill) closeSpare() {
	select {
	case b := <-f.spare:
		_ = b.Close() // it was read only
	default:
	}
}

// finish keeps the copy, if it is whole and still wanted, and tells the readers. They have all bytes before the digest of the copy is known: that
// these are not what was stored is for them to notice, as it is without a cache.
func (f *fill) finish(file *os.File, err error) {
	cause := err
	if err == nil {
		err = checkDigest(file, digestOf(f.name))
	}
	err = errors.Join(err, file.Close())
	f.c.mu.Lock()
	if err == nil && !f.unwanted {
		// So that answers have the time of the blob, whoever sends it.
		if err = f.c.root.Chtimes(f.part, f.info.modified, f.info.modified); err == nil {
			err = f.c.root.Rename(f.part, f.name)
		}
	}
	f.kept = err == nil && !f.unwanted
	if f.kept {
		f.c.files[f.name] = f.c.order.PushFront(&cachedFile{name: f.name, size: f.info.size, checked: time.Now()})
	} else {
		_ = f.c.root.Remove(f.part) // the next start removes what stays
	}
	if f.c.fills[f.name] == f {
		delete(f.c.fills, f.name)
	}
	if !f.kept {
		f.c.bytes -= f.info.size
		f.c.options.Observer.Holds(f.c.bytes)
	}
	f.c.mu.Unlock()
	if err != nil {
		f.c.warn("A crate file cannot be cached", err)
	}
	if errors.Is(err, errDamaged) && f.c.Damaged != nil {
		f.c.Damaged(f.key)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.ended, f.cause = true, cause
	f.wake()
}

// giveBack takes back what reserve counted.
func (f *fill) giveBack() {
	f.c.mu.Lock()
	defer f.c.mu.Unlock()
	f.c.bytes -= f.info.size
	f.c.options.Observer.Holds(f.c.bytes)
}

func (f *fill) remove() {
	f.c.mu.Lock()
	defer f.c.mu.Unlock()
	if f.c.fills[f.name] == f {
		delete(f.c.fills, f.name)
	}
}

func (f *fill) progress(n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.have += int64(n)
	f.wake()
}

// wake has the readers look again. The caller holds the lock.
func (f *fill) wake() {
	if f.more != nil {
		close(f.more)
		f.more = nil
	}
}

// wait waits until more than at bytes can be read and gives how many; or for the end, with the reason why no more will come.
func (f *fill) wait(ctx context.Context, at int64) (int64, error) {
	for {
		f.mu.Lock()
		have, ended, cause := f.have, f.ended, f.cause
		if f.more == nil {
			f.more = make(chan struct{})
		}
		more := f.more
		f.mu.Unlock()
		if have > at {
			return have, nil
		}
		if ended {
			if cause == nil {
				cause = io.ErrUnexpectedEOF
			}
			return have, cause
		}
		select {
		case <-more:
		case <-ctx.Done():
			return have, context.Cause(ctx)
		}
	}
}

// fillWriter writes the copy, and tells its readers.
type fillWriter struct {
	fill *fill
	file *os.File
	end  time.Time
}

// Write implements io.Writer.
func (w *fillWriter) Write(p []byte) (int, error) {
	if time.Now().After(w.end) {
		return 0, errSlow
	}
	n, err := w.file.Write(p)
	if err != nil {
		return n, diskFault(err)
	}
	w.fill.progress(n)
	return n, nil
}
