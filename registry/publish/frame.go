package publish

import (
	"cmp"
	"encoding/binary"
	"errors"
	"io"

	"github.com/crateyard/crateyard/registry/fault"
)

// MaxMetadata bounds the JSON in front of an archive, README included: crates.io's limit.
const MaxMetadata = 1 << 20 // bytes

// frame is the body of a publish, read part by part: a little-endian length and the metadata, a length and the archive, and
// nothing behind it (cargo book, "Registry Web API").
type frame struct {
	body io.Reader
}

// metadata reads the first part, when hold has let it hold so many bytes.
func (f frame) metadata(hold func(bytes int64) error) ([]byte, error) {
	n, err := f.length("metadata")
	if err != nil {
		return nil, err
	}
	if n > MaxMetadata {
		if n > 1<<28 { // no README is that long
			return nil, fault.New(fault.TooLarge, "this is no body of `cargo publish`: it begins with the length of its metadata, and %d is none", n)
		}
		return nil, fault.New(fault.TooLarge, "the metadata has %d bytes, the limit is %d; a long README is the usual cause", n, MaxMetadata)
	}
	if err := hold(int64(n)); err != nil {
		return nil, err
	}
	data := make([]byte, n)
	if _, err := io.ReadFull(f.body, data); err != nil {
		return nil, truncated(err, "metadata")
	}
	return data, nil
}

// archive reads the second length and gives a reader of exactly that many bytes; it fails when the body ends before, and when it does not
// end with them.
func (f frame) archive(limit int64) (*exactReader, error) {
	n, err := f.length("archive")
	if err != nil {
		return nil, err
	}
	if int64(n) > limit {
		return nil, fault.New(fault.TooLarge, "the .crate file has %d bytes, the limit of this registry is %d; exclude files with `package.exclude` in Cargo.toml, or ask an administrator", n, limit)
	}
	return &exactReader{f: f, left: int64(n)}, nil
}

// end reports bytes behind the archive.
func (f frame) end() error {
	var one [1]byte
	switch _, err := io.ReadFull(f.body, one[:]); {
	case errors.Is(err, io.EOF):
		return nil
	case err != nil:
		return truncated(err, "upload")
	}
	return fault.New(fault.Invalid, "the upload has data behind the .crate file")
}

func (f frame) length(what string) (uint32, error) {
	var b [4]byte
	if _, err := io.ReadFull(f.body, b[:]); err != nil {
		return 0, truncated(err, "length of the "+what)
	}
	return binary.LittleEndian.Uint32(b[:]), nil
}

func truncated(err error, what string) error {
	if _, ok := errors.AsType[*fault.Error](err); ok {
		return err
	}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return fault.Wrap(fault.Invalid, err, "the upload ends inside the %s; publish again", what)
	}
	return fault.Wrap(fault.Invalid, err, "the upload was cut off inside the %s; publish again", what)
}

// exactReader gives left bytes and then io.EOF; a body that ends before or goes on is an error, which stays in err, because a reader of
// archives in between might take it for the archive's own.
type exactReader struct {
	f     frame
	left  int64
	ended bool
	err   error
}

func (e *exactReader) Read(p []byte) (int, error) {
	if e.err != nil {
		return 0, e.err
	}
	if e.left == 0 {
		if !e.ended {
			e.err, e.ended = e.f.end(), true
		}
		return 0, cmp.Or(e.err, io.EOF)
	}
	if int64(len(p)) > e.left {
		p = p[:e.left]
	}
	n, err := e.f.body.Read(p)
	e.left -= int64(n)
	if err != nil && e.left > 0 {
		e.err = truncated(err, ".crate file")
		return n, e.err
	}
	return n, nil
}
