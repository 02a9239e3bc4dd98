package mirror

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"strings"
	"time"

	"github.com/crateyard/crateyard/registry/catalog"
	"github.com/crateyard/crateyard/registry/fault"
	"github.com/crateyard/crateyard/registry/index"
	"github.com/crateyard/crateyard/registry/storage"
	"github.com/crateyard/crateyard/registry/wire"
)

// A bundle is a tar file, for a place that no network leads to. It begins with manifest.json, which says what it is; then follow the index files, as
// index/se/rd/serde, and the archives, as crates/serde/1.0.0-SHA256.crate; and last SHA256SUMS, a line for each file before it, as sha256sum
// writes and checks them. An archive's digest stands in its name, and in the index file of its crate, which comes before all archives.

const (
	bundleFormat   = 1
	bundleManifest = "manifest.json"
	bundleSums     = "SHA256SUMS"
	maxBundleText  = 256 << 20 // bytes of manifest.json or SHA256SUMS
)

// manifest is the first file of a bundle.
type manifest struct {
	Crateyard string    `json:"crateyard"` // "mirror"
	Format    int       `json:"format"`
	Mirror    string    `json:"mirror"`
	Upstream  string    `json:"upstream"`
	At        time.Time `json:"at"`
}

// Export writes a bundle of all that a mirror has cached. What comes into the cache meanwhile, or leaves it, may be in it or not.
func (m *Manager) Export(ctx context.Context, mirror string, w io.Writer) error {
	found, err := m.find(ctx, mirror)
	if err != nil {
		return err
	}
	m.writer.settled(ctx)
	b := &bundle{tar: tar.NewWriter(w), at: time.Now().UTC().Truncate(time.Millisecond)}
	head, err := json.MarshalIndent(manifest{"mirror", bundleFormat, mirror, found.Spec.Upstream.Index, b.at}, "", "  ")
	if err != nil {
		return err
	}
	if err := b.add(bundleManifest, append(head, '\n')); err != nil {
		return err
	}
	listed, err := m.Catalog.MirrorCrateNames(ctx, found.Row.ID)
	if err != nil {
		return err
	}
	if err := found.exportIndex(ctx, b, listed); err != nil {
		return err
	}
	for row, err := range m.Catalog.MirrorCrates(ctx, found.Row.ID) {
		if err != nil {
			return err
		}
		if _, ok := listed[row.Name+"@"+row.Num]; !ok || !found.ours(&row) { // no index file in the bundle names it
			continue
		}
		if err := found.exportCrate(ctx, b, row); err != nil {
			return err
		}
	}
	if err := b.write(bundleSums, int64(b.sums.Len()), bytes.NewReader(b.sums.Bytes())); err != nil {
		return err
	}
	return b.tar.Close()
}

type bundle struct {
	tar  *tar.Writer
	at   time.Time
	sums bytes.Buffer
}

func (b *bundle) write(name string, size int64, r io.Reader) error {
	if err := b.tar.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name, Size: size, Mode: 0o644, ModTime: b.at.Truncate(time.Second)}); err != nil {
		return err
	}
	_, err := io.CopyN(b.tar, r, size)
	return err
}

func (b *bundle) add(name string, data []byte) error {
	sum := sha256.Sum256(data)
	fmt.Fprintf(&b.sums, "%x  %s\n", sum, name)
	return b.write(name, int64(len(data)), bytes.NewReader(data))
}

// exportIndex adds the index files, and takes from crates, NAME@VERSION of what was stored before, what none of them lists.
func (m *Mirror) exportIndex(ctx context.Context, b *bundle, crates map[string]struct{}) error {
	listed := map[string]struct{}{}
	defer func() {
		for c := range crates {
			if _, ok := listed[c]; !ok {
				delete(crates, c)
			}
		}
	}()
	for after := ""; ; {
		names, err := m.Catalog.MirrorIndexNames(ctx, m.Row.ID, after, dryRunPage)
		if err != nil || len(names) == 0 {
			return err
		}
		for _, name := range names {
			row, err := m.Catalog.MirrorIndexFile(ctx, m.Row.ID, name)
			if err != nil {
				return err
			}
			if row == nil || row.File == nil {
				continue
			}
			file, err := decompress(row.File)
			if err != nil {
				return fmt.Errorf("index file of %s: %w", name, err)
			}
			if err := b.add("index/"+index.Path(name), file); err != nil {
				return err
			}
			ls, err := readLines(name, file)
			if err != nil {
				return err
			}
			for _, l := range ls {
				if c := l.Name + "@" + l.Vers; contains(crates, c) {
					listed[c] = struct{}{}
				}
			}
		}
		after = names[len(names)-1]
	}
}

func contains(set map[string]struct{}, name string) bool { _, ok := set[name]; return ok }

func (m *Mirror) exportCrate(ctx context.Context, b *bundle, row catalog.MirrorCrate) error {
	blob, err := m.Store.Open(ctx, storage.MirrorKey(m.Name(), row.Name, row.Num, row.SHA256))
	if errors.Is(err, fs.ErrNotExist) {
		if now, err := m.Catalog.MirrorCrate(ctx, m.Row.ID, row.Name, row.Num); err != nil || now == nil || now.SHA256 != row.SHA256 {
			return err // it was removed since it was listed
		}
	}
	if err != nil {
		return fmt.Errorf("%s %s: %w", row.Name, row.Num, err)
	}
	defer func() { _ = blob.Close() }() // it was read only
	name := "crates/" + row.Name + "/" + row.Num + "-" + row.SHA256 + ".crate"
	fmt.Fprintf(&b.sums, "%s  %s\n", row.SHA256, name)
	hash := sha256.New()
	if err := b.write(name, row.Size, io.TeeReader(blob, hash)); err != nil {
		return fmt.Errorf("%s %s: %w", row.Name, row.Num, err)
	}
	if sum := hex.EncodeToString(hash.Sum(nil)); sum != row.SHA256 {
		return fmt.Errorf("%s %s is damaged in the storage: `crateyard mirror forget %s %s` has it fetched again", row.Name, row.Num, m.Name(), row.Name)
	}
	return nil
}

// importing is a bundle that is being loaded.
type importing struct {
	m     *Mirror
	at    time.Time        // when the bundle was written
	known map[string]lines // by the name of the index file
	sums  map[string]string
	new   waiting
	keeps bool // it was checked
	out   wire.MirrorImport
}

// Import loads a bundle into a mirror, of which the audit says what it brought. Nothing of it is kept before all of it was checked, so one that is refused
// leaves nothing.
func (m *Manager) Import(ctx context.Context, by catalog.Actor, mirror string, r io.Reader) (wire.MirrorImport, error) {
	found, err := m.find(ctx, mirror)
	if err != nil {
		return wire.MirrorImport{}, err
	}
	i := &importing{m: found, known: map[string]lines{}, sums: map[string]string{}, new: waiting{m: found, files: m.spools.open()}}
	defer func() { _ = i.new.files.close() }() // it was read, or is of no use
	err = i.load(ctx, tar.NewReader(r))
	clean, cancel := found.detached(refreshTime) // the client may have gone away
	defer cancel()
	if i.keeps {
		err = errors.Join(err, m.Catalog.NoteMirrorImport(clean, by, mirror, i.brought(err)))
	}
	if err != nil {
		if derr := i.new.drop(clean); derr != nil {
			m.Log.Warn("Archives of a bundle that was refused cannot be removed now; they are later", "mirror", mirror, "error", derr)
		}
		return wire.MirrorImport{}, err
	}
	return i.out, nil
}

// brought is what the audit says of a bundle that was checked, and is kept unless an error says that not all of it could be; nil: all was there already.
func (i *importing) brought(err error) any {
	if i.out.IndexFiles+i.out.Crates == 0 {
		return nil
	}
	return struct {
		IndexFiles int64 `json:"index_files"`
		Crates     int64 `json:"crates"`
		InPart     bool  `json:"in_part,omitempty"`
	}{i.out.IndexFiles, i.out.Crates, err != nil}
}

// load checks a bundle, and keeps it. An error means that not all of it is kept: nothing, where the bundle is wrong; where storage or catalog take no more,
// what the catalog has taken, of which the next import finds that it is there.
func (i *importing) load(ctx context.Context, tr *tar.Reader) error {
	if err := i.run(ctx, tr); err != nil {
		return err
	}
	i.keeps = true
	return i.new.keep(ctx)
}

func broken(format string, args ...any) error {
	return fault.New(fault.Invalid, "the bundle is refused: "+format, args...)
}

func (i *importing) run(ctx context.Context, tr *tar.Reader) error {
	for first := true; ; first = false {
		h, err := tr.Next()
		switch {
		case errors.Is(err, io.EOF):
			return broken("it is not whole, it has no %s at its end", bundleSums)
		case err != nil:
			return broken("it is no tar file, or is cut off: %v", err)
		case h.Typeflag != tar.TypeReg:
			return broken("%q is no file", h.Name)
		case first != (h.Name == bundleManifest):
			return broken("it does not begin with %s: was it written by `crateyard mirror export`?", bundleManifest)
		}
		if _, twice := i.sums[h.Name]; twice { // only one of them would be held against the list
			return broken("it has %q twice", h.Name)
		}
		hash := sha256.New()
		body := io.TeeReader(tr, hash)
		switch {
		case first:
			err = i.head(body)
		case h.Name == bundleSums:
			return i.end(tr)
		case strings.HasPrefix(h.Name, "index/"):
			err = i.index(strings.TrimPrefix(h.Name, "index/"), body)
		case strings.HasPrefix(h.Name, "crates/"):
			err = i.crate(ctx, h, body)
		default:
			err = broken("it has a file that belongs in no bundle: %q", h.Name)
		}
		if err != nil {
			return err
		}
		if _, err := io.Copy(io.Discard, body); err != nil {
			return broken("it is cut off in %q", h.Name)
		}
		i.sums[h.Name] = hex.EncodeToString(hash.Sum(nil))
	}
}

func (i *importing) head(r io.Reader) error {
	data, err := io.ReadAll(io.LimitReader(r, maxBundleText))
	if err != nil {
		return broken("it is cut off")
	}
	var head manifest
	defer func() { i.at = head.At }()
	switch err := json.Unmarshal(data, &head); {
	case err != nil || head.Crateyard != "mirror":
		return broken("its %s is not that of a mirror's", bundleManifest)
	case head.Format != bundleFormat:
		return broken("it is of format %d, and this crateyard knows format %d: use the version that wrote it", head.Format, bundleFormat)
	case head.Upstream != i.m.Spec.Upstream.Index:
		return broken("it is of the upstream %s, and mirror `%s` is of %s: load it into one that `crateyard mirror create NAME --mode %s --upstream %s` makes", head.Upstream, i.m.Name(), i.m.Spec.Upstream.Index, i.m.Spec.Mode, head.Upstream)
	}
	return nil
}

func (i *importing) index(path string, r io.Reader) error {
	name, ok := IndexName(path)
	if !ok {
		return broken("no index file lies at %q", path)
	}
	file, err := io.ReadAll(io.LimitReader(r, maxIndexFile+1))
	if err != nil || len(file) > maxIndexFile {
		return broken("its index file of %s is cut off, or longer than %d bytes", name, maxIndexFile)
	}
	ls, err := readLines(name, file)
	if err != nil {
		return broken("%v", err)
	}
	old, err := i.m.load(i.m.life, name)
	if err != nil {
		return err
	}
	i.known[name] = ls
	if old != nil && old.file != nil {
		if num := old.lines.changed(ls); num != "" {
			return broken("in it, %s %s has another checksum than here", name, num)
		}
		if i.older(old, ls) {
			i.out.Present++
			return nil
		}
	}
	packed, err := index.Compress(file)
	if err != nil {
		return err
	}
	i.out.IndexFiles++
	err = i.new.file(catalog.MirrorIndexFile{Crate: name, CheckedAt: i.checked(), File: packed, Generation: i.m.Row.Generation})
	if err != nil {
		return fault.Wrap(fault.Unavailable, err, "the server has no room for the bundle")
	}
	return nil
}

// checked is when upstream said what the bundle's index files say: no later than the bundle was written, whatever the clock that wrote it.
func (i *importing) checked() time.Time {
	if now := time.Now(); i.at.IsZero() || i.at.After(now) {
		return now
	}
	return i.at
}

// older reports whether what the bundle says of a crate is no news beside what is here. Where both have versions that the other lacks, or the same ones, the
// newer of them holds: what was yanked since is in no other way told.
func (i *importing) older(here *entry, ls lines) bool {
	lacks := func(a, b lines) bool {
		for num := range b {
			if _, ok := a[num]; !ok {
				return true
			}
		}
		return false
	}
	switch hereLacks, bundleLacks := lacks(here.lines, ls), lacks(ls, here.lines); {
	case hereLacks && !bundleLacks:
		return false
	case bundleLacks && !hereLacks:
		return true
	}
	return here.checked.Load() > i.checked().UnixNano() || maps.EqualFunc(here.lines, ls, func(a, b line) bool { return bytes.Equal(a.bytes, b.bytes) })
}

func (i *importing) crate(ctx context.Context, h *tar.Header, r io.Reader) error {
	_, name, num, sum := storage.ParseMirrorKey(storage.MirrorsPrefix + h.Name) // crates/ stands where the mirror's name does
	l, ok := i.known[indexKey(name)][num]
	switch {
	case !checkName(name) || !ok || l.Name != name:
		return broken("no index file in it lists %q", h.Name)
	case l.Cksum != sum:
		return broken("its index file of %s has another checksum for %s than the name of the archive", name, num)
	}
	if row, err := i.m.storedOfAny(ctx, name, num); err != nil || row != nil && i.m.ours(row) {
		i.out.Present++
		return err
	}
	if h.Size > i.m.MaxArchive {
		return fault.New(fault.TooLarge, "nothing of the bundle is kept: %s", people(tooLarge(name, num, i.m.MaxArchive)))
	}
	w, err := storage.CreateBatched(ctx, i.m.Store)
	if err != nil {
		return err
	}
	defer func() { _ = w.Cancel() }() // after a commit it does nothing
	hash := sha256.New()
	n, err := io.Copy(io.MultiWriter(w, hash), r)
	switch {
	case fault.KindOf(err) == fault.Unavailable: // the storage's
		return err
	case err != nil:
		return broken("it is cut off in %q, or cannot be stored: %v", h.Name, err)
	case hex.EncodeToString(hash.Sum(nil)) != sum:
		return broken("%q does not have the checksum of its name", h.Name)
	}
	durable, err := w.Commit(ctx, storage.MirrorKey(i.m.Name(), name, num, sum))
	if err != nil {
		return err
	}
	now := time.Now()
	row := catalog.MirrorCrate{Name: name, Num: num, SHA256: sum, Size: n, StoredAt: now, UsedAt: now, Generation: i.m.Row.Generation}
	i.new.crates = append(i.new.crates, storing{i.m.Row.ID, row, durable, nil})
	i.out.Crates++
	return nil
}

// end holds the digests of all files against the list of them.
func (i *importing) end(r io.Reader) error {
	list, err := io.ReadAll(io.LimitReader(r, maxBundleText))
	if err != nil {
		return broken("it is cut off in %s: %v", bundleSums, err)
	}
	n := 0
	for text := range strings.Lines(string(list)) {
		sum, name, ok := strings.Cut(strings.TrimSpace(text), "  ")
		if !ok || i.sums[name] != sum {
			return broken("%q does not have the digest that %s names", name, bundleSums)
		}
		n++
	}
	if n != len(i.sums) {
		return broken("%s names %d files, and it has %d", bundleSums, n, len(i.sums))
	}
	return nil
}
