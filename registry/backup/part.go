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
	"io/fs"
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
// that whoever reads to the end knows. What read cannot make sense of in a part that is another one is a DamagedError, too.
func readPart(ctx context.Context, target storage.Store, key string, p Part, read func(io.Reader) error) (err error) {
	b, err := target.Open(ctx, key)
	if errors.Is(err, fs.ErrNotExist) {
		return &DamagedError{Key: key, Err: errors.New("it is missing")}
	}
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.Close()) }()
	v := &verifier{r: b, key: key, want: p, hash: sha256.New()}
	zr, err := gzip.NewReader(v)
	if err != nil {
		return v.judge(err)
	}
	if err := read(&untilEnd{zr: zr, v: v}); err != nil && !errors.Is(err, errStopped) {
		return v.judge(err)
	} else if err != nil {
		return err
	}
	return nil
}

// DamagedError tells which file of a backup is not what the backup says, and what may be done. It wraps what is wrong with it.
type DamagedError struct {
	Key string // in the place of backups
	Err error
}

// Error implements error.
func (e *DamagedError) Error() string {
	return fmt.Sprintf("%s in the place of backups is damaged: %v. Put the file back from a copy of the place, if there is one; else restore another backup, of those that "+
		"`crateyard backup list` shows; without any, `crateyard restore --from-blobs` brings back the archives", e.Key, e.Err)
}

// Unwrap gives what is wrong.
func (e *DamagedError) Unwrap() error { return e.Err }

// verifier hashes what it reads.
type verifier struct {
	r    io.Reader
	key  string
	want Part
	hash hash.Hash
	n    int64
	err  error // of the target; nil: it gives what it has
}

func (v *verifier) Read(p []byte) (int, error) {
	n, err := v.r.Read(p)
	v.hash.Write(p[:n])
	v.n += int64(n)
	if err != nil && err != io.EOF {
		v.err = err
	}
	return n, err
}

// judge tells whether an error of who reads the part comes from damage of the part: then that is the error. A target that fails is no damage.
func (v *verifier) judge(err error) error {
	if _, told := errors.AsType[*DamagedError](err); told || v.err != nil {
		return err
	}
	if found := v.check(); found != nil && v.err == nil {
		return found
	}
	return err
}

// untilEnd gives the text, and holds its last piece back until all of the compressed text is read and is the one of the manifest: who needs
// the end of the text to believe it, as Load does, never believes another.
type untilEnd struct {
	zr   *gzip.Reader
	v    *verifier
	held []byte // read, and not given
	give []byte // of what was held, that may be given
	err  error  // after give
}

// heldBack is how long the last piece is, in bytes, where the text is longer than that.
const heldBack = 64 << 10

func (u *untilEnd) Read(p []byte) (int, error) {
	for len(u.give) == 0 {
		if u.err != nil {
			return 0, u.err
		}
		next, err := u.piece()
		switch err {
		case nil:
			u.give, u.held = u.held, next
		case io.EOF:
			if u.err = u.v.check(); u.err == nil {
				u.give, u.held, u.err = append(u.held, next...), nil, io.EOF
			}
		default:
			u.err = err
		}
	}
	n := copy(p, u.give)
	u.give = u.give[n:]
	return n, nil
}

// piece reads heldBack bytes of text, or fewer and an error.
func (u *untilEnd) piece() (text []byte, err error) {
	text = make([]byte, heldBack)
	n := 0
	for n < len(text) && err == nil {
		var m int
		m, err = u.zr.Read(text[n:])
		n += m
	}
	return text[:n], err
}

// check reads what is left of the compressed text and compares all of it.
func (v *verifier) check() error {
	if _, err := io.Copy(io.Discard, v); err != nil {
		return err
	}
	sum := hex.EncodeToString(v.hash.Sum(nil))
	switch {
	case v.n != v.want.Size:
		return &DamagedError{v.key, fmt.Errorf("%w: it has %d bytes, and the manifest says %d", storage.ErrDigest, v.n, v.want.Size)}
	case sum != v.want.SHA256:
		return &DamagedError{v.key, fmt.Errorf("%w: its SHA-256 is %s, and the manifest says %s", storage.ErrDigest, sum, v.want.SHA256)}
	}
	return nil
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
