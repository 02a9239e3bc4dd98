package backup

import (
	"context"
	"encoding/json"

	"github.com/crateyard/crateyard/registry/catalog"
	"github.com/crateyard/crateyard/registry/wire"
)

// Mirror is what a backup lacks of a mirror: what is cached, which is upstream's, and the token for upstream, which is a secret of another registry.
type Mirror struct {
	Name          string `json:"name"`
	Archives      int64  `json:"archives"` // cached when the backup was made
	Bytes         int64  `json:"bytes"`    // of them
	UpstreamToken bool   `json:"upstreamToken,omitempty"`
}

// EmptiedMirror is a mirror that was restored without something that it had.
type EmptiedMirror struct {
	Mirror
	// Unknown says that the backup does not tell what the mirror had: an older crateyard made it.
	Unknown bool `json:"unknown,omitempty"`
	Pinned  bool `json:"pinned,omitempty"` // it fetches nothing that is not listed
	Listed  bool `json:"listed,omitempty"` // it has crates or lockfiles to cache ahead, which a sync fetches
}

// Mirrors is what a backup needs of the catalog's mirrors.
type Mirrors interface {
	Mirrors(ctx context.Context) ([]catalog.Mirror, error)
	CountMirror(ctx context.Context, mirrorID int64) (catalog.MirrorCounts, error)
	MirrorLockfiles(ctx context.Context, mirrorID int64) ([]catalog.MirrorLockfile, error)
}

// maxMirrors bounds what a manifest tells of mirrors, which must not make it unreadable; of more than these a restore names what it cannot tell.
const maxMirrors = 1000

// mirrors tells what the mirrors of a catalog have.
func mirrors(ctx context.Context, c Mirrors) (list []Mirror, err error) {
	rows, err := c.Mirrors(ctx)
	if err != nil {
		return nil, err
	}
	for _, row := range rows[:min(len(rows), maxMirrors)] {
		n, err := c.CountMirror(ctx, row.ID)
		if err != nil {
			return nil, err
		}
		list = append(list, Mirror{Name: row.Name, Archives: n.Crates, Bytes: n.Bytes, UpstreamToken: row.Token != ""})
	}
	return list, nil
}

// emptied tells which mirrors of a restored catalog lack what they had when the backup was made.
func emptied(ctx context.Context, c Mirrors, had []Mirror) (list []EmptiedMirror, err error) {
	rows, err := c.Mirrors(ctx)
	if err != nil {
		return nil, err
	}
	list = []EmptiedMirror{}
	known := map[string]Mirror{}
	for _, m := range had {
		known[m.Name] = m
	}
	for _, row := range rows {
		m, ok := known[row.Name]
		if ok && m.Archives == 0 && !m.UpstreamToken {
			continue
		}
		m.Name = row.Name
		var spec wire.MirrorSpec
		if err := json.Unmarshal([]byte(row.Spec), &spec); err != nil {
			return nil, err
		}
		lockfiles, err := c.MirrorLockfiles(ctx, row.ID)
		if err != nil {
			return nil, err
		}
		list = append(list, EmptiedMirror{Mirror: m, Unknown: !ok, Pinned: spec.Mode == "Pinned", Listed: len(spec.Crates)+len(lockfiles) > 0})
	}
	return list, nil
}
