package index

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"strconv"
	"strings"
	"sync"

	"github.com/klauspost/compress/gzip"
)

// File is an index file as it is served: its bytes, a compressed form, and the headers of both as net/http keeps them, so that to serve
// it again allocates next to nothing.
type File struct {
	Plain, Gzip []byte // Gzip is nil where it would not be smaller
	PlainHeader FileHeader
	GzipHeader  FileHeader
	hash        string // of the content; the ETag without quotes and encoding
}

// FileHeader are the values of headers that depend on the form of a file.
type FileHeader struct{ ETag, Length []string }

// gzipMark sets the ETag of the compressed form apart: a strong ETag names bytes (RFC 9110, 8.8.3).
const gzipMark = "-gzip"

// NewFile makes the file of some lines, which must not be changed afterwards.
func NewFile(lines []byte) *File {
	z, err := Compress(lines)
	if err != nil {
		z = nil // it is served plain
	}
	return NewCompressedFile(lines, z)
}

// NewCompressedFile is NewFile for who has the lines' gzip form; nil: there is none.
func NewCompressedFile(lines, z []byte) *File {
	sum := sha256.Sum256(lines)
	f := &File{Plain: lines, hash: hex.EncodeToString(sum[:16])}
	f.PlainHeader = FileHeader{ETag: []string{`"` + f.hash + `"`}, Length: []string{strconv.Itoa(len(lines))}}
	if z != nil && len(z) < len(lines) {
		f.Gzip = z
		f.GzipHeader = FileHeader{ETag: []string{`"` + f.hash + gzipMark + `"`}, Length: []string{strconv.Itoa(len(f.Gzip))}}
	}
	return f
}

// Compress gives the gzip form of a file.
func Compress(lines []byte) ([]byte, error) {
	zw := compressors.Get().(*gzip.Writer)
	defer compressors.Put(zw)
	var buf bytes.Buffer
	zw.Reset(&buf)
	if _, err := zw.Write(lines); err != nil {
		return nil, err
	}
	if err := zw.Close(); err != nil {
		return nil, err
	}
	return bytes.Clone(buf.Bytes()), nil
}

// compressors are kept: one takes 800 KB.
var compressors = sync.Pool{New: func() any { return gzip.NewWriter(nil) }}

// Size is how many bytes of memory the file takes, headers aside.
func (f *File) Size() int { return len(f.Plain) + len(f.Gzip) }

// Matches reports whether an If-None-Match header, in one or more lines, names the file in either form. Comparison is weak, as RFC 9110 asks.
func (f *File) Matches(ifNoneMatch []string) bool {
	for _, header := range ifNoneMatch {
		for tag := range strings.SplitSeq(header, ",") {
			tag = strings.TrimPrefix(strings.TrimSpace(tag), "W/")
			if tag == "*" || strings.TrimSuffix(strings.Trim(tag, `"`), gzipMark) == f.hash {
				return true
			}
		}
	}
	return false
}
