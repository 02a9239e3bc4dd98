package importer

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"github.com/crateyard/crateyard/registry/client"
	"github.com/crateyard/crateyard/registry/wire"
)

// MirrorTarget is a registry with mirrors; client.Client is one.
type MirrorTarget interface {
	StoredCrate(ctx context.Context, mirror, crate string) ([]wire.MirroredCrate, error)
	AddCrate(ctx context.Context, mirror, crate, version string, archive []byte) (wire.MirroredCrate, error)
}

// MirrorImporter imports archives into a mirror. The registry holds each against the index of the mirror's upstream, so that it does not matter how
// well the source has kept them. What upstream does not vouch for, because it cannot be asked or says otherwise, stays where it is, and is
// reported; the import can be run again.
type MirrorImporter struct {
	Target   MirrorTarget
	Mirror   string
	DryRun   bool         // say what is not in the mirror yet, and send nothing
	Progress func(Report) // called after each version; may be nil
	tally    tally
	large    large
	away     atomic.Int64 // versions in a row for which upstream could not be asked
}

// awayMost is how many versions in a row upstream may be of no help for, until the import ends: it waits for some while for each.
const awayMost = 4

// Run imports all that the source has. The error is of the import as a whole; what failed alone is in the report.
func (i *MirrorImporter) Run(ctx context.Context, s Source) (Report, error) {
	group, working := errgroup.WithContext(ctx)
	group.SetLimit(2 * atOnce)
	for c, err := range s.Crates(working) {
		if working.Err() != nil { // a source that is cut off by the end of the import is not why it ended
			break
		}
		if err != nil && c.Name == "" {
			return i.tally.snapshot(), errorsFirst(&SourceError{err}, group.Wait())
		}
		group.Go(func() error {
			if err != nil {
				i.note(func(r *Report) { r.fail(c.Name, "", err) })
				return nil //nolint:nilerr // the others go on
			}
			return i.crate(working, c)
		})
	}
	err := group.Wait()
	if err == nil {
		err = ctx.Err()
	}
	return i.tally.snapshot(), err
}

func (i *MirrorImporter) note(change func(*Report)) { i.tally.note(change, i.Progress) }

// crate imports the versions of one crate. Its error ends the import.
func (i *MirrorImporter) crate(ctx context.Context, c Crate) error {
	list, err := i.Target.StoredCrate(ctx, i.Mirror, c.Name)
	if err != nil {
		return fmt.Errorf("ask what mirror %s has of %s: %w", i.Mirror, c.Name, err)
	}
	have := map[string]string{}
	for _, m := range list {
		have[m.Version] = m.SHA256
	}
	i.note(func(r *Report) { r.Crates++ })
	for _, v := range c.Versions {
		size, err := i.version(ctx, c.Name, &v, have[v.Vers])
		switch e, isAnswer := errors.AsType[*client.Error](err); {
		case ctx.Err() != nil:
			return ctx.Err()
		case isAnswer && e.StatusCode == http.StatusServiceUnavailable:
			i.note(func(r *Report) { r.fail(c.Name, v.Vers, err) })
			if i.away.Add(1) >= awayMost {
				return fmt.Errorf("%d archives in a row could not be held against upstream's index, or not be stored: %w", awayMost, err)
			}
			continue
		case err != nil && (client.IsUnauthorized(err) || client.IsUnreachable(err)):
			return fmt.Errorf("import %s %s: %w", c.Name, v.Vers, err)
		case err != nil: // 403 is the policy: a token that is no admin's has not come so far
			i.note(func(r *Report) { r.fail(c.Name, v.Vers, err) })
		case size == 0:
			i.note(func(r *Report) { r.Present++ })
		default:
			i.note(func(r *Report) { r.Imported++; r.Bytes += size })
		}
		i.away.Store(0)
	}
	return nil
}

// version imports one, and gives the bytes of its archive; 0 when it was there already.
func (i *MirrorImporter) version(ctx context.Context, name string, v *Version, have string) (int64, error) {
	archive, done, err := v.read(ctx, maxSize, &i.large)
	if err != nil {
		return 0, err
	}
	defer done()
	sum := sha256.Sum256(archive)
	switch digest := hex.EncodeToString(sum[:]); {
	case have == digest:
		return 0, nil
	case have != "":
		return 0, fmt.Errorf("the mirror has this version with other bytes, which upstream vouched for: SHA-256 %s, the source %s", have, digest)
	case i.DryRun:
		return int64(len(archive)), nil
	}
	m, err := i.Target.AddCrate(ctx, i.Mirror, name, v.Vers, archive)
	if err != nil || !m.Fetched {
		return 0, err
	}
	return m.Size, nil
}
