package storage

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/s3"
)

// A download that is cut off is taken up again where it ended, so often in all, after so long at first.
const (
	resumes     = 5
	resumePause = 100 * time.Millisecond
)

// drainMost is how much of an answer that is not wanted is read so that its connection can be used again.
const drainMost = 32 << 10

// Open asks for the whole blob at once, which is what a download wants: one request. Its length comes with the answer. A seek
// elsewhere, for a part, costs another request.
func (s *S3) Open(ctx context.Context, key string) (Blob, error) {
	object, err := s.object(key)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: key, Err: errors.Join(fs.ErrInvalid, err)}
	}
	b := &s3Blob{ctx: ctx, store: s, key: key, object: object}
	got, err := b.get(ctx, 0)
	if err != nil {
		return nil, err
	}
	b.body, b.etag = got.Body, got.ETag
	b.info = blobInfo{name: path.Base(key), size: aws.ToInt64(got.ContentLength), modified: aws.ToTime(got.LastModified)}
	return b, nil
}

// s3Blob reads one object, one answer at a time. It is for one goroutine, as files are.
type s3Blob struct {
	ctx    context.Context
	store  *S3
	key    string
	object *string
	etag   *string // the object that was opened, and no other
	info   blobInfo

	at     int64         // where the next read begins
	body   io.ReadCloser // nil: none is open
	bodyAt int64         // where body stands
	cuts   int           // how often an answer was cut off
}

// get asks for the object from an offset on.
func (b *s3Blob) get(ctx context.Context, from int64) (*sdk.GetObjectOutput, error) {
	in := &sdk.GetObjectInput{Bucket: &b.store.options.Bucket, Key: b.object, IfMatch: b.etag}
	if from > 0 {
		in.Range = aws.String(fmt.Sprintf("bytes=%d-", from))
	}
	// The answer's body lives as long as its context, so the bound on time is on its begin alone.
	ctx, cancel := context.WithCancelCause(ctx)
	slow := time.AfterFunc(callTime, func() { cancel(errSlow) })
	got, err := b.store.client.GetObject(ctx, in)
	slow.Stop()
	if err == nil && (got.LastModified == nil || got.ContentLength == nil) {
		err = errors.Join(errAlien, got.Body.Close())
	}
	if err != nil {
		b.store.probe.noteRead(err) // the next Check finds out whether it is so of all
		err = b.store.failed(ctx, "GetObject", b.key, err)
		cancel(nil)
		return nil, err
	}
	got.Body = &closeThen{got.Body, func() { cancel(nil) }}
	if from > 0 && !strings.HasPrefix(aws.ToString(got.ContentRange), fmt.Sprintf("bytes %d-", from)) {
		// A server that knows no ranges sends all.
		if _, err := io.CopyN(io.Discard, got.Body, from); err != nil {
			return nil, errors.Join(b.store.failed(ctx, "GetObject", b.key, err), got.Body.Close())
		}
	}
	return got, nil
}

type closeThen struct {
	io.ReadCloser
	then func()
}

// Close implements io.Closer.
func (c *closeThen) Close() error {
	err := c.ReadCloser.Close()
	c.then()
	return err
}

// Read implements io.Reader.
func (b *s3Blob) Read(p []byte) (int, error) {
	if b.at >= b.info.size {
		return 0, io.EOF
	}
	if len(p) == 0 {
		return 0, nil
	}
	if b.body != nil && b.bodyAt != b.at {
		b.drop()
	}
	for {
		if b.body == nil {
			got, err := b.get(b.ctx, b.at)
			if err != nil {
				return 0, err
			}
			b.body, b.bodyAt = got.Body, b.at
		}
		n, err := b.body.Read(p[:min(int64(len(p)), b.info.size-b.at)])
		b.at, b.bodyAt = b.at+int64(n), b.bodyAt+int64(n)
		if n > 0 || err == nil {
			return n, nil // an error comes again with the next read
		}
		if err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		if err := b.resume(err); err != nil {
			return 0, err
		}
	}
}

// resume drops an answer that was cut off, so that the next read asks for the rest, unless that was done too often.
func (b *s3Blob) resume(cause error) error {
	_ = b.body.Close() // it is broken
	b.body = nil
	if b.ctx.Err() != nil || b.cuts == resumes {
		return b.store.failed(b.ctx, "GetObject", b.key, fmt.Errorf("cut off at byte %d of %d: %w", b.at, b.info.size, cause))
	}
	select {
	case <-time.After(resumePause << b.cuts):
	case <-b.ctx.Done():
	}
	b.cuts++
	if b.cuts == 1 {
		b.ctx = context.WithValue(b.ctx, resumed{}, true)
	}
	return nil
}

// drop closes an answer that is not read to its end.
func (b *s3Blob) drop() {
	if b.body == nil {
		return
	}
	if b.info.size-b.bodyAt <= drainMost {
		_, _ = io.Copy(io.Discard, b.body) // for the connection's sake
	}
	_ = b.body.Close() // it was read only
	b.body = nil
}

// What Stream copies through. A large buffer saves system calls where one download has the machine to itself; there are a few of them, and
// with many downloads at once the others make do with a small one each, so that memory stays bounded.
const (
	largeBuffer  = 256 << 10
	largeBuffers = 8
	smallBuffer  = 16 << 10
)

var (
	large = func() chan []byte {
		free := make(chan []byte, largeBuffers)
		for range largeBuffers {
			free <- nil // made when it is first used
		}
		return free
	}()
	small = sync.Pool{New: func() any { return new([smallBuffer]byte) }}
)

// Stream implements Streamer, with a buffer that downloads share.
func (b *s3Blob) Stream(w io.Writer) (n int64, err error) {
	var buf []byte
	select {
	case buf = <-large:
		if buf == nil {
			buf = make([]byte, largeBuffer)
		}
		defer func() { large <- buf }()
	default:
		own := small.Get().(*[smallBuffer]byte)
		defer small.Put(own)
		buf = own[:]
	}
	for {
		m, err := b.Read(buf)
		if m > 0 {
			written, werr := w.Write(buf[:m])
			n += int64(written)
			if werr != nil {
				return n, werr
			}
		}
		if err == io.EOF {
			return n, nil
		}
		if err != nil {
			return n, err
		}
	}
}

// Seek implements io.Seeker. It asks for nothing: the next read does, when it must.
func (b *s3Blob) Seek(offset int64, whence int) (int64, error) {
	at, err := seekTo(offset, whence, b.at, b.info.size)
	if err == nil {
		b.at = at
	}
	return at, err
}

// Stat gives what came with the answer.
func (b *s3Blob) Stat() (os.FileInfo, error) { return b.info, nil }

// Close implements io.Closer.
func (b *s3Blob) Close() error {
	b.drop()
	return nil
}

// blobInfo is the os.FileInfo of an object.
type blobInfo struct {
	name     string
	size     int64
	modified time.Time
}

func (i blobInfo) Name() string       { return i.name }
func (i blobInfo) Size() int64        { return i.size }
func (i blobInfo) Mode() fs.FileMode  { return 0o444 }
func (i blobInfo) ModTime() time.Time { return i.modified }
func (i blobInfo) IsDir() bool        { return false }
func (i blobInfo) Sys() any           { return nil }

// presignMost is for how long at most an address holds: keys that expire are renewed while they have at least this long to live, and
// an address dies with the keys that signed it.
const presignMost = 10 * time.Minute

// Presigner is a Store that can give an address under which anybody may get a blob for a while, without asking the store.
type Presigner interface {
	Presign(ctx context.Context, key string, valid time.Duration) (url string, err error)
}

// Presign gives an address that holds for valid, or ten minutes if that is shorter. It does not ask whether the blob is there.
func (s *S3) Presign(ctx context.Context, key string, valid time.Duration) (string, error) {
	object, err := s.object(key)
	if err != nil {
		return "", err
	}
	req, err := s.presign.PresignGetObject(ctx, &sdk.GetObjectInput{Bucket: &s.options.Bucket, Key: object}, sdk.WithPresignExpires(min(valid, presignMost)))
	if err != nil {
		return "", s.failed(ctx, "PresignGetObject", key, err)
	}
	if req.Method != http.MethodGet || len(req.SignedHeader) > 1 { // Host alone: cargo sends no others
		return "", fmt.Errorf("presigned address of %s asks for headers %v", key, req.SignedHeader)
	}
	return req.URL, nil
}
