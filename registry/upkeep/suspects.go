package upkeep

import (
	"context"
	"sync"
	"time"

	"github.com/crateyard/crateyard/registry/fault"
	"github.com/crateyard/crateyard/registry/storage"
)

// Suspects are blobs with which a reader met something that cannot be: one that is missing, or is of another size or digest. Each is looked at
// at once, as a check does it, so that damage which a download meets is not told a scrub later.
type Suspects struct {
	catalog Catalog
	store   storage.Store
	found   func(Finding)
	keys    chan string

	mu sync.Mutex
	at map[string]time.Time // when a key was last suspected
}

const (
	suspectsMost = 100         // that wait, or are remembered; of the rest a scrub tells
	suspectAgain = time.Minute // how soon the same blob may be looked at again
)

// NewSuspects looks into a store itself, not what a cache has of it, and gives found each damage.
func NewSuspects(c Catalog, s storage.Store, found func(Finding)) *Suspects {
	return &Suspects{catalog: c, store: s, found: found, keys: make(chan string, suspectsMost), at: map[string]time.Time{}}
}

// Suspect has a blob looked at. It does not wait, and may be called by many.
func (s *Suspects) Suspect(key string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	if now.Sub(s.at[key]) < suspectAgain {
		return
	}
	for k, at := range s.at {
		if now.Sub(at) >= suspectAgain {
			delete(s.at, k)
		}
	}
	if len(s.at) >= suspectsMost {
		return
	}
	select {
	case s.keys <- key:
		s.at[key] = now
	default:
	}
}

// Run looks at suspects until ctx ends.
func (s *Suspects) Run(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case key := <-s.keys:
			s.look(ctx, key)
		}
	}
}

// look tells what is wrong with a blob. That the catalog or the storage is away is said elsewhere, and no damage.
func (s *Suspects) look(ctx context.Context, key string) {
	found, err := (&Checker{Catalog: s.catalog, Store: s.store}).lookAt(ctx, key)
	if err != nil {
		return
	}
	for _, f := range found {
		if f.Kind != Unreadable {
			s.found(f.advised())
		}
	}
}

// lookAt examines one blob that the catalog names. One that it does not name, or no more, has no findings.
func (c *Checker) lookAt(ctx context.Context, key string) ([]Finding, error) {
	name, num, sum, ok := storage.ParseCrateKey(key)
	if !ok {
		return nil, nil
	}
	v, err := c.Catalog.Version(ctx, name, num)
	if fault.KindOf(err) == fault.NotFound || err == nil && v.SHA256 != sum {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	ref := Ref{Size: v.Size, VersionID: v.ID}
	ref.Crate, ref.Num, ref.SHA256 = name, num, sum
	res, err := c.examine(ctx, pair{key: key, ref: &ref})
	return res.findings, err
}
