package mirror

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/klauspost/compress/gzip"

	"github.com/crateyard/crateyard/registry/catalog"
	"github.com/crateyard/crateyard/registry/fault"
	"github.com/crateyard/crateyard/registry/storage"
)

const (
	fetchTime   = 30 * time.Minute // for one archive, however slow
	resumes     = 5                // how often a cut archive is taken up again
	resumeAfter = 300 * time.Millisecond
)

// Fetch is an archive on its way from upstream. Any number of readers take its bytes while they arrive; the last byte is given out when the digest
// is right. Until it is stored, who asks for the archive shares the Fetch.
type Fetch struct {
	SHA256 string

	done  chan struct{} // closed when it is stored, or failed: see finished
	spool *spool
	up    *upstream

	mu      sync.Mutex
	changed chan struct{} // closed when one of the following changes; nil: nobody waits for it
	size    int64         // -1: not known yet
	written int64
	whole   bool // verified
	err     error
	hold    bool // give nothing out before it is whole and admitted
	over    bool // done is closed
	users   int  // readers, and the fetch itself
}

func newFetch(up *upstream, s *spools, sum string, hold bool) *Fetch {
	return &Fetch{SHA256: sum, up: up, spool: s.open(), done: make(chan struct{}), size: -1, hold: hold, users: 1}
}

// update changes the state and wakes those who wait.
func (f *Fetch) update(change func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change()
	if f.changed != nil {
		close(f.changed)
		f.changed = nil
	}
}

// change gives what is closed with the next change. The caller holds the lock.
func (f *Fetch) change() <-chan struct{} {
	if f.changed == nil {
		f.changed = make(chan struct{})
	}
	return f.changed
}

// finished tells those who wait for the end.
func (f *Fetch) finished() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.over {
		f.over = true
		close(f.done)
	}
}

// failure is why there is nothing to give out.
func (f *Fetch) failure() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.err
}

// isWhole reports whether its readers may have all of it.
func (f *Fetch) isWhole() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.whole
}

// use counts a reader in; false: it is over.
func (f *Fetch) use() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.users == 0 {
		return false
	}
	f.users++
	return true
}

// Close counts a reader out.
func (f *Fetch) Close() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.users--; f.users > 0 {
		return nil
	}
	return f.spool.close()
}

// Size waits until it is known that there is something to give out, and gives the number of bytes, or -1 where upstream did not tell. Nobody waits for
// longer than cargo would: the fetch goes on, and who asks again finds what came meanwhile.
func (f *Fetch) Size(ctx context.Context) (int64, error) {
	ctx, cancel := f.patient(ctx)
	defer cancel()
	for {
		f.mu.Lock()
		changed, size, err := f.change(), f.size, f.err
		ready := f.whole || !f.hold && f.written > 1
		f.mu.Unlock()
		if err != nil || ready {
			return size, err
		}
		if err := f.await(ctx, changed); err != nil {
			return 0, err
		}
	}
}

// patient bounds how long a client waits for a first byte.
func (f *Fetch) patient(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeoutCause(ctx, firstContact, errLate)
}

var errLate = errors.New("the client waited long enough")

// await waits for a change; the error is for the client.
func (f *Fetch) await(ctx context.Context, changed <-chan struct{}) error {
	select {
	case <-changed:
		return nil
	case <-ctx.Done():
		if cause := context.Cause(ctx); errors.Is(cause, errLate) {
			return f.up.late(cause)
		}
		return ctx.Err()
	}
}

// Stream gives the bytes to w as they arrive. An error after the first byte means that what w got is not the archive.
func (f *Fetch) Stream(ctx context.Context, w io.Writer) (n int64, err error) {
	for {
		f.mu.Lock()
		changed, have, whole, err := f.change(), f.written, f.whole, f.err
		if !whole {
			have-- // the last byte waits for the digest
			if f.hold {
				have = 0
			}
		}
		f.mu.Unlock()
		if err != nil {
			return n, err
		}
		if have > n {
			copied, err := io.Copy(w, io.NewSectionReader(f.spool, n, have-n))
			if n += copied; err != nil {
				return n, err
			}
			continue
		}
		if whole {
			return n, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return n, ctx.Err()
		}
	}
}

// Reader gives the whole archive, once it is there, for who wants a part of it. It is as patient as Size.
func (f *Fetch) Reader(ctx context.Context) (io.ReadSeeker, error) {
	ctx, cancel := f.patient(ctx)
	defer cancel()
	for {
		f.mu.Lock()
		changed, size, whole, err := f.change(), f.written, f.whole, f.err
		f.mu.Unlock()
		switch {
		case err != nil:
			return nil, err
		case whole:
			return io.NewSectionReader(f.spool, 0, size), nil
		}
		if err := f.await(ctx, changed); err != nil {
			return nil, err
		}
	}
}

// download is the part of a fetch that speaks to upstream.
type download struct {
	*Fetch
	m         *Mirror
	name, num string
	hash      hash.Hash
	etag      string
	received  int64
	plain     bool   // what upstream calls compressed is the archive itself
	encoded   string // how upstream says that the archive is compressed, although nobody asked it to, and we cannot undo it; empty: it is not
	limit     int64
	pinned    int    // see catalog.MirrorCrate
	letGo     func() // gives the memory back, unless readers still need it
}

// run brings the bytes into the file and checks their digest.
func (d *download) run(ctx context.Context) error {
	address, token, err := d.m.up.download(ctx, d.name, d.num, d.SHA256)
	if err != nil {
		return err
	}
	d.hash = sha256.New()
	for try := 0; ; try++ {
		before := d.received
		err := d.part(ctx, address, token)
		if err == nil {
			break
		}
		if d.received > before {
			try = 0 // it gets on
		}
		if _, lost := errors.AsType[*cutError](err); !lost || try >= resumes || ctx.Err() != nil {
			return err
		}
		select {
		case <-time.After(resumeAfter << try):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	if sum := hex.EncodeToString(d.hash.Sum(nil)); sum != d.SHA256 {
		if d.encoded != "" { // it need not be another archive
			return d.m.up.failed(fmt.Errorf("it sends the file of %s %s compressed as %s, which it was not asked to", d.name, d.num, d.encoded))
		}
		d.m.Metrics.ChecksumChanged(d.m.Name())
		d.m.Log.Error("Upstream sent other bytes than its index names", "mirror", d.m.Name(), "crate", d.name, "version", d.num, "want", d.SHA256, "got", sum)
		return fault.New(fault.Unavailable, "the upstream registry at %s sent a file for %s %s that does not have the checksum of its index; nothing of it was kept", d.m.up.host, d.name, d.num)
	}
	return nil
}

// cutError tells that an answer ended too early.
type cutError struct{ err error }

func (e *cutError) Error() string { return "the file was cut off: " + e.err.Error() }
func (e *cutError) Unwrap() error { return e.err }

// part takes one answer, from where the last one ended.
func (d *download) part(ctx context.Context, address string, token bool) error {
	header := http.Header{"Accept": {"*/*"}, "Accept-Encoding": {"identity"}} // a digest is of the bytes as they are
	d.m.up.authorize(header, token)
	codes := []int{http.StatusOK}
	if d.received > 0 {
		header.Set("Range", "bytes="+strconv.FormatInt(d.received, 10)+"-")
		if d.etag != "" {
			header.Set("If-Range", d.etag)
		}
		codes = append(codes, http.StatusPartialContent, http.StatusRequestedRangeNotSatisfiable)
	}
	resp, err := d.m.up.get(ctx, "crate", address, header, codes...)
	if s, ok := errors.AsType[*statusError](err); ok && (s.code == http.StatusNotFound || s.code == http.StatusForbidden || s.code == http.StatusGone) {
		return fault.Wrap(fault.NotFound, err, "the upstream registry at %s lists %s %s, but has no file for it (it answered %d)", d.m.up.host, d.name, d.num, s.code)
	}
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()                        // it was read, or is of no use
	if resp.StatusCode == http.StatusRequestedRangeNotSatisfiable { // only the end of the answer was missing, and no byte of the file; or there is another file
		if hex.EncodeToString(d.hash.Sum(nil)) == d.SHA256 {
			return nil
		}
		return d.m.up.failed(errors.New("it cut a file off, and says that there is no more of it"))
	}
	body := io.Reader(resp.Body)
	if encoded(resp) == "gzip" && !d.plain { // some servers compress whatever they are asked
		begins := bufio.NewReaderSize(resp.Body, beginning)
		if d.plain = d.received == 0 && isArchive(begins); d.plain {
			body = begins
		} else if body, err = gzip.NewReader(begins); err != nil {
			return &cutError{err}
		} else {
			resp.ContentLength = -1
		}
	}
	if resp.StatusCode == http.StatusPartialContent && !continues(resp, d.received) {
		return d.m.up.failed(errors.New("it answers with another part of the file than was asked for"))
	}
	if resp.StatusCode == http.StatusOK && d.received > 0 { // from the beginning: what is there already is passed over, and compared by the digest
		if _, err := io.CopyN(io.Discard, body, d.received); err != nil {
			return &cutError{err}
		}
		resp.ContentLength -= min(resp.ContentLength, d.received)
	}
	if d.etag, d.encoded = resp.Header.Get("Etag"), encoded(resp); d.encoded == "gzip" {
		d.encoded = ""
	}
	if total := d.received + resp.ContentLength; resp.ContentLength >= 0 {
		if total > d.limit {
			return d.tooLarge()
		}
		d.update(func() { d.size = total })
	}
	return d.copy(body)
}

var copyBuffers = sync.Pool{New: func() any { return new([64 << 10]byte) }}

func (d *download) tooLarge() error { return tooLarge(d.name, d.num, d.limit) }

// tooLarge is the error for an archive that the server's own limit keeps out: to ask again is of no use, and upstream is not to blame.
func tooLarge(name, num string, limit int64) error {
	return fault.New(fault.TooLarge, "the archive of %s %s is larger than this server's limits.mirroredCrateSize (%d bytes), so nothing of it is kept: whoever runs the server can raise that", name, num, limit)
}

// copy takes what is left of an answer.
func (d *download) copy(body io.Reader) error {
	buf := copyBuffers.Get().(*[64 << 10]byte)[:]
	defer copyBuffers.Put((*[64 << 10]byte)(buf))
	before := d.received
	defer func() { d.m.Metrics.UpstreamBytes(d.m.Name(), "crate", d.received-before) }()
	for {
		n, err := body.Read(buf)
		if n > 0 {
			if d.received+int64(n) > d.limit {
				return d.tooLarge()
			}
			if err := d.spool.append(buf[:n]); err != nil {
				return fault.Wrap(fault.Unavailable, err, "the server has no room for the file")
			}
			d.hash.Write(buf[:n])
			d.received += int64(n)
			d.update(func() { d.written = d.received })
		}
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return &cutError{err}
		}
	}
}

// beginning is how much of an answer is looked at to see what it is.
const beginning = 4 << 10

// isArchive reports whether what is said to be a compressed archive is the archive, which is compressed itself: some stores take the one for the other.
func isArchive(r *bufio.Reader) bool {
	const magicAt, magic = 257, "ustar" // of a tar file
	head, err := r.Peek(beginning)
	if err != nil && !errors.Is(err, io.EOF) {
		return false
	}
	zr, err := gzip.NewReader(bytes.NewReader(head))
	if err != nil {
		return false
	}
	tar := make([]byte, magicAt+len(magic))
	_, err = io.ReadFull(zr, tar)
	return err == nil && string(tar[magicAt:]) == magic
}

// continues reports whether a partial answer begins at an offset.
func continues(resp *http.Response, offset int64) bool {
	var from, to int64
	_, err := fmt.Sscanf(resp.Header.Get("Content-Range"), "bytes %d-%d/", &from, &to)
	return err == nil && from == offset
}

// store puts the whole file into the storage and notes it, and gives the note.
func (d *download) store(ctx context.Context, license string, inspected bool) (*catalog.MirrorCrate, <-chan struct{}, error) {
	durable, err := storage.PutBatched(ctx, d.m.Store, storage.MirrorKey(d.m.Name(), d.name, d.num, d.SHA256), d.spool)
	if err != nil {
		return nil, nil, err
	}
	now := time.Now()
	row := catalog.MirrorCrate{Name: d.name, Num: d.num, SHA256: d.SHA256, Size: d.received, License: license, Inspected: inspected, Pinned: d.pinned, StoredAt: now, UsedAt: now,
		Generation: d.m.Row.Generation}
	key := d.m.fetchKey(row.Name, row.Num)
	d.m.crates.Set(key, &row)
	return &row, d.m.writer.crate(d.m.Row.ID, row, durable, func() { d.m.crates.Invalidate(key) }), nil
}
