package backup

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/crateyard/crateyard/registry/catalog"
	"github.com/crateyard/crateyard/registry/crate"
	"github.com/crateyard/crateyard/registry/fault"
	"github.com/crateyard/crateyard/registry/publish"
	"github.com/crateyard/crateyard/registry/storage"
)

// Importer is the catalog that a rebuild fills.
type Importer interface {
	Counts(ctx context.Context) (catalog.Counts, error)
	CrateBlobs(ctx context.Context, name string) ([]catalog.BlobRef, error)
	Import(ctx context.Context, versions []catalog.Import) (added int, err error)
	Notes(ctx context.Context) (map[string]string, error)
	SetNote(ctx context.Context, name, text string) error
}

// Rebuilder makes a catalog anew from crate files alone. What is in no crate file is lost: users, owners, groups, tokens, yanks, downloads,
// access lists, deletions and the audit. What a catalog that has crates knows as deleted stays deleted.
type Rebuilder struct {
	From       storage.Store // where the crate files are
	FromPrefix string        // before their keys: empty, or SourcePrefix in a target of backups
	Catalog    Importer
	Store      storage.Store      // the registry's; may be From itself
	Publisher  *publish.Publisher // its Limits, URL and Aliases
	Owner      catalog.Actor      // of all crates; without a user they have none
	Continue   bool               // the catalog may have crates: a rebuild was cut off
	Workers    int                // 0: 4
	Progress   func(Progress)
	Refused    func(Refused)
	Deleted    func(Refused) // called for each blob that stays deleted
}

// Refused is a blob that could not be brought back, or was not to be.
type Refused struct {
	Key    string `json:"key"`
	Reason string `json:"reason"`
}

// Rebuilt is what came of it.
type Rebuilt struct {
	Crates   int64 `json:"crates"`
	Versions int64 `json:"versions"` // added
	Kept     int64 `json:"kept"`     // were there
	Deleted  int64 `json:"deleted"`  // stay as they are: the catalog knows that they were deleted
	Refused  int64 `json:"refused"`
}

// importBatch is how many versions of a crate are added in one transaction: an archive's metadata has up to 1 MiB.
const importBatch = 50

// Rebuild reads all crate files and adds their versions, crate by crate, in the order in which the files were stored and, where that is the
// same second, of their versions.
func (r *Rebuilder) Rebuild(ctx context.Context) (done Rebuilt, err error) {
	counts, err := r.Catalog.Counts(ctx)
	if err != nil {
		return done, err
	}
	if counts.Crates > 0 && !r.Continue {
		return done, fmt.Errorf("%w: the catalog has crates; say --continue to go on with a rebuild that was cut off", ErrNotEmpty)
	}
	if err := EndRestore(ctx, r.Catalog); err != nil { // from here on the catalog is no backup's
		return done, err
	}
	p := Progress{Stage: "crates"}
	var files []file
	name := ""
	end := func() error {
		if len(files) == 0 {
			return nil
		}
		if err := r.crate(ctx, files, &done); err != nil {
			return err
		}
		for _, f := range files {
			p.Blobs, p.Bytes = p.Blobs+1, p.Bytes+f.Size
		}
		if r.Progress != nil {
			r.Progress(p)
		}
		files = files[:0]
		return nil
	}
	for info, err := range r.From.List(ctx, r.FromPrefix+crates, "") {
		if err != nil {
			return done, err
		}
		f := file{Info: info, key: strings.TrimPrefix(info.Key, r.FromPrefix)}
		var ok bool
		if f.name, f.num, f.sum, ok = storage.ParseCrateKey(f.key); ok {
			f.version, err = crate.ParseVersion(f.num)
			ok = err == nil
		}
		if !ok {
			r.refuse(&done, f.key, errors.New("this is no key of a crate file"))
			continue
		}
		if f.name != name {
			if err := end(); err != nil {
				return done, err
			}
			name = f.name
		}
		files = append(files, f)
	}
	return done, end()
}

// file is a crate file that was found.
type file struct {
	storage.Info
	key, name, num, sum string
	version             crate.Version
}

// crate adds the versions of one crate.
func (r *Rebuilder) crate(ctx context.Context, files []file, done *Rebuilt) error {
	files, err := r.undeleted(ctx, slices.Clone(files), done)
	if err != nil || len(files) == 0 {
		return err
	}
	done.Crates++
	// The newest of two that cannot stand side by side comes first and wins: the other was deleted before it, or is an upload that failed.
	slices.SortStableFunc(files, func(a, b file) int { return b.Modified.Compare(a.Modified) })
	taken := map[string]bool{}
	files = slices.DeleteFunc(files, func(f file) bool {
		release := f.version.Release()
		if taken[release] {
			r.refuse(done, f.key, fmt.Errorf("there is a newer file for version %s", release))
			return true
		}
		taken[release] = true
		return false
	})
	slices.SortStableFunc(files, func(a, b file) int {
		return cmp.Or(cmp.Compare(a.Modified.Unix(), b.Modified.Unix()), a.version.Compare(b.version))
	})
	for part := range slices.Chunk(files, importBatch) {
		if err := r.batch(ctx, part, done); err != nil {
			return err
		}
	}
	return nil
}

// undeleted gives the files of a crate without those of which the catalog says that they were deleted, and names these. They lie there until a sweep.
func (r *Rebuilder) undeleted(ctx context.Context, files []file, done *Rebuilt) ([]file, error) {
	refs, err := r.Catalog.CrateBlobs(ctx, files[0].name)
	if err != nil {
		return nil, err
	}
	deleted := map[catalog.CrateBlob]*time.Time{} // nil: one of the versions that name it is not
	for _, ref := range refs {
		if at, twice := deleted[ref.CrateBlob]; !twice || at != nil {
			deleted[ref.CrateBlob] = ref.DeletedAt
		}
	}
	return slices.DeleteFunc(files, func(f file) bool {
		at := deleted[catalog.CrateBlob{Crate: f.name, Num: f.num, SHA256: f.sum}]
		if at == nil {
			return false
		}
		done.Deleted++
		if r.Deleted != nil {
			r.Deleted(Refused{f.key, fmt.Sprintf("it was deleted at %s, and stays so", at.UTC().Format(time.RFC3339))})
		}
		return true
	}), nil
}

func (r *Rebuilder) batch(ctx context.Context, files []file, done *Rebuilt) error {
	imports, reasons := make([]catalog.Import, len(files)), make([]error, len(files))
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(cmp.Or(r.Workers, copyWorkers))
	for i, f := range files {
		g.Go(func() (err error) {
			imports[i], reasons[i], err = r.read(gctx, f)
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	good := make([]catalog.Import, 0, len(files))
	keys := make([]string, 0, len(files))
	for i, f := range files {
		if reasons[i] != nil {
			r.refuse(done, f.key, reasons[i])
			continue
		}
		good, keys = append(good, imports[i]), append(keys, f.key)
	}
	return r.add(ctx, good, keys, done)
}

// add adds versions in one transaction or, when one of them cannot be added, each in its own.
func (r *Rebuilder) add(ctx context.Context, versions []catalog.Import, keys []string, done *Rebuilt) error {
	if len(versions) == 0 {
		return nil
	}
	added, err := r.Catalog.Import(ctx, versions)
	switch {
	case err == nil:
		done.Versions += int64(added)
		done.Kept += int64(len(versions) - added)
		return nil
	case fault.KindOf(err) != fault.Conflict:
		return fmt.Errorf("add %s: %w", versions[0].Name, err)
	case len(versions) == 1:
		r.refuse(done, keys[0], err)
		return nil
	}
	for i := range versions {
		if err := r.add(ctx, versions[i:i+1], keys[i:i+1], done); err != nil {
			return err
		}
	}
	return nil
}

// read makes of a crate file what its publish made, and brings it into the registry's storage. reason says why it cannot be brought back.
func (r *Rebuilder) read(ctx context.Context, f file) (v catalog.Import, reason, err error) {
	if err := crate.CheckName(f.name); err != nil {
		return v, err, nil
	}
	b, err := r.From.Open(ctx, f.Key)
	if err != nil {
		return v, nil, err
	}
	v.At = f.Modified.UTC().Truncate(time.Second)
	v.Publication, reason = r.Publisher.Rebuild(b, f.name, f.num, v.At)
	v.By = r.Owner
	if err := errors.Join(b.Close(), ctx.Err()); err != nil {
		return v, nil, err
	}
	if reason == nil && v.SHA256 != f.sum {
		reason = fmt.Errorf("%w: SHA-256 %s", storage.ErrDigest, v.SHA256)
	}
	if reason != nil || r.From == r.Store && r.FromPrefix == "" {
		return v, reason, nil
	}
	// What is there already stays, unless it was read and is wrong: then the copy takes its place. What cannot be read is no proof.
	info, err := r.Store.Stat(ctx, f.key)
	if err == nil && info.Size == f.Size {
		sum, _, derr := storage.Digest(ctx, r.Store, f.key, nil)
		if derr != nil || sum == f.sum {
			return v, nil, derr
		}
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return v, nil, err
	}
	if err == nil {
		if err := r.Store.Delete(ctx, f.key); err != nil {
			return v, nil, err
		}
	}
	_, _, err = storage.Copy(ctx, r.From, f.Key, r.Store, f.key, f.sum, f.Size)
	return v, nil, err
}

func (r *Rebuilder) refuse(done *Rebuilt, key string, reason error) {
	done.Refused++
	if r.Refused != nil {
		r.Refused(Refused{key, reason.Error()})
	}
}
