package backup

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"iter"
	"strconv"
	"strings"

	"github.com/klauspost/compress/gzip"

	"github.com/crateyard/crateyard/registry/storage"
)

// writePart stores what write writes, gzipped.
func writePart(ctx context.Context, target storage.Store, key string, write func(io.Writer) error) (p Part, err error) {
	w, err := target.Create(ctx)
	if err != nil {
		return p, err
	}
	defer func() { err = errors.Join(err, w.Cancel()) }() // after a commit it does nothing
	counted := &counter{w: w, hash: sha256.New()}
	buf := bufio.NewWriterSize(counted, 256<<10)
	zw := gzip.NewWriter(buf)
	if err := write(zw); err != nil {
		return p, err
	}
	if err := errors.Join(zw.Close(), buf.Flush()); err != nil {
		return p, err
	}
	durable, err := w.Commit(ctx, key)
	if err != nil {
		return p, err
	}
	return Part{SHA256: hex.EncodeToString(counted.hash.Sum(nil)), Size: counted.n}, durable()
}

type counter struct {
	w    io.Writer
	hash hash.Hash
	n    int64
}

func (c *counter) Write(p []byte) (int, error) {
	n, err := c.w.Write(p)
	c.hash.Write(p[:n])
	c.n += int64(n)
	return n, err
}

// readPart gives the text of a part to read. It ends with an error instead of io.EOF when the part is not the one of the manifest, so
// that whoever reads to the end knows.
func readPart(ctx context.Context, target storage.Store, key string, p Part, read func(io.Reader) error) (err error) {
	b, err := target.Open(ctx, key)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.Close()) }()
	v := &verifier{r: b, key: key, want: p, hash: sha256.New()}
	zr, err := gzip.NewReader(v)
	if err != nil {
		return fmt.Errorf("%s: %w", key, err)
	}
	return read(&untilEnd{zr, v})
}

// verifier hashes what it reads.
type verifier struct {
	r    io.Reader
	key  string
	want Part
	hash hash.Hash
	n    int64
}

func (v *verifier) Read(p []byte) (int, error) {
	n, err := v.r.Read(p)
	v.hash.Write(p[:n])
	v.n += int64(n)
	return n, err
}

// untilEnd reads the compressed text to its end and compares, before it says that the text has ended.
type untilEnd struct {
	zr *gzip.Reader
	v  *verifier
}

func (u *untilEnd) Read(p []byte) (int, error) {
	n, err := u.zr.Read(p)
	if err != io.EOF {
		return n, err
	}
	if _, err := io.Copy(io.Discard, u.v); err != nil {
		return n, err
	}
	if sum := hex.EncodeToString(u.v.hash.Sum(nil)); sum != u.v.want.SHA256 || u.v.n != u.v.want.Size {
		return n, fmt.Errorf("%s: %w: SHA-256 %s, %d bytes; the manifest says %s, %d", u.v.key, storage.ErrDigest, sum, u.v.n, u.v.want.SHA256, u.v.want.Size)
	}
	return n, io.EOF
}

// item is a blob of the list.
type item struct {
	key  string // in the storage
	size int64
}

func (i item) sha256() string {
	_, _, sum, _ := storage.ParseCrateKey(i.key)
	return sum
}

func (i item) write(w io.Writer) error {
	_, err := fmt.Fprintf(w, "%d %s\n", i.size, i.key)
	return err
}

// maxLine bounds a line of the list: a name and a version have at most 64 and 128 characters or so.
const maxLine = 4 << 10

// readList gives the blobs of a backup in the order of their keys. An error ends it, also at its end when the list is not whole.
func readList(ctx context.Context, target storage.Store, name string, p Part) iter.Seq2[item, error] {
	return func(yield func(item, error) bool) {
		err := readPart(ctx, target, backups+name+listName, p, func(r io.Reader) error {
			lines := bufio.NewScanner(r)
			lines.Buffer(nil, maxLine)
			last := ""
			for lines.Scan() {
				size, key, ok := strings.Cut(lines.Text(), " ")
				n, err := strconv.ParseInt(size, 10, 64)
				if _, _, _, isCrate := storage.ParseCrateKey(key); !ok || err != nil || n < 0 || !isCrate || key <= last {
					return fmt.Errorf("the list of backup %s is damaged at %q", name, lines.Text())
				}
				last = key
				if !yield(item{key, n}, nil) {
					return errStopped
				}
			}
			return lines.Err()
		})
		if err != nil && !errors.Is(err, errStopped) {
			yield(item{}, err)
		}
	}
}

var errStopped = errors.New("the reader has enough")
