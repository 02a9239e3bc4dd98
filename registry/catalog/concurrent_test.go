package catalog

import (
	"crypto/sha256"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/crateyard/crateyard/registry/fault"
	"github.com/crateyard/crateyard/registry/index"
	"github.com/crateyard/crateyard/test/postgres"
)

// replicas opens one new database several times, at the same time, as servers that start together do.
func replicas(t *testing.T, n int) []*Catalog {
	t.Helper()
	uri := postgres.Database(t)
	list := make([]*Catalog, n)
	errs := make([]error, n)
	var wg sync.WaitGroup
	for i := range list {
		wg.Go(func() { list[i], errs[i] = OpenPostgres(t.Context(), PostgresOptions{URI: uri}) })
	}
	wg.Wait()
	for i, c := range list {
		closing(t, c, errs[i])
	}
	return list
}

// race runs f n times at once, each on one of the replicas, and gives the errors.
func race(replicas []*Catalog, n int, f func(c *Catalog, i int) error) []error {
	errs := make([]error, n)
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() { errs[i] = f(replicas[i%len(replicas)], i) })
	}
	wg.Wait()
	return errs
}

func wins(t *testing.T, errs []error, lose fault.Kind) (won int) {
	t.Helper()
	for _, err := range errs {
		switch {
		case err == nil:
			won++
		case fault.KindOf(err) != lose:
			t.Errorf("%v", err)
		}
	}
	return won
}

func publishAs(t *testing.T, c *Catalog, by Actor, name, num, sha string) error {
	p := publication(t, name, num)
	p.By, p.SHA256, p.Metadata, p.Line = by, sha, []byte("{}"), fmt.Appendf(nil, "{\"name\":%q,\"vers\":%q,\"cksum\":%q,\"yanked\":false}\n", name, num, sha)
	return c.Publish(t.Context(), p, anyone)
}

func users(t *testing.T, c *Catalog, names ...string) (actors []Actor) {
	t.Helper()
	for _, name := range names {
		u, err := c.CreateUser(t.Context(), Actor{}, User{Name: name, Role: "publisher"})
		if err != nil {
			t.Fatal(err)
		}
		tok, err := c.CreateToken(t.Context(), Actor{}, Token{UserName: name, Name: "t"}, sha256.Sum256([]byte(name)))
		if err != nil {
			t.Fatal(err)
		}
		actors = append(actors, Actor{UserID: u.ID, User: name, Role: u.Role, TokenID: tok.ID})
	}
	return actors
}

func TestOneWins(t *testing.T) {
	rs := replicas(t, 3)
	alice := users(t, rs[0], "alice")[0]
	for _, existing := range []bool{false, true} {
		name := fmt.Sprint("demo-", existing)
		if existing {
			publishWith(t, rs[0], name, "0.1.0", nil)
		}
		errs := race(rs, 20, func(c *Catalog, i int) error { return publishAs(t, c, alice, name, "1.0.0", fmt.Sprint(i)) })
		if n := wins(t, errs, fault.Conflict); n != 1 {
			t.Errorf("existing %v: %d publishes of one version won", existing, n)
		}
		v, err := rs[1].Version(t.Context(), name, "1.0.0")
		if err != nil || errs[slices.Index(errs, nil)] != nil || v.SHA256 != fmt.Sprint(slices.Index(errs, nil)) {
			t.Errorf("%+v %v", v, err)
		}
	}
	errs := race(rs, 12, func(c *Catalog, i int) error {
		return publishAs(t, c, alice, []string{"new-crate", "New_Crate", "new_crate"}[i%3], fmt.Sprintf("1.%d.0", i), "00")
	})
	won := map[string]bool{}
	for i, err := range errs {
		if err == nil {
			won[[]string{"new-crate", "New_Crate", "new_crate"}[i%3]] = true
		} else if fault.KindOf(err) != fault.Conflict {
			t.Error(err)
		}
	}
	if len(won) != 1 {
		t.Errorf("crates of one canonical name: %v", slices.Collect(maps.Keys(won)))
	}
}

// The last owner in person stays, whoever removes whom at the same time; the 500th token is the last.
func TestLimitsHoldUnderConcurrency(t *testing.T) {
	rs := replicas(t, 2)
	names := []string{"alice", "bob", "carol", "dave"}
	actors := users(t, rs[0], names...)
	for round := range 5 {
		name := fmt.Sprint("shared", round)
		if err := publishAs(t, rs[0], actors[0], name, "1.0.0", "00"); err != nil {
			t.Fatal(err)
		}
		if err := rs[0].AddOwners(t.Context(), Actor{}, name, names[1:], anyone); err != nil {
			t.Fatal(err)
		}
		errs := race(rs, len(names), func(c *Catalog, i int) error {
			return c.RemoveOwners(t.Context(), actors[i], name, names[i:i+1], anyone)
		})
		if n := wins(t, errs, fault.Invalid); n != len(names)-1 {
			t.Errorf("%d of %d owners were removed", n, len(names))
		}
	}
	for i := range maxTokens - 3 { // users has made one
		if _, err := rs[0].CreateToken(t.Context(), Actor{}, Token{UserName: "bob", Name: "many"}, sha256.Sum256(fmt.Append(nil, i))); err != nil {
			t.Fatal(err)
		}
	}
	errs := race(rs, 12, func(c *Catalog, i int) error {
		_, err := c.CreateToken(t.Context(), actors[1], Token{UserName: "bob", Name: "more"}, sha256.Sum256(fmt.Append(nil, "more", i)))
		return err
	})
	if n := wins(t, errs, fault.Conflict); n != 2 {
		t.Errorf("%d tokens above the limit but 2", n)
	}
	errs = race(rs, 8, func(c *Catalog, i int) error {
		_, err := c.CreateGroup(t.Context(), Actor{}, "platform", names[i%4:i%4+1])
		return err
	})
	if n := wins(t, errs, fault.Conflict); n != 1 {
		t.Errorf("%d groups of one name", n)
	}
	errs = race(rs, 12, func(c *Catalog, i int) error {
		if i%3 == 0 {
			return c.TouchTokens(t.Context(), map[int64]time.Time{1: time.Now(), 2: time.Now(), 3: time.Now()})
		}
		if i%3 == 1 {
			return c.AddDownloads(t.Context(), map[int64]int64{1: 1, 2: 1, 3: 1, 4: 1})
		}
		return publishAs(t, c, actors[i%4], "shared0", fmt.Sprintf("3.%d.0", i), "00")
	})
	if n := wins(t, errs, fault.Internal); n != 12 {
		t.Errorf("%d of 12: %v", n, errs)
	}
	if v, err := rs[0].Version(t.Context(), "shared0", "1.0.0"); err != nil || v.Downloads != 4 {
		t.Errorf("%+v %v", v, err)
	}
}

// While many publish, readers of the feed on all replicas read it whole, each number once, and the same; and what was acknowledged is in
// it at once.
func TestFeedHasNoHoles(t *testing.T) {
	rs := replicas(t, 3)
	alice := users(t, rs[0], "alice")[0]
	const publishers, each = 6, 25
	var stop atomic.Bool
	feeds := make([][]index.Change, len(rs))
	heard := make([]map[string]bool, len(rs))
	var mu sync.Mutex
	var wg sync.WaitGroup
	for i, c := range rs {
		heard[i] = map[string]bool{}
		c.Follow(func(ch Change) {
			mu.Lock()
			defer mu.Unlock()
			heard[i][ch.Crate] = true
		})
		wg.Go(func() {
			for after, last := int64(0), false; !last; {
				last = stop.Load()
				list, err := c.IndexChanges(t.Context(), after, 1000)
				if err != nil {
					t.Error(err)
					return
				}
				for _, ch := range list {
					if ch.Seq != after+1 {
						t.Errorf("replica %d: %d after %d", i, ch.Seq, after)
					}
					after = ch.Seq
				}
				feeds[i] = append(feeds[i], list...)
			}
		})
	}
	errs := race(rs, publishers, func(c *Catalog, i int) error {
		for n := range each {
			name, num := fmt.Sprintf("crate-%d-%d", i, n/5), fmt.Sprintf("1.%d.0", n%5)
			if err := publishAs(t, c, alice, name, num, "00"); err != nil {
				return err
			}
			list, err := rs[(i+1)%len(rs)].IndexChanges(t.Context(), 0, 1000)
			if err != nil {
				return err
			}
			if !slices.ContainsFunc(list, func(ch index.Change) bool { return ch.Crate == name && ch.Num == num }) {
				t.Errorf("%s %s is acknowledged, and not in the feed", name, num)
			}
		}
		return nil
	})
	stop.Store(true)
	wg.Wait()
	if n := wins(t, errs, fault.Internal); n != publishers {
		t.Fatal(errs)
	}
	for i := range feeds {
		if len(feeds[i]) != publishers*each || fmt.Sprint(feeds[i]) != fmt.Sprint(feeds[0]) {
			t.Errorf("replica %d read %d changes of %d, or others", i, len(feeds[i]), publishers*each)
		}
	}
	for i := range rs {
		eventually(t, func() bool {
			mu.Lock()
			defer mu.Unlock()
			return len(heard[i]) == publishers*each/5 && rs[i].feed.seq.Load() == publishers*each
		})
		eventually(t, func() bool { lag := rs[i].FeedLag(); return lag >= 0 && lag < 10*time.Second })
	}
}

func eventually(t *testing.T, is func() bool) {
	t.Helper()
	for end := time.Now().Add(2 * time.Minute); !is(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("it did not come to pass")
		}
	}
}

// Followers hear of restricted crates, too; of more than they can follow they hear that anything may have changed; and so after the database
// was set back.
func TestFollowOthers(t *testing.T) {
	rs := replicas(t, 2)
	alice := users(t, rs[0], "alice")[0]
	var mu sync.Mutex
	heard := map[Change]int{}
	rs[1].Follow(func(ch Change) {
		mu.Lock()
		defer mu.Unlock()
		heard[ch]++
	})
	count := func(ch Change) int {
		mu.Lock()
		defer mu.Unlock()
		return heard[ch]
	}
	p := publication(t, "secret", "1.0.0")
	p.By, p.Restricted, p.Metadata = alice, true, []byte("{}")
	if err := rs[0].Publish(t.Context(), p, anyone); err != nil {
		t.Fatal(err)
	}
	eventually(t, func() bool { return count(Change{"secret", index.KindPublish}) == 1 })
	many := "INSERT INTO changes (crate, kind, at) SELECT 'many', 'yank', 0 FROM generate_series(1, " + fmt.Sprint(followMost+1) + ")"
	if _, err := rs[0].rw.db.ExecContext(t.Context(), many); err != nil {
		t.Fatal(err)
	}
	eventually(t, func() bool { return count(Change{}) == 1 && rs[1].feed.seq.Load() == followMost+2 })
	if n := count(Change{"many", index.KindYank}); n != 0 {
		t.Errorf("%d of many were told one by one", n)
	}
	for _, query := range []string{"DELETE FROM changes WHERE seq > 1",
		"SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE application_name = 'crateyard feed' AND datname = current_database()"} {
		if _, err := rs[0].rw.db.ExecContext(t.Context(), query); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, func() bool { return count(Change{}) == 2 && rs[1].feed.seq.Load() == 1 })
	if err := publishAs(t, rs[0], alice, "after", "1.0.0", "00"); err != nil {
		t.Fatal(err)
	}
	eventually(t, func() bool { return count(Change{"after", index.KindPublish}) == 1 })
	if strings.Contains(fmt.Sprint(heard), "many") {
		t.Error(heard)
	}
}

// A sequencer does not wait for another one that is at work, and numbers what that one left.
func TestSequencersTakeTurns(t *testing.T) {
	c := openPostgres(t, postgres.Database(t))
	alice := users(t, c, "alice")[0]
	tx, err := c.rw.db.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.ExecContext(t.Context(), "SELECT pg_advisory_xact_lock($1, 0)", lockSequence); err != nil {
		t.Fatal(err)
	}
	if err := publishAs(t, c, alice, "demo", "1.0.0", "00"); err != nil {
		t.Fatal(err)
	}
	if done, err := c.feed.number(t.Context(), tryLock); done || err != nil {
		t.Errorf("two at once: %v %v", done, err)
	}
	if waiting, err := c.feed.unnumbered(t.Context()); !waiting || err != nil {
		t.Errorf("%v %v", waiting, err)
	}
	eventually(t, func() bool { return c.FeedLag() > 2*pollEvery+time.Second }) // nobody hears of the change, and that shows
	if err := tx.Rollback(); err != nil {
		t.Fatal(err)
	}
	eventually(t, func() bool { return c.feed.seq.Load() == 1 && c.FeedLag() < time.Second })
	eventually(t, func() bool { // but for the rounds that its own sequencer still makes
		done, err := c.feed.number(t.Context(), tryLock)
		if err != nil {
			t.Fatal(err)
		}
		return done
	})
}

// Who finds a crate that is made at the same moment has not locked it: a yank must not come after the deletion of its version.
func TestNothingFollowsADeletion(t *testing.T) {
	rs := replicas(t, 3)
	alice := users(t, rs[0], "alice")[0]
	yank, last := true, int64(0)
	for round := range 60 {
		name := fmt.Sprint("made-", round)
		for i, err := range race(rs, 5, func(c *Catalog, i int) error {
			until := func(f func() error) error { // the crate is there
				for range 60 {
					if err := f(); fault.KindOf(err) != fault.NotFound {
						return err
					}
				}
				return nil
			}
			switch i {
			case 0:
				return publishAs(t, c, alice, name, "1.0.0", "00")
			case 1:
				return until(func() error { return c.DeleteVersion(t.Context(), alice, name, "1.0.0") })
			}
			return until(func() error {
				_, err := c.SetYanked(t.Context(), alice, name, "1.0.0", &yank, nil, anyone)
				return err
			})
		}) {
			if err != nil {
				t.Fatalf("%d: %v", i, err)
			}
		}
		changes, err := rs[0].IndexChanges(t.Context(), last, 100)
		if err != nil || len(changes) == 0 {
			t.Fatalf("%d changes: %v", len(changes), err)
		}
		last = changes[len(changes)-1].Seq
		var kinds []index.Kind
		for _, ch := range changes {
			kinds = append(kinds, ch.Kind)
		}
		if at := slices.Index(kinds, index.KindRemove); at >= 0 && at < len(kinds)-1 {
			t.Fatalf("%s: %v", name, kinds)
		}
	}
}
