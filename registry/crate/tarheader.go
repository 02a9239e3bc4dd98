package crate

import (
	"bufio"
	"bytes"
	"cmp"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// tarReader reads the tar streams that cargo writes, and no others: archive/tar of Go, tar of Rust and GNU tar disagree on much
// of what a tar stream may say, and whoever unpacks a crate must find what was checked here. It takes
//
//   - headers of the ustar and the GNU form, whose numbers are octal digits and whose checksum is right; one of the GNU form
//     has nothing where ustar has the beginning of the path;
//   - regular files and folders; a folder has no content;
//   - a long path before the header it belongs to: GNU's 'L', as cargo writes it, or a pax record, as others do;
//   - an end of at least one block of zeros.
//
// It refuses links, devices, sparse and contiguous files, headers for all entries, sizes of other forms, and every pax record
// that would change what is unpacked, but for a size that repeats the header's.
type tarReader struct {
	r     *bufio.Reader
	left  int64 // of the content of the entry
	pad   int64 // behind it
	block [tarBlock]byte
}

const tarBlock = 512

// tarEntry is a file or a folder.
type tarEntry struct {
	path   string // without the slash at the end of a folder's
	folder bool
	size   int64 // bytes
}

const (
	typeFile     = '0'
	typeOldFile  = 0
	typeFolder   = '5'
	typeLongPath = 'L'
	typePax      = 'x'
)

// Read gives the content of the entry.
func (t *tarReader) Read(b []byte) (int, error) {
	if t.left == 0 {
		return 0, io.EOF
	}
	n, err := t.r.Read(b[:min(int64(len(b)), t.left)])
	t.left -= int64(n)
	return n, noEOF(err)
}

// next goes to the next entry, io.EOF at the end of the stream. What is left of the content of the last one is passed over.
func (t *tarReader) next() (tarEntry, error) {
	h, err := t.header()
	if err != nil {
		return tarEntry{}, err
	}
	var more extension
	if h.kind == typeLongPath || h.kind == typePax {
		if more, err = t.extension(h); err != nil {
			return tarEntry{}, err
		}
		if h, err = t.header(); err != nil {
			return tarEntry{}, noEOF(err)
		}
	}
	switch h.kind {
	case typeFile, typeOldFile, typeFolder:
	case typeLongPath, typePax:
		return tarEntry{}, fmt.Errorf("the archive has two headers for a long path before one entry: %q", clip(more.path))
	default:
		err := fmt.Errorf("the archive has an entry that is neither file nor folder: %q; links and devices are refused", clip(h.path))
		if h.size == 0 && '1' <= h.kind && h.kind <= '6' { // a link or device: all readers go on at the next block
			err = entryError(err.Error())
		}
		return tarEntry{}, err
	}
	if more.size != "" && more.size != strconv.FormatInt(h.size, 10) {
		return tarEntry{}, fmt.Errorf("the archive has an entry with one size in its header and another in a pax record: %q", clip(h.path))
	}
	h.path = cmp.Or(more.path, h.path)
	return h.entry()
}

// tarHeader is one block of a header.
type tarHeader struct {
	path string
	kind byte
	size int64
}

func (h tarHeader) entry() (tarEntry, error) {
	e := tarEntry{path: h.path, folder: h.kind == typeFolder, size: h.size}
	if e.folder {
		e.path = strings.TrimSuffix(e.path, "/")
	}
	if e.folder && e.size != 0 {
		return e, fmt.Errorf("the archive has a folder with content, on which readers disagree: %q", clip(e.path))
	}
	return e, nil
}

func (t *tarReader) header() (h tarHeader, err error) {
	if _, err := t.r.Discard(int(t.left + t.pad)); err != nil {
		return h, noEOF(err)
	}
	t.left, t.pad = 0, 0
	b := t.block[:]
	if _, err := io.ReadFull(t.r, b); err != nil {
		if err == io.EOF {
			err = fmt.Errorf("the archive has no end: its tar stream stops without a block of zeros")
		}
		return h, err
	}
	if allZeros(b) {
		return h, io.EOF
	}
	ustar := string(b[257:265]) == "ustar\x0000"
	if !ustar && string(b[257:265]) != "ustar  \x00" {
		return h, fmt.Errorf("the archive has a tar header of a form that cargo does not write")
	}
	sum := int64(8 * ' ')
	for i, c := range b {
		if i < 148 || i >= 156 {
			sum += int64(c)
		}
	}
	if stated, err := octal(b[148:156]); err != nil || stated != sum {
		return h, fmt.Errorf("the archive is damaged: a tar header has a wrong checksum")
	}
	h.path, h.kind = cString(b[:100]), b[156]
	if !ustar && !allZeros(b[345:500]) {
		return h, fmt.Errorf("the archive has a GNU header with data where others read a path: %q", clip(h.path))
	}
	for _, field := range [][]byte{b[100:108], b[108:116], b[116:124], b[136:148], b[329:337], b[337:345]} {
		if _, err := octal(field); err != nil && len(bytes.Trim(field, " \x00")) > 0 {
			return h, fmt.Errorf("the archive has a tar header with a number that is not octal: %q", clip(h.path))
		}
	}
	if prefix := cString(b[345:500]); ustar && prefix != "" {
		h.path = prefix + "/" + h.path
	}
	if h.size, err = octal(b[124:136]); err != nil {
		return h, fmt.Errorf("the archive has an entry whose size is no octal number: %q", clip(h.path))
	}
	t.left, t.pad = h.size, -h.size&(tarBlock-1)
	return h, nil
}

// extension is what a header before an entry's own says of it; empty where it says nothing.
type extension struct{ path, size string }

func (t *tarReader) extension(h tarHeader) (e extension, err error) {
	if h.size > 2*maxPath {
		return e, fmt.Errorf("the archive has a header for a long path of %d bytes, the limit is %d", h.size, 2*maxPath)
	}
	data, err := io.ReadAll(t)
	if err != nil {
		return e, err
	}
	if h.kind == typePax {
		return parsePax(string(data))
	}
	e.path = strings.TrimSuffix(string(data), "\x00")
	if e.path == "" || strings.Contains(e.path, "\x00") {
		return e, fmt.Errorf("the archive has a long path that is empty or has a NUL in it: %q", clip(e.path))
	}
	return e, nil
}

// parsePax reads pax records: "LENGTH KEY=VALUE\n" each.
func parsePax(s string) (e extension, err error) {
	for seen := map[string]bool{}; s != ""; {
		digits, rest, _ := strings.Cut(s, " ")
		n, err := strconv.ParseUint(digits, 10, 16)
		if err != nil || int(n) > len(s) || int(n) < len(digits)+2 || s[n-1] != '\n' {
			return e, fmt.Errorf("the archive has a pax header that cannot be read")
		}
		key, value, ok := strings.Cut(rest[:int(n)-len(digits)-2], "=")
		s = s[n:]
		if !ok || value == "" || seen[key] || strings.ContainsAny(value, "\n\x00") {
			return e, fmt.Errorf("the archive has a pax record on which readers disagree: %q", clip(key))
		}
		seen[key] = true
		switch key {
		case "path":
			e.path = value
		case "size":
			e.size = value
		case "mtime", "atime", "ctime", "uid", "gid", "uname", "gname":
		default:
			return e, fmt.Errorf("the archive has a pax record of a kind that cargo has no use for: %q", clip(key))
		}
	}
	return e, nil
}

func noEOF(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}

func allZeros(b []byte) bool { return len(bytes.TrimLeft(b, "\x00")) == 0 }

func cString(b []byte) string {
	b, _, _ = bytes.Cut(b, []byte{0})
	return string(b)
}

// octal reads a number that fills its field but for NULs and spaces at the end.
func octal(b []byte) (int64, error) {
	n, err := strconv.ParseUint(string(bytes.TrimRight(b, " \x00")), 8, 63)
	return int64(n), err
}
