package crate

import (
	"archive/tar"
	"bufio"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"
	"sync"
	"unicode/utf8"

	"github.com/klauspost/compress/gzip"
)

// Limits bound what an archive may make the server and its users do.
type Limits struct {
	Archive  int64 // bytes of the .crate file
	Unpacked int64 // bytes of the tar stream inside; cargo itself unpacks no more than 512 MiB
	Entries  int   // files and folders
}

// DefaultLimits are crates.io's, with room for 20,000 files: the largest crate there has about half of that.
var DefaultLimits = Limits{Archive: 10 << 20, Unpacked: 512 << 20, Entries: 20_000}

// What is held in memory while an archive is read: its manifest, and every path (20,000 of them at most by default).
const (
	maxManifest = 1 << 20
	maxPath     = 1 << 10 // bytes; four times what Windows can unpack
)

// errUnpacked ends the reading of an archive that unpacks to more than the limit.
var errUnpacked = errors.New("unpacked size")

// CheckArchive reads a .crate file to its end and reports the first rule that it breaks. It holds at most the manifest in
// memory, and stops at the limits while it decompresses. The rules:
//
//   - one gzip member and nothing behind it: cargo reads the first member only, other tools read them all;
//   - every path is UTF-8, relative, clean, and under {name}-{version}/;
//   - only regular files and folders: cargo before 1.96 follows links out of its cache (CVE-2026-5223);
//   - no size in a pax record, on which tar readers disagree;
//   - no path twice; exactly one manifest at {name}-{version}/Cargo.toml, in that spelling;
//   - the manifest's name and version are the metadata's.
func CheckArchive(r io.Reader, name, version string, limits Limits) error {
	b := buffers.Get().(*buffer)
	defer buffers.Put(b)
	b.compressed.Reset(r)
	defer b.compressed.Reset(nil)
	compressed, zr := b.compressed, b.zr
	if err := zr.Reset(compressed); err != nil {
		return archiveError(err, "the archive is no gzip file")
	}
	zr.Multistream(false)
	c := checker{prefix: name + "-" + version, limits: limits, seen: map[string]bool{}}
	stream := &cappedReader{r: zr, left: limits.Unpacked}
	if err := c.entries(tar.NewReader(stream)); err != nil {
		return c.explain(err)
	}
	if err := onlyZeros(stream); err != nil {
		return c.explain(err)
	}
	if _, err := compressed.ReadByte(); err != io.EOF {
		if err != nil {
			return archiveError(err, "the archive cannot be read")
		}
		return fmt.Errorf("the archive has data behind its gzip stream")
	}
	if c.manifest == nil {
		return fmt.Errorf("the archive has no %s/Cargo.toml", c.prefix)
	}
	m, err := ParseManifest(c.manifest)
	if err != nil {
		return err
	}
	if m.Name != name {
		return fmt.Errorf("the metadata names the crate %q, the Cargo.toml in the archive %q", name, clip(m.Name))
	}
	if m.Version != version {
		return fmt.Errorf("the metadata names version %q, the Cargo.toml in the archive %q", version, clip(m.Version))
	}
	return nil
}

// buffer is what reading an archive needs and what is worth keeping for the next one: some 110 KiB.
type buffer struct {
	compressed *bufio.Reader
	zr         *gzip.Reader
}

var buffers = sync.Pool{New: func() any { return &buffer{bufio.NewReaderSize(nil, 64<<10), new(gzip.Reader)} }}

type checker struct {
	prefix   string
	limits   Limits
	seen     map[string]bool
	manifest []byte
}

func (c *checker) entries(tr *tar.Reader) error {
	for {
		h, err := tr.Next()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		if err := c.entry(h, tr); err != nil {
			return err
		}
	}
}

func (c *checker) entry(h *tar.Header, body io.Reader) error {
	name := strings.TrimSuffix(h.Name, "/")
	switch {
	case !utf8.ValidString(name) || strings.ContainsAny(name, "\\\x00"):
		return fmt.Errorf("the archive has a path that is not plain UTF-8: %q", clip(name))
	case h.Typeflag != tar.TypeReg && h.Typeflag != tar.TypeDir:
		return fmt.Errorf("the archive has an entry that is neither file nor folder: %q; links and devices are refused", clip(name))
	case h.PAXRecords["size"] != "" || h.PAXRecords["GNU.sparse.realsize"] != "" || h.PAXRecords["GNU.sparse.size"] != "":
		return fmt.Errorf("the archive has an entry with a size in a pax record, on which readers disagree: %q", clip(name))
	case name != path.Clean(name) || (name != c.prefix && !strings.HasPrefix(name, c.prefix+"/")):
		return fmt.Errorf("the archive has a path outside %s/: %q", c.prefix, clip(name))
	case len(name) > maxPath:
		return fmt.Errorf("the archive has a path of %d bytes, the limit is %d: %q", len(name), maxPath, clip(name))
	case c.seen[name]:
		return fmt.Errorf("the archive has a path twice: %q", clip(name))
	case len(c.seen) >= c.limits.Entries:
		return fmt.Errorf("the archive has more than %d entries", c.limits.Entries)
	}
	c.seen[name] = true
	if !strings.EqualFold(name, c.prefix+"/Cargo.toml") {
		return nil
	}
	if name != c.prefix+"/Cargo.toml" {
		return fmt.Errorf("the archive spells its manifest %q; it must be Cargo.toml", clip(path.Base(name)))
	}
	if h.Typeflag != tar.TypeReg || h.Size > maxManifest {
		return fmt.Errorf("the Cargo.toml in the archive must be a file of at most %d bytes", maxManifest)
	}
	var err error
	c.manifest, err = io.ReadAll(body)
	return err
}

// explain turns the errors of the readers into texts for people, and lets the checker's own and a client's read error pass.
func (c *checker) explain(err error) error {
	switch {
	case errors.Is(err, errUnpacked):
		return fmt.Errorf("the archive unpacks to more than %d bytes", c.limits.Unpacked)
	case errors.Is(err, tar.ErrHeader), errors.Is(err, gzip.ErrHeader), errors.Is(err, gzip.ErrChecksum), errors.Is(err, io.ErrUnexpectedEOF):
		return fmt.Errorf("the archive is damaged: %w", err)
	}
	return err
}

func archiveError(err error, text string) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, gzip.ErrHeader) {
		return errors.New(text)
	}
	return fmt.Errorf("%s: %w", text, err)
}

// onlyZeros reads the padding behind the end of a tar stream, where nothing may hide.
func onlyZeros(r io.Reader) error {
	buf := make([]byte, 4<<10)
	for {
		n, err := r.Read(buf)
		for _, b := range buf[:n] {
			if b != 0 {
				return fmt.Errorf("the archive has data behind its last entry")
			}
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// cappedReader fails when more than left bytes come out of it: a bomb ends at the limit, not at the end of memory.
type cappedReader struct {
	r    io.Reader
	left int64
}

func (c *cappedReader) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	if c.left -= int64(n); c.left < 0 {
		return 0, errUnpacked
	}
	return n, err
}
