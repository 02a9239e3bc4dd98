package mirror

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/crateyard/crateyard/registry/catalog"
)

// leasing is a database of leases whose round trips take a second. What another server has is in other.
type leasing struct {
	sync.Mutex
	other map[catalog.MirrorKey]bool
	down  bool
	had   map[catalog.MirrorKey]bool
	trips []catalog.MirrorLeases
}

func (l *leasing) LeaseMirrorCrates(ctx context.Context, w catalog.MirrorLeases) ([]catalog.MirrorLease, error) {
	time.Sleep(time.Second)
	l.Lock()
	defer l.Unlock()
	l.trips = append(l.trips, w)
	if l.down {
		return nil, errors.New("the database is down")
	}
	for _, k := range w.Back {
		delete(l.had, k)
	}
	taken := make([]catalog.MirrorLease, len(w.Take))
	for i, k := range w.Take {
		if taken[i].Has = !l.other[k]; taken[i].Has {
			l.had[k] = true
		}
	}
	return taken, nil
}

// keeping runs leases of a server beside f; the server ends after f.
func keeping(t *testing.T, f func(t *testing.T, db *leasing, l *leases)) {
	synctest.Test(t, func(t *testing.T) {
		db := &leasing{other: map[catalog.MirrorKey]bool{}, had: map[catalog.MirrorKey]bool{}}
		l := newLeases(nil, "here", slog.New(slog.DiscardHandler))
		l.catalog = db
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() { l.run(ctx); close(ended) }()
		f(t, db, l)
		stop()
		<-ended
		if left := db.left(); len(left) > 0 && !db.down {
			t.Errorf("a server that has ended has %v", left)
		}
	})
}

// left is what the server has still.
func (l *leasing) left() []catalog.MirrorKey {
	l.Lock()
	defer l.Unlock()
	return slices.Collect(maps.Keys(l.had))
}

// taken forgets the trips that were made, and gives them.
func (l *leasing) taken() []catalog.MirrorLeases {
	l.Lock()
	defer l.Unlock()
	trips := l.trips
	l.trips = nil
	return trips
}

// be has the database be down, or up again with what it had done.
func (l *leasing) be(down bool, done ...catalog.MirrorKey) {
	l.Lock()
	defer l.Unlock()
	l.down = down
	for _, key := range done {
		l.had[key] = true
	}
}

func archive(n int) catalog.MirrorKey {
	return catalog.MirrorKey{MirrorID: 1, Name: fmt.Sprint("crate", n), Num: "1.0.0"}
}

// A lease that is wanted alone goes at once; what is wanted, and given back, while it is on its way goes with the next.
func TestLeasesGoTogether(t *testing.T) {
	keeping(t, func(t *testing.T, db *leasing, l *leases) {
		begin := time.Now()
		first := func() {
			if got, err := l.take(t.Context(), archive(0)); err != nil || !got.Has || time.Since(begin) != time.Second {
				t.Errorf("%+v %v after %s", got, err, time.Since(begin))
			}
			l.giveBack(archive(0))
		}
		go first()
		time.Sleep(time.Second / 2)
		db.Lock()
		db.other[archive(3)] = true
		db.Unlock()
		for n := range 10 {
			go func() {
				got, err := l.take(t.Context(), archive(n+1))
				if err != nil || got.Has != (n+1 != 3) || time.Since(begin) > 3*time.Second {
					t.Errorf("%d: %+v %v after %s", n+1, got, err, time.Since(begin))
				}
				if got.Has {
					l.giveBack(archive(n + 1))
				}
			}()
		}
		time.Sleep(time.Minute)
		if trips := db.taken(); len(trips) < 3 || len(trips) > 4 || len(trips[1].Take) != 10 { // the lease that is given back first may hurry ahead
			t.Errorf("%d trips: %+v", len(trips), trips)
		}
		if left := db.left(); len(left) > 0 {
			t.Errorf("it has %v still", left)
		}
	})
}

// What is held is renewed before it ends, all in one trip, until the last fetch of an archive gives it back.
func TestLeasesAreRenewed(t *testing.T) {
	keeping(t, func(t *testing.T, db *leasing, l *leases) {
		for n := range 3 {
			if got, err := l.take(t.Context(), archive(n%2)); err != nil || !got.Has {
				t.Fatal(got, err)
			}
		}
		db.taken()
		time.Sleep(fetchLease)
		l.giveBack(archive(0)) // another fetch of it goes on
		l.giveBack(archive(1))
		time.Sleep(fetchLease)
		var renewals, alone int
		for _, w := range db.taken() {
			switch {
			case len(w.Renew) == 2:
				renewals++
			case slices.Equal(w.Renew, []catalog.MirrorKey{archive(0)}):
				alone++
			case !slices.Equal(w.Back, []catalog.MirrorKey{archive(1)}):
				t.Errorf("a trip %+v", w)
			}
		}
		if renewals < 3 || alone < 3 {
			t.Errorf("%d and %d renewals in %s each", renewals, alone, fetchLease)
		}
	})
}

// A fetch that ends while its lease is on the way leaves none behind.
func TestLeaseOfAFetchThatEnded(t *testing.T) {
	keeping(t, func(t *testing.T, db *leasing, l *leases) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second/2)
		defer cancel()
		if got, err := l.take(ctx, archive(0)); got.Has || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%+v %v", got, err)
		}
		time.Sleep(3 * time.Second)
		if trips, left := db.taken(), db.left(); len(trips) != 2 || len(left) > 0 {
			t.Errorf("%+v, left: %v", trips, left)
		}
	})
}

// Who wants a lease of a database that is down hears of it. What may have been taken all the same, and what could not be given back, is given back
// when it is up, while it can have lasted so long.
func TestLeasesInAnOutage(t *testing.T) {
	keeping(t, func(t *testing.T, db *leasing, l *leases) {
		if got, err := l.take(t.Context(), archive(0)); err != nil || !got.Has {
			t.Fatal(got, err)
		}
		db.be(true)
		l.giveBack(archive(0))
		if got, err := l.take(t.Context(), archive(1)); got.Has || err == nil {
			t.Errorf("%+v %v", got, err)
		}
		db.be(false, archive(1))
		time.Sleep(fetchLease / 2)
		if left := db.left(); len(left) > 0 {
			t.Errorf("it has %v still", left)
		}
		db.be(true)
		if _, err := l.take(t.Context(), archive(2)); err == nil {
			t.Error("a database that is down gave a lease")
		}
		time.Sleep(10 * fetchLease)
		db.taken()
		time.Sleep(10 * fetchLease)
		if trips := db.taken(); len(trips) > 0 {
			t.Errorf("it tries for ever: %+v", trips)
		}
	})
}

// A server that ends gives back what it has, whatever it is at.
func TestLeasesOfAServerThatEnds(t *testing.T) {
	keeping(t, func(t *testing.T, db *leasing, l *leases) {
		for n := range 2 {
			if got, err := l.take(t.Context(), archive(n)); err != nil || !got.Has {
				t.Fatal(got, err)
			}
		}
		l.giveBack(archive(0))
	})
}
