package mirror

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/crateyard/crateyard/registry/catalog"
	"github.com/crateyard/crateyard/registry/fault"
	"github.com/crateyard/crateyard/registry/storage"
	"github.com/crateyard/crateyard/registry/wire"
)

// refusing is an upstream that takes the mirror's token no longer.
func refusing(w http.ResponseWriter, _ *http.Request) bool {
	w.WriteHeader(http.StatusUnauthorized)
	return true
}

// list has m cache crates ahead, beside what change says, and waits for the sync.
func (o *oddly) list(change func(*wire.MirrorSpec), crates ...string) wire.MirrorSync {
	o.t.Helper()
	spec := o.mirror().Spec
	spec.Crates = nil
	for _, name := range crates {
		spec.Crates = append(spec.Crates, wire.MirrorCrate{Name: name})
	}
	if change != nil {
		change(&spec)
	}
	if _, _, err := o.Put(o.t.Context(), catalog.Actor{}, "m", wire.MirrorChange{Spec: spec}); err != nil {
		o.t.Fatal(err)
	}
	return o.synced(o.mirror())
}

// again asks for a sync of m, and waits for it.
func (o *oddly) again() wire.MirrorSync {
	o.t.Helper()
	before := o.synced(o.mirror()).LastEnded
	if err := o.RequestSync(o.t.Context(), catalog.Actor{}, "m"); err != nil {
		o.t.Fatal(err)
	}
	for {
		if s := o.synced(o.mirror()); s.LastEnded.After(*before) {
			return s
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// A sync that upstream is of no help with is no success, although all that is wanted is cached: it says so, lets no pin go, and is tried again.
func TestSyncWithoutUpstream(t *testing.T) {
	o := openOddly(t)
	first := o.list(nil, "acme")
	if first.Message != "" || first.Done != 1 || first.LastSuccessful == nil {
		t.Fatalf("%+v", first)
	}
	id, now := o.mirror().Row.ID, time.Now()
	old := catalog.MirrorCrate{Name: "old", Num: "1.0.0", SHA256: strings.Repeat("0", 64), Pinned: catalog.PinnedByList, StoredAt: now, UsedAt: now, Generation: o.mirror().Row.Generation}
	if err := o.Catalog.WriteMirrors(t.Context(), &catalog.MirrorWrites{Crates: map[int64][]catalog.MirrorCrate{id: {old}}}); err != nil {
		t.Fatal(err)
	}
	pinned := func() int {
		t.Helper()
		rows, err := o.Catalog.MirrorCratesOf(t.Context(), id, "old")
		if err != nil || len(rows) != 1 {
			t.Fatal(rows, err)
		}
		return rows[0].Pinned
	}
	o.be(refusing)
	s := o.again()
	if s.Done != 1 || s.Failed != 0 || !s.LastSuccessful.Equal(*first.LastSuccessful) || s.Next == nil ||
		!strings.Contains(s.Message, "no help with the index of one crate (it refuses the mirror with 401") || !strings.Contains(s.Message, "tried again") {
		t.Errorf("%+v", s)
	}
	if pinned() != catalog.PinnedByList {
		t.Error("a pin is gone")
	}
	if s = o.list(func(s *wire.MirrorSpec) { s.Suspend = true }, "acme"); s.Message == "" || s.Next != nil {
		t.Errorf("suspended: %+v", s)
	}
	if s = o.again(); s.Message == "" || strings.Contains(s.Message, "tried again") {
		t.Errorf("suspended, and asked to: %+v", s)
	}
	o.be(func(http.ResponseWriter, *http.Request) bool { return false })
	if s = o.again(); s.Message != "" || !s.LastSuccessful.After(*first.LastSuccessful) {
		t.Errorf("upstream is back: %+v", s)
	}
	if pinned() != catalog.NotPinned {
		t.Error("nothing wants it, and it is pinned")
	}
}

// An index file that is refused is one that upstream is of no help with, however well it answers.
func TestSyncOfAChangedChecksum(t *testing.T) {
	o := openOddly(t)
	first := o.list(nil, "acme")
	o.publish("other bytes under the same version")
	if s := o.again(); s.Done != 1 || !s.LastSuccessful.Equal(*first.LastSuccessful) || !strings.Contains(s.Message, "changed the checksum of acme 1.0.0") {
		t.Errorf("%+v", s)
	}
}

// What is known from before does not hide that upstream is of no help with the rest: a sync gives up after a while.
func TestSyncGivesUp(t *testing.T) {
	o := openOddly(t)
	o.list(nil, "acme")
	o.be(refusing)
	crates := []string{"acme"}
	for i := range 3 * giveUp {
		crates = append(crates, fmt.Sprint("crate-", i))
	}
	s := o.list(func(s *wire.MirrorSpec) { s.Upstream.Concurrency = 1 }, crates...)
	if !strings.Contains(s.Message, "several times in a row") || s.Failed >= 3*giveUp || s.Tries != 1 || s.Next.Sub(*s.LastEnded) != retrySoon {
		t.Errorf("%+v", s)
	}
	if s = o.again(); s.Tries != 2 || s.Next.Sub(*s.LastEnded) != 2*retrySoon {
		t.Errorf("again: %+v", s)
	}
	o.be(func(http.ResponseWriter, *http.Request) bool { return false })
	if s = o.again(); s.Tries != 0 || s.Message != "" {
		t.Errorf("upstream is back: %+v", s)
	}
}

// Of what is cached upstream is not asked again and again when it is away, and all of it counts.
func TestSyncAsksOfNoUse(t *testing.T) {
	o := openOddly(t)
	var crates []string
	for i := range 5 * giveUp {
		crates = append(crates, fmt.Sprint("crate-", i))
	}
	sum := sha256.Sum256(*o.file.Load())
	o.be(func(w http.ResponseWriter, r *http.Request) bool {
		switch path := strings.Split(r.URL.Path, "/"); {
		case strings.HasPrefix(r.URL.Path, "/index/cr/at/"):
			_, _ = fmt.Fprintf(w, `{"name":%q,"vers":"1.0.0","deps":[],"cksum":%q,"features":{},"yanked":false}`+"\n", path[4], hex.EncodeToString(sum[:]))
		case path[1] == "crates":
			_, _ = w.Write(*o.file.Load())
		default:
			return false
		}
		return true
	})
	if s := o.list(func(s *wire.MirrorSpec) { s.Upstream.Concurrency = 1 }, crates...); s.Done != 5*giveUp || s.Failed != 0 || s.LastSuccessful == nil {
		t.Fatalf("%+v", s)
	}
	var asked atomic.Int64
	o.be(func(w http.ResponseWriter, r *http.Request) bool {
		asked.Add(1)
		return refusing(w, r)
	})
	if s := o.again(); s.Done != 5*giveUp || !strings.Contains(s.Message, fmt.Sprintf("the index of %d crates", 5*giveUp)) {
		t.Errorf("%+v", s)
	}
	if n := asked.Load(); n > giveUp+2 {
		t.Errorf("%d questions", n)
	}
}

// A mirror that bundles fill, beyond upstream's reach, has all it can have when it has what they brought.
func TestSyncOfBundles(t *testing.T) {
	o := openOddly(t)
	o.list(nil, "acme")
	var bundle bytes.Buffer
	if err := o.Export(t.Context(), "m", &bundle); err != nil {
		t.Fatal(err)
	}
	spec := o.mirror().Spec
	if err := o.Delete(t.Context(), catalog.Actor{}, "m"); err != nil {
		t.Fatal(err)
	}
	o.be(refusing)
	spec.Mode, spec.Crates = Pinned, nil
	if _, _, err := o.Put(t.Context(), catalog.Actor{}, "m", wire.MirrorChange{Spec: spec}); err != nil {
		t.Fatal(err)
	}
	if _, err := o.Import(t.Context(), catalog.Actor{}, "m", &bundle); err != nil {
		t.Fatal(err)
	}
	if s := o.again(); s.Message != "" || s.LastSuccessful == nil {
		t.Errorf("with nothing listed: %+v", s)
	}
	before := o.synced(o.mirror()).LastSuccessful
	if s := o.list(nil, "acme"); s.Message != "" || s.Done != 1 || !s.LastSuccessful.After(*before) || s.Next != nil {
		t.Errorf("with a list: %+v", s)
	}
	if s := o.list(nil, "acme", "elsewhere"); s.Failed != 1 || !s.LastSuccessful.After(*before) {
		t.Errorf("with what no bundle brought: %+v", s)
	}
}

// What is forgotten although the mirror is to have it is fetched again at once; while the mirror is suspended, the status tells that it lacks.
func TestForgetWhatIsWanted(t *testing.T) {
	o := openOddly(t)
	first := o.list(nil, "acme")
	forget := func() {
		t.Helper()
		if err := o.ForgetCrate(t.Context(), catalog.Actor{}, "m", "acme"); err != nil {
			t.Fatal(err)
		}
	}
	forget()
	if got, err := o.Get(t.Context(), "m"); err != nil || !got.Status.Sync.Requested && !got.Status.Sync.LastStarted.After(*first.LastStarted) {
		t.Errorf("%+v %v", got.Status.Sync, err)
	}
	o.stored()
	for !o.synced(o.mirror()).LastEnded.After(*first.LastEnded) {
		time.Sleep(20 * time.Millisecond)
	}
	o.list(func(s *wire.MirrorSpec) { s.Suspend = true }, "acme")
	forget()
	s := o.synced(o.mirror())
	if s.Done != 0 || !strings.Contains(s.Message, "crate acme was forgotten") || s.Requested || s.Next != nil {
		t.Errorf("suspended: %+v", s)
	}
	if s = o.again(); s.Done != 1 || s.Fetched != 1 || s.Message != "" {
		t.Errorf("suspended, and asked to: %+v", s)
	}
	forget()
	if s = o.list(func(s *wire.MirrorSpec) { s.Suspend = false }, "acme"); s.Next == nil && s.Message != "" {
		t.Errorf("resumed: %+v", s)
	}
}

// Archives that upstream never gives do not keep those that stand behind them in the list from being cached.
func TestSyncPassesWhatAlwaysFails(t *testing.T) {
	o := openOddly(t)
	sum := sha256.Sum256(*o.file.Load())
	o.be(func(w http.ResponseWriter, r *http.Request) bool {
		name, ok := IndexName(strings.TrimPrefix(r.URL.Path, "/index/"))
		switch {
		case ok && (strings.HasPrefix(name, "bad-") || strings.HasPrefix(name, "new-")):
			_, _ = fmt.Fprintf(w, `{"name":%q,"vers":"1.0.0","deps":[],"cksum":%q,"features":{},"yanked":false}`+"\n", name, hex.EncodeToString(sum[:]))
		case strings.HasPrefix(r.URL.Path, "/crates/bad-"):
			w.WriteHeader(http.StatusInternalServerError)
		case strings.HasPrefix(r.URL.Path, "/crates/new-"):
			_, _ = w.Write(*o.file.Load())
		default:
			return false
		}
		return true
	})
	var names []string
	for i := range 3 * giveUp {
		names = append(names, fmt.Sprintf("bad-%02d", i))
	}
	o.list(nil, names...)
	if s := o.list(nil, append(names, "new-0", "new-1")...); s.Done != 2 || s.Failed != 3*giveUp {
		t.Errorf("%+v", s)
	}
}

// stuck is a storage that removes nothing for a while.
type stuck struct {
	storage.Store
	is atomic.Bool
}

func (s *stuck) Delete(ctx context.Context, key string) error {
	if s.is.Load() {
		return fault.New(fault.Unavailable, "the bucket is away")
	}
	return s.Store.Delete(ctx, key)
}

// What was forgotten is fetched again, also when the forgetting broke off in the middle.
func TestForgetBrokenOff(t *testing.T) {
	o := openOddly(t)
	store := &stuck{Store: o.Store}
	o.Store = store
	first := o.list(nil, "acme")
	if first.Done != 1 {
		t.Fatalf("%+v", first)
	}
	store.is.Store(true)
	if err := o.ForgetCrate(t.Context(), catalog.Actor{}, "m", "acme"); fault.KindOf(err) != fault.Unavailable {
		t.Error(err)
	}
	store.is.Store(false)
	for end := time.Now().Add(30 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		rows, err := o.Catalog.MirrorCratesOf(t.Context(), o.mirror().Row.ID, "acme")
		if err != nil {
			t.Fatal(err)
		}
		if len(rows) == 1 {
			return
		}
		if time.Now().After(end) {
			t.Fatal("it is not fetched again")
		}
	}
}
