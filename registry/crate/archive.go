package crate

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"
	"sync"
	"unicode/utf8"

	"github.com/klauspost/compress/flate"
	"github.com/klauspost/compress/gzip"
)

// Limits bound what an archive may make the server and its users do.
type Limits struct {
	Archive  int64 // bytes of the .crate file
	Unpacked int64 // bytes of the tar stream inside; cargo itself unpacks no more than 512 MiB
	Entries  int   // files and folders

	// Hold is asked at most once, before an archive takes more memory than every one may: for a manifest of so many bytes, which is held and
	// then read, and for so many bytes of paths. An error ends the reading. Nil: always.
	Hold func(manifest, paths int64) error
}

// DefaultLimits are crates.io's, with room for 20,000 files: the largest crate there has about half of that.
var DefaultLimits = Limits{Archive: 10 << 20, Unpacked: 512 << 20, Entries: 20_000}

// What is held in memory while an archive is read: its manifest, and a hash of every path, of which there are at most twice as many as entries,
// with the folders that have none.
const (
	maxManifest    = 1 << 20
	littleManifest = 40 << 10 // that every archive may have, as it may have a pathSet of fewSlots
	maxPath        = 1 << 10  // bytes; four times what Windows can unpack
)

// errUnpacked ends the reading of an archive that unpacks to more than the limit.
var errUnpacked = errors.New("unpacked size")

// Archive is what was learnt of a .crate file.
type Archive struct {
	Manifest *Manifest
	Lib      bool     // it has a library
	Bins     []string // names of its programs, sorted
	Odd      []string // what looks wrong and breaks no rule, a line each: cargo lets none of it pass, other tools do
}

// CheckArchive reads a .crate file to its end and reports the rules that it breaks, one a line, up to a limit. It holds at most the
// manifest in memory, and stops at the limits while it decompresses, and where a damaged or doubtful stream cannot be read on. Where
// its manifest could be read, there is an Archive beside the error, for whoever looks for more that is broken. The rules:
//
//   - one gzip member and nothing behind it: cargo reads the first member only, other tools read them all;
//   - only regular files and folders, in headers on which all readers agree (see tarReader): cargo before 1.96 follows links
//     out of its cache (CVE-2026-5223);
//   - every path is UTF-8, relative, clean, under {name}-{version}/, and there once;
//   - no .cargo-ok, by which cargo knows that a crate is unpacked;
//   - exactly one manifest at {name}-{version}/Cargo.toml, in that spelling, which ParseManifest can read;
//   - the manifest's name and version are the metadata's;
//   - a [lib] that names no other path has its src/lib.rs.
//
// Where the name or the version is none, the folder may be any: what else is broken can be found all the same.
func CheckArchive(r io.Reader, name, version string, limits Limits) (*Archive, error) {
	b := buffers.Get().(*buffer)
	defer buffers.Put(b)
	b.compressed.Reset(r)
	defer b.compressed.Reset(nil)
	compressed, zr := b.compressed, b.zr
	if err := zr.Reset(compressed); err != nil {
		return nil, archiveError(err, "the archive is no gzip file")
	}
	zr.Multistream(false)
	_, badVersion := ParseVersion(version)
	c := checker{prefix: name + "-" + version, anyFolder: badVersion != nil || CheckName(name) != nil, limits: limits}
	c.seen = newPathSet(c.growPaths)
	b.unpacked.Reset(&cappedReader{r: zr, left: limits.Unpacked})
	defer b.unpacked.Reset(nil)
	if err := c.entries(&tarReader{r: b.unpacked}); err != nil {
		return nil, c.broken.before(c.explain(err))
	}
	if err := onlyZeros(b.unpacked); err != nil {
		return nil, c.broken.before(c.explain(err))
	}
	if _, err := compressed.ReadByte(); err != io.EOF {
		if err != nil {
			return nil, archiveError(err, "the archive cannot be read")
		}
		c.broken.line("the archive has data behind its gzip stream")
	}
	a := c.archive(name, version)
	return a, c.broken.err()
}

// archive looks at the manifest, and finds what cargo can build of the files. It is nil when the manifest cannot be read.
func (c *checker) archive(name, version string) *Archive {
	if c.moreBad > 0 {
		c.broken.line(fmt.Sprintf("the archive has %d more entries that break such rules", c.moreBad))
	}
	if !c.hasManifest {
		c.broken.line(fmt.Sprintf("the archive has no %s/Cargo.toml", c.prefix))
	}
	if c.manifest == nil {
		return nil
	}
	m, err := ParseManifest(c.manifest)
	if err != nil {
		c.broken.lines(err)
	}
	if m == nil {
		return nil
	}
	if m.Name != name && name != "" && !m.unread["name"] {
		c.broken.line(fmt.Sprintf("the metadata names the crate %q, the Cargo.toml in the archive %q", name, clip(m.Name)))
	}
	if m.Version != version && version != "" && !m.unread["version"] {
		c.broken.line(fmt.Sprintf("the metadata names version %q, the Cargo.toml in the archive %q", version, clip(m.Version)))
	}
	if m.Lib != nil && !m.unread["lib"] && m.Lib.Path == "" && !c.lib {
		c.broken.line("the Cargo.toml in the archive has a [lib] without path, and the archive has no src/lib.rs")
	}
	a := &Archive{Manifest: m, Lib: m.Lib != nil || c.lib, Bins: m.Bins}
	if len(a.Bins) == 0 { // old cargos leave them to be found
		a.Bins = c.bins
		if c.main {
			a.Bins = append(a.Bins, m.Name)
		}
	}
	slices.Sort(a.Bins)
	a.Odd = c.odd(a)
	return a
}

// odd tells what a publisher may want to know of an archive that is taken as it is.
func (c *checker) odd(a *Archive) (lines []string) {
	m := a.Manifest
	for _, f := range []struct{ key, path string }{{"readme", m.Readme}, {"license-file", m.LicenseFile}} {
		if was, _ := c.seen.at(c.prefix + "/" + path.Clean(f.path)); f.path != "" && was != isFile {
			lines = append(lines, fmt.Sprintf("%s: the Cargo.toml in the archive names %q, which is no file of the archive", f.key, clip(f.path)))
		}
	}
	if m.Unpublished {
		lines = append(lines, "publish: the Cargo.toml in the archive says that the crate is to be published nowhere")
	}
	if !a.Lib && len(a.Bins) == 0 {
		lines = append(lines, "the archive has neither a library nor a program, so that cargo cannot use it")
	}
	return lines
}

// buffer is what reading an archive needs and what is worth keeping for the next one: some 140 KiB.
type buffer struct {
	compressed, unpacked *bufio.Reader
	zr                   *gzip.Reader
}

var buffers = sync.Pool{New: func() any {
	return &buffer{bufio.NewReaderSize(nil, 64<<10), bufio.NewReaderSize(nil, 32<<10), new(gzip.Reader)}
}}

type checker struct {
	prefix     string
	anyFolder  bool // prefix is that of the first entry
	limits     Limits
	held       bool // Hold was asked
	entryCount int
	seen       *pathSet
	manifest   []byte   // nil: not there, or not fit to be read
	lib, main  bool     // src/lib.rs and src/main.rs are there
	bins       []string // of src/bin
	binBytes   int      // of bins

	hasManifest bool
	broken      problems
	bad         int // entries that broke a rule
	moreBad     int // beyond maxBad
}

// maxBad bounds the entries that are named: an archive under a wrong folder has no good one.
const maxBad = 10

// entryError is about an entry that breaks a rule; those behind it can be read all the same.
type entryError string

func (e entryError) Error() string { return string(e) }

func entryErrorf(format string, args ...any) error { return entryError(fmt.Sprintf(format, args...)) }

func (c *checker) entries(tr *tarReader) error {
	for {
		e, err := tr.next()
		if err == io.EOF {
			return nil
		}
		if err == nil || errors.As(err, new(entryError)) {
			if c.entryCount++; c.entryCount > c.limits.Entries {
				return fmt.Errorf("the archive has more than %d entries", c.limits.Entries)
			}
		}
		if err == nil {
			err = c.entry(e, tr)
		}
		switch bad, ok := errors.AsType[entryError](err); {
		case ok && c.bad >= maxBad:
			c.moreBad++
		case ok:
			c.bad++
			c.broken.line(bad.Error())
		case err != nil:
			return err
		}
	}
}

func (c *checker) entry(e tarEntry, body io.Reader) error {
	if folder := top(e.path); c.anyFolder && folder != "" && folder != "." && folder != ".." {
		c.prefix, c.anyFolder = folder, false
	}
	switch {
	case !utf8.ValidString(e.path) || strings.ContainsAny(e.path, "\\\x00"):
		return entryErrorf("the archive has a path that is not plain UTF-8: %q", clip(e.path))
	case strings.HasSuffix(e.path, "/"):
		return entryErrorf("the archive has a file whose path ends with a slash: %q", clip(e.path))
	case e.path != path.Clean(e.path) || (e.path != c.prefix && !strings.HasPrefix(e.path, c.prefix+"/")):
		return entryErrorf("the archive has a path outside %s/: %q", c.prefix, clip(e.path))
	case e.path == c.prefix && !e.folder:
		return entryErrorf("the archive has a file in place of its folder %s/", c.prefix)
	case len(e.path) > maxPath:
		return entryErrorf("the archive has a path of %d bytes, the limit is %d: %q", len(e.path), maxPath, clip(e.path))
	}
	if err := c.place(e); err != nil {
		return err
	}
	return c.file(strings.TrimPrefix(e.path, c.prefix+"/"), e, body)
}

// place notes the path of an entry and the folders above it: a path may be there once, and not as a file in one place and as a folder
// in another, which nobody could unpack.
func (c *checker) place(e tarEntry) error {
	for dir := path.Dir(e.path); len(dir) > len(c.prefix); dir = path.Dir(dir) {
		was, hash := c.seen.at(dir)
		switch was {
		case isFile:
			return entryErrorf("the archive has %q both as a file and as a folder", clip(dir))
		case isFolder, isImplied:
			continue
		}
		if err := c.see(hash, isImplied); err != nil {
			return err
		}
	}
	now := isFile
	if e.folder {
		now = isFolder
	}
	was, hash := c.seen.at(e.path)
	switch {
	case was == now:
		return entryErrorf("the archive has a path twice: %q", clip(e.path))
	case was == isFile || was != 0 && now == isFile:
		return entryErrorf("the archive has %q both as a file and as a folder", clip(e.path))
	}
	return c.see(hash, now)
}

func (c *checker) see(hash uint64, k kind) error {
	if c.seen.used >= 2*c.limits.Entries {
		return fmt.Errorf("the archive has more than %d files and folders", 2*c.limits.Entries)
	}
	return c.seen.set(hash, k)
}

// growPaths asks for all that the paths of an archive may take as soon as there are many: in steps, two uploads could wait for each other.
func (c *checker) growPaths(slots int) error {
	if slots <= fewSlots {
		return nil
	}
	if c.hasManifest {
		return c.hold(0) // or it were held already
	}
	return c.hold(maxManifest)
}

func (c *checker) hold(manifest int64) error {
	if c.held || c.limits.Hold == nil {
		return nil
	}
	c.held = true
	most := slotsFor(2 * c.limits.Entries)
	return c.limits.Hold(manifest, slotBytes*int64(most+most/2)) // half of it is the last one, while it is made
}

// file looks at the files that mean something to cargo.
func (c *checker) file(name string, e tarEntry, body io.Reader) (err error) {
	switch {
	case strings.EqualFold(top(name), ".cargo-ok"):
		return entryErrorf("the archive has a file %s, by which cargo marks that it has unpacked a crate", name)
	case name == "Cargo.toml":
		c.hasManifest = true
		if e.folder || e.size > maxManifest {
			return entryErrorf("the Cargo.toml in the archive must be a file of at most %d bytes", maxManifest)
		}
		if e.size > littleManifest {
			if err := c.hold(e.size); err != nil {
				return err
			}
		}
		c.manifest = make([]byte, e.size)
		_, err = io.ReadFull(body, c.manifest)
	case strings.EqualFold(name, "Cargo.toml"):
		return entryErrorf("the archive spells its manifest %q; it must be Cargo.toml", clip(name))
	case e.folder:
	case name == "src/lib.rs":
		c.lib = true
	case name == "src/main.rs":
		c.main = true
	case strings.HasPrefix(name, "src/bin/"):
		bin := strings.TrimPrefix(name, "src/bin/")
		bin, isRust := strings.CutSuffix(bin, ".rs")
		bin, isMain := strings.CutSuffix(bin, "/main")
		if isRust && !strings.Contains(bin, "/") && (isMain || bin != "") && len(c.bins) < maxBins && c.binBytes+len(bin) <= maxBinBytes {
			c.bins = append(c.bins, strings.Clone(bin)) // or all of its path would be held
			c.binBytes += len(bin)
		}
	}
	return err
}

// top is the first part of a path.
func top(name string) string {
	first, _, _ := strings.Cut(name, "/")
	return first
}

// maxBins and maxBinBytes bound what is kept of programs that only the files tell of.
const (
	maxBins     = 1000
	maxBinBytes = 32 << 10 // of their names
)

// explain turns the errors of the readers into texts for people, and lets the checker's own and a client's read error pass.
func (c *checker) explain(err error) error {
	var damaged flate.CorruptInputError
	switch {
	case errors.Is(err, errUnpacked):
		return fmt.Errorf("the archive unpacks to more than %d bytes", c.limits.Unpacked)
	case errors.Is(err, gzip.ErrHeader), errors.Is(err, gzip.ErrChecksum), errors.Is(err, io.ErrUnexpectedEOF), errors.As(err, &damaged):
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

// onlyZeros reads the padding behind the end of a tar stream: whole blocks, where nothing may hide.
func onlyZeros(r io.Reader) error {
	buf := make([]byte, 4<<10)
	for all := 0; ; {
		n, err := r.Read(buf)
		all += n
		for _, b := range buf[:n] {
			if b != 0 {
				return fmt.Errorf("the archive has data behind its last entry")
			}
		}
		switch {
		case err == io.EOF && all%tarBlock != 0:
			return io.ErrUnexpectedEOF
		case err == io.EOF:
			return nil
		case err != nil:
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
