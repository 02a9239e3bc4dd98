package backup

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"slices"
	"strings"
	"time"

	"github.com/crateyard/crateyard/registry/storage"
	"github.com/crateyard/crateyard/registry/upkeep"
)

// Pruner removes old backups.
type Pruner struct {
	Target   storage.Store
	Leases   upkeep.Leases
	Holder   string
	Registry Registry
	Keep     int           // the newest that stay; at least 1
	Spare    time.Duration // younger blobs stay whoever names them; 0: an hour
}

// Pruned is what a prune removed.
type Pruned struct {
	Backups []string `json:"backups"`
	Blobs   int64    `json:"blobs"`
	Bytes   int64    `json:"bytes"` // of the blobs
}

// Prune removes all but the newest backups, and then the blobs that none of those names. First goes a backup's manifest, so that
// none is half there. It removes no blob before it has read all lists of those that stay.
func (p *Pruner) Prune(ctx context.Context) (done Pruned, err error) {
	if p.Keep < 1 {
		return done, fmt.Errorf("a prune must keep at least one backup")
	}
	err = upkeep.Hold(ctx, p.Leases, upkeep.BlobsLease, p.Holder, func(ctx context.Context) error {
		done, err = p.prune(ctx)
		return err
	})
	return done, err
}

func (p *Pruner) prune(ctx context.Context) (done Pruned, err error) {
	done.Backups = []string{}
	spared := time.Now().Add(-time.Hour)
	if p.Spare != 0 {
		spared = time.Now().Add(-p.Spare)
	}
	list, unreadable, err := List(ctx, p.Target)
	if err != nil {
		return done, err
	}
	if len(unreadable) > 0 {
		return done, fmt.Errorf("nothing was removed, for what these backups need is not known; one that cannot be mended is given up by removing its folder by hand: %w", errors.Join(unreadable...))
	}
	if err := checkOwner(list, p.Registry); err != nil {
		return done, err
	}
	if err := claim(ctx, p.Target, p.Registry); err != nil {
		return done, err
	}
	old := max(0, len(list)-p.Keep)
	named, err := p.named(ctx, list[old:])
	if err != nil {
		return done, fmt.Errorf("nothing was removed: %w", err)
	}
	for _, m := range list[:old] {
		if err := p.Target.Delete(ctx, backups+m.Name+manifestName); err != nil {
			return done, err
		}
		done.Backups = append(done.Backups, m.Name)
	}
	if err := p.removeParts(ctx, list[old:], spared); err != nil {
		return done, err
	}
	return done, p.removeBlobs(ctx, named, spared, &done)
}

// named gives the hashes of the keys that backups name, sorted: some 8 bytes a blob. That two keys have one hash, once in many
// years, leaves a blob that nobody needs.
func (p *Pruner) named(ctx context.Context, list []*Manifest) (names names, err error) {
	names.seed = maphash.MakeSeed()
	for _, m := range list {
		for i, err := range readList(ctx, p.Target, m.Name, m.List) {
			if err != nil {
				return names, err
			}
			names.hashes = append(names.hashes, maphash.String(names.seed, i.key))
		}
		slices.Sort(names.hashes)
		names.hashes = slices.Compact(names.hashes)
	}
	return names, nil
}

type names struct {
	seed   maphash.Seed
	hashes []uint64
}

func (n names) has(key string) bool {
	_, ok := slices.BinarySearch(n.hashes, maphash.String(n.seed, key))
	return ok
}

// removeParts removes what lies beside manifests that are gone, and what backups left that were cut off.
func (p *Pruner) removeParts(ctx context.Context, kept []*Manifest, spared time.Time) error {
	stays := map[string]bool{}
	for _, m := range kept {
		stays[m.Name] = true
	}
	for info, err := range p.Target.List(ctx, backups, "") {
		if err != nil {
			return err
		}
		name, _, _ := strings.Cut(strings.TrimPrefix(info.Key, backups), "/")
		if stays[name] || !backupName.MatchString(name) || info.Modified.After(spared) {
			continue
		}
		if err := p.Target.Delete(ctx, info.Key); err != nil {
			return err
		}
	}
	return nil
}

func (p *Pruner) removeBlobs(ctx context.Context, named names, spared time.Time, done *Pruned) error {
	for info, err := range p.Target.List(ctx, blobs+crates, "") {
		if err != nil {
			return err
		}
		if named.has(strings.TrimPrefix(info.Key, blobs)) || info.Modified.After(spared) {
			continue
		}
		if err := ctx.Err(); err != nil { // the lease may be lost
			return context.Cause(ctx)
		}
		if err := p.Target.Delete(ctx, info.Key); err != nil {
			return err
		}
		done.Blobs++
		done.Bytes += info.Size
	}
	return nil
}
