package upkeep_test

import (
	"context"
	"fmt"
	"iter"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/crateyard/crateyard/registry/catalog"
	"github.com/crateyard/crateyard/registry/index"
	"github.com/crateyard/crateyard/registry/storage"
	"github.com/crateyard/crateyard/registry/upkeep"
	"github.com/crateyard/crateyard/registry/upkeep/upkeeptest"
)

// manyVersions is a registry of so many versions that is made up as it is asked for: nothing of it is held but by the check.
const manyVersions = 300_000

// A check and a sweep hold a part of a large registry at a time: 300,000 versions are some 90 MiB as Go values.
func TestMemoryIsBounded(t *testing.T) {
	var before, now runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	var most uint64
	look := func() {
		runtime.GC()
		runtime.ReadMemStats(&now)
		most = max(most, now.HeapAlloc-min(before.HeapAlloc, now.HeapAlloc))
	}
	looks := 0
	r := check(t, &upkeep.Checker{Catalog: many{}, Store: manyStore{}, Quick: true, Progress: func(*upkeep.Report) {
		if looks++; looks%500 == 0 {
			look()
		}
	}})
	if r.Versions != manyVersions || r.Blobs != manyVersions || len(r.Findings) > 0 {
		t.Errorf("%+v", r)
	}
	s := upkeep.Sweeper{Catalog: many{}, Store: manyStore{}, DryRun: true, OlderThan: day}
	rep, err := s.Run(t.Context())
	look()
	if err != nil || rep.Seen != manyVersions || rep.Removed != 0 {
		t.Errorf("%+v %v", rep, err)
	}
	if most > 48<<20 {
		t.Errorf("%d MiB are held", most>>20)
	}
	t.Logf("%d MiB are held", most>>20)
}

type many struct{ upkeep.Catalog }

func blobAt(i int) catalog.CrateBlob {
	return catalog.CrateBlob{Crate: fmt.Sprintf("crate-%06d", i/10), Num: fmt.Sprintf("1.%d.0", i%10), SHA256: fmt.Sprintf("%064x", i)}
}

func (many) Census(context.Context) (*catalog.Census, error) { return &catalog.Census{}, nil }

func (many) BlobsAfter(_ context.Context, after catalog.CrateBlob) iter.Seq2[catalog.BlobRef, error] {
	return func(yield func(catalog.BlobRef, error) bool) {
		first := 0
		if after.SHA256 != "" {
			if _, err := fmt.Sscanf(after.SHA256, "%x", &first); err != nil {
				panic(err)
			}
			first++
		}
		for i := first; i < manyVersions; i++ {
			if !yield(catalog.BlobRef{CrateBlob: blobAt(i), Size: 10}, nil) {
				return
			}
		}
	}
}

func (many) Version(_ context.Context, name, num string) (catalog.Version, error) {
	var i, n int
	if _, err := fmt.Sscanf(name+" "+num, "crate-%d 1.%d.0", &i, &n); err != nil {
		return catalog.Version{}, err
	}
	b := blobAt(10*i + n)
	line := index.Entry{Name: name, Vers: num, Deps: []index.Dependency{}, Cksum: b.SHA256, Features: map[string][]string{}, PubTime: "2026-01-01T00:00:00Z"}.Line()
	return catalog.Version{Crate: name, Num: num, SHA256: b.SHA256, Size: 10, Line: line}, nil
}

type manyStore struct{ storage.Store }

func (manyStore) List(_ context.Context, _, after string) iter.Seq2[storage.Info, error] {
	return func(yield func(storage.Info, error) bool) {
		for i := range manyVersions {
			if key := upkeep.Key(blobAt(i)); key > after && !yield(storage.Info{Key: key, Size: 10, Modified: time.Unix(0, 0)}, nil) {
				return
			}
		}
	}
}

func (manyStore) Stat(_ context.Context, key string) (storage.Info, error) {
	return storage.Info{Key: key, Size: 10}, nil
}

// The history is replayed in parts where it does not fit, with the same result.
func TestFeedInParts(t *testing.T) {
	defer upkeep.SetReplayBytes(upkeep.SetReplayBytes(2 << 10))
	y := upkeeptest.Small(t)
	for i := range 40 {
		y.Publish(fmt.Sprintf("crate-%d", i%20), fmt.Sprintf("1.%d.0", i))
	}
	if r := check(t, &upkeep.Checker{Catalog: y.Catalog, Feed: y.Catalog, Store: y.Store}); len(r.Findings) > 0 {
		t.Errorf("%+v", r.Findings)
	}
	y.Exec("UPDATE changes SET kind = 'remove' WHERE crate IN ('crate-3', 'crate-17') AND seq > 20")
	r := check(t, &upkeep.Checker{Catalog: y.Catalog, Feed: y.Catalog, Store: y.Store})
	if got := strings.Join(found(r), ", "); got != "wrong-feed crate-17, wrong-feed crate-3" {
		t.Errorf("found %s", got)
	}
}
