// Package importer brings the crates of other registries into this one, over HTTP as an administrator: from any sparse registry, a
// folder of .crate files, Meuse's store and index, or Kellnr's data folder. What Meuse had mirrored of crates.io goes into a mirror.
//
// An archive goes in byte for byte, so that each Cargo.lock that names it still holds. What the index says of it is made from the
// Cargo.toml inside it, as after a publish; whether it is yanked, and when it was published, comes from the source. What is there
// already with the same bytes is passed over, so an import that was cut off is simply run again.
package importer

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"iter"
	"maps"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/crateyard/crateyard/registry/client"
	"github.com/crateyard/crateyard/registry/wire"
)

// Source is where crates come from. An error for one crate does not end it; Crates gives it beside the crate's name. One without any crate, which
// is mistyped as a rule, is an error that says what was expected.
type Source interface {
	Crates(ctx context.Context) iter.Seq2[Crate, error]
}

// Crate is one crate of a source.
type Crate struct {
	Name     string
	Versions []Version // in the order in which they were published, as far as the source knows it
}

// Version is one version of a source.
type Version struct {
	Vers        string
	SHA256      string // lower-case hex; empty: the source does not know it
	Yanked      bool
	PublishedAt time.Time // zero: the source does not know it
	// Own names the dependencies, as the manifest calls them, that the source's index says are on crates of its own; nil: it does not say.
	Own  map[string]bool
	File string // that has it, where its name does not follow from the version's; for failures
	Open func(ctx context.Context) (io.ReadCloser, error)
}

// Target is the registry that the crates go to; client.Client is one.
type Target interface {
	IndexLines(ctx context.Context, crate string) ([]client.IndexLine, error)
	ImportVersion(ctx context.Context, v client.ImportedVersion) error
	Yank(ctx context.Context, crate, version, message string) (wire.Version, error)
}

// Importer imports.
type Importer struct {
	Target Target
	// Registries maps the addresses of registries in the crates' manifests to what they are now: "" is the registry that is imported to,
	// which is what the source's own address should be mapped to.
	Registries map[string]string
	MaxSize    int64        // bytes of an archive; 0: 1 GiB
	DryRun     bool         // say what would be done, and do nothing
	Progress   func(Report) // called after each version; may be nil
	tally      tally
	large      large
}

// tally counts what an import did.
type tally struct {
	mu     sync.Mutex
	report Report
}

// Report says what an import did.
type Report struct {
	Crates   int       `json:"crates"`   // that were looked at
	Imported int       `json:"imported"` // versions
	Present  int       `json:"present"`  // versions that were there already, with the same bytes
	Bytes    int64     `json:"bytes"`    // of the archives that were imported
	Failed   int       `json:"failed"`   // versions, and crates that could not be read at all
	Failures []Failure `json:"failures"` // the first of them
	// Unlisted are archives that the source has and its own index does not name, as of a publish that failed: they are not imported.
	Unlisted []Failure `json:"unlisted,omitempty"` // the first of them
	More     int       `json:"moreUnlisted,omitempty"`
	// Registries are those that dependencies of imported versions name, besides crates.io, and how many versions do.
	Registries map[string]int `json:"registries,omitempty"`
}

// Failure is something that could not be imported, and why.
type Failure struct {
	Crate   string `json:"crate"`
	Version string `json:"version,omitempty"`
	Reason  string `json:"reason"`
}

const (
	atOnce      = 4       // crates; the versions of one go one after the other, which is their order in the index
	maxFailures = 1000    // that are kept
	maxSize     = 1 << 30 // the largest archive that any server takes
)

// UnlistedError is the error of an archive that the source's own index does not name: it is reported, and nothing has failed.
type UnlistedError struct{ Version, Why string }

// Error says why it is not imported.
func (e *UnlistedError) Error() string { return e.Why }

// SourceError is the error of a source that cannot be read.
type SourceError struct{ err error }

// Error gives the source's words.
func (e *SourceError) Error() string { return e.err.Error() }

// Unwrap gives the source's error.
func (e *SourceError) Unwrap() error { return e.err }

// Run imports all that the source has. The error is of the import as a whole, such as a source that cannot be read; what failed alone is
// in the report.
func (i *Importer) Run(ctx context.Context, s Source) (Report, error) {
	group, working := errgroup.WithContext(ctx)
	group.SetLimit(atOnce)
	for c, err := range s.Crates(working) {
		if working.Err() != nil { // a source that is cut off by the end of the import is not why it ended
			break
		}
		if err != nil && c.Name == "" {
			return i.snapshot(), errorsFirst(&SourceError{err}, group.Wait())
		}
		group.Go(func() error {
			if err != nil {
				i.note(func(r *Report) { r.tell(c.Name, err) })
				return nil //nolint:nilerr // the others go on
			}
			return i.crate(working, c)
		})
	}
	err := group.Wait()
	if err == nil {
		err = ctx.Err()
	}
	return i.snapshot(), err
}

func errorsFirst(err, other error) error {
	if err != nil {
		return err
	}
	return other
}

// crate imports the versions of one crate. Its error ends the import: the target is away, or does not let us.
func (i *Importer) crate(ctx context.Context, c Crate) error {
	lines, err := i.Target.IndexLines(ctx, c.Name)
	if err != nil {
		return fmt.Errorf("ask the registry for crate %s: %w", c.Name, err)
	}
	have := map[string]client.IndexLine{} // and what this import adds: a folder may have one file twice
	for _, l := range lines {
		have[l.Vers] = l
	}
	i.note(func(r *Report) { r.Crates++ })
	for _, v := range c.Versions {
		old, there := have[v.Vers]
		size, err := i.version(ctx, c.Name, &v, old, there)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case err != nil && fatal(err):
			return fmt.Errorf("import %s %s: %w", c.Name, v.Vers, err)
		case err != nil:
			if v.File != "" { // a folder may have several of one version, and one of them is to be looked at
				err = fmt.Errorf("%s: %w", v.File, err)
			}
			i.note(func(r *Report) { r.fail(c.Name, v.Vers, err) })
		case size == 0:
			i.note(func(r *Report) { r.Present++ })
		default:
			i.note(func(r *Report) { r.Imported++; r.Bytes += size })
			have[v.Vers] = client.IndexLine{Vers: v.Vers, Cksum: v.SHA256, Yanked: v.Yanked}
		}
	}
	return nil
}

// fatal reports whether no other version would fare better.
func fatal(err error) bool {
	return client.IsUnauthorized(err) || client.IsForbidden(err) || client.IsUnreachable(err)
}

// version imports one, and gives the bytes of its archive; 0 when it was there already.
func (i *Importer) version(ctx context.Context, name string, v *Version, old client.IndexLine, there bool) (int64, error) {
	if there && v.SHA256 != "" {
		return 0, i.present(ctx, name, v, old, v.SHA256)
	}
	limit := i.MaxSize
	if limit == 0 {
		limit = maxSize
	}
	archive, done, err := v.read(ctx, limit, &i.large)
	if err != nil {
		return 0, err
	}
	defer done()
	sum := sha256.Sum256(archive)
	digest := hex.EncodeToString(sum[:])
	if v.SHA256 != "" && digest != v.SHA256 {
		return 0, fmt.Errorf("the source says SHA-256 %s, its archive has %s", v.SHA256, digest)
	}
	v.SHA256 = digest
	if there {
		return 0, i.present(ctx, name, v, old, digest)
	}
	meta, registries, err := metadata(archive, name, v, i.Registries)
	if err != nil {
		return 0, err
	}
	i.note(func(r *Report) {
		for _, address := range registries {
			if r.Registries == nil {
				r.Registries = map[string]int{}
			}
			r.Registries[address]++
		}
	})
	if i.DryRun {
		return int64(len(archive)), nil
	}
	return int64(len(archive)), i.Target.ImportVersion(ctx, client.ImportedVersion{Metadata: meta, Archive: archive, Yanked: v.Yanked, PublishedAt: v.PublishedAt})
}

// present holds a version that is there against the source's.
func (i *Importer) present(ctx context.Context, name string, v *Version, old client.IndexLine, digest string) error {
	if old.Cksum != digest {
		return fmt.Errorf("the registry has this version with other bytes: SHA-256 %s, the source %s", old.Cksum, digest)
	}
	if old.Yanked == v.Yanked || !v.Yanked || i.DryRun {
		return nil // what was yanked here stays so
	}
	_, err := i.Target.Yank(ctx, name, v.Vers, "")
	return err
}

func (i *Importer) note(change func(*Report)) { i.tally.note(change, i.Progress) }

func (i *Importer) snapshot() Report { return i.tally.snapshot() }

func (t *tally) note(change func(*Report), tell func(Report)) {
	t.mu.Lock()
	defer t.mu.Unlock()
	change(&t.report)
	if tell != nil {
		tell(t.report)
	}
}

func (t *tally) snapshot() Report {
	t.mu.Lock()
	defer t.mu.Unlock()
	r := t.report
	r.Registries = maps.Clone(r.Registries)
	return r
}

// tell notes an error of a source for one crate.
func (r *Report) tell(crate string, err error) {
	u, ok := errors.AsType[*UnlistedError](err)
	switch {
	case !ok:
		r.fail(crate, "", err)
	case len(r.Unlisted) < maxFailures:
		r.Unlisted = append(r.Unlisted, Failure{crate, u.Version, u.Why})
	default:
		r.More++
	}
}

func (r *Report) fail(crate, version string, err error) {
	r.Failed++
	if len(r.Failures) < maxFailures {
		r.Failures = append(r.Failures, Failure{crate, version, err.Error()})
	}
}
