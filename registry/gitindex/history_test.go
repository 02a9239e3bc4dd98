package gitindex

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/crateyard/crateyard/registry/index"
)

// tips gives the newest commit after each of the changes, as a replica finds them that never misses one.
func tips(t *testing.T, all *sliceFeed, root int64) []oid {
	t.Helper()
	feed := all.head(0)
	repo := newRepo(t, t.TempDir(), feed, root)
	out := []oid{syncRepo(t, repo).oid}
	for _, c := range all.changes {
		feed.add(c)
		out = append(out, syncRepo(t, repo).oid)
	}
	return out
}

// The same changes give the same commits, however they are read, and however often a replica begins anew.
func TestSameEverywhere(t *testing.T) {
	all := randomFeed(11, 100)
	want := tips(t, all, 16)
	for _, step := range []int{1, 3, 15, 16, 17, 40, 100} {
		for _, batch := range []int{1, 7, 500} {
			t.Run(fmt.Sprintf("%d changes a sync, %d a batch", step, batch), func(t *testing.T) {
				dir, feed := t.TempDir(), all.head(0)
				for n := step; n <= len(all.changes); n += step {
					feed.add(all.changes[len(feed.changes):n]...)
					repo := newRepo(t, dir, feed, 16) // a restart
					repo.batch = batch
					if got := syncRepo(t, repo); got != (tip{int64(n), want[n]}) {
						t.Fatalf("commit %d is %s, want %d, %s", got.n, got.oid, n, want[n])
					}
					if err := repo.Close(); err != nil {
						t.Fatal(err)
					}
					if n%4 == 0 {
						if err := os.RemoveAll(dir); err != nil {
							t.Fatal(err)
						}
					}
				}
			})
		}
	}
}

// The names of commits are a promise to clients of every replica of every version: they never change.
func TestNamesOfCommits(t *testing.T) {
	feed := &sliceFeed{}
	feed.add(publish("serde", "1.0.0"), index.Change{Crate: "serde", Kind: index.KindYank, Num: "1.0.0"}, publish("Abc", "0.1.0"))
	repo := newRepo(t, t.TempDir(), feed, rootEvery)
	syncRepo(t, repo)
	work := t.TempDir()
	git(t, work, "clone", "-q", "--bare", serveRepo(t, repo), ".")
	got := git(t, work, "log", "--format=%H %an <%ae> %aI %cn <%ce> %cI %s", "HEAD")
	const who = " Crateyard <crateyard@localhost> "
	line := func(oid, at, subject string) string { return oid + who + at + who + at + " " + subject }
	want := strings.Join([]string{
		line("f680dfd4a0198f81890bc1d26e9bf4b1d8160261", "2026-11-23T12:00:02+00:00", "Update crate `Abc`"),
		line("e04e27ec9e0b9c53528c8f59294aa8e83be3f714", "2026-11-23T12:00:01+00:00", "Yank crate `serde#1.0.0`"),
		line("53f1318ff632b258767fc9adc2e46618015c8667", "2026-11-23T12:00:00+00:00", "Update crate `serde`"),
		line("77b84a8154b7fee919d69a39986c13129414b465", "1970-01-01T00:00:00+00:00", "Create the index"),
	}, "\n")
	if diff := cmp.Diff(strings.Split(want, "\n"), strings.Split(got, "\n")); diff != "" {
		t.Error(diff)
	}
}

// What is damaged, foreign or gone is built again, while the repository is closed and while it is open.
func TestDamage(t *testing.T) {
	all := randomFeed(5, 50)
	want := tips(t, all, 16)
	last := func(t *testing.T, dir, pattern string) string {
		t.Helper()
		files, err := filepath.Glob(filepath.Join(dir, pattern))
		if err != nil || len(files) == 0 {
			t.Fatal(pattern, err)
		}
		return files[len(files)-1]
	}
	truncate := func(t *testing.T, file string, size int64) {
		t.Helper()
		if err := os.Truncate(file, size); err != nil {
			t.Fatal(err)
		}
	}
	for name, damage := range map[string]func(t *testing.T, dir string){
		"half a database": func(t *testing.T, dir string) { truncate(t, last(t, dir, "index.db"), 8192) },
		"empty database":  func(t *testing.T, dir string) { truncate(t, last(t, dir, "index.db"), 0) },
		"no database": func(t *testing.T, dir string) {
			write(t, last(t, dir, "index.db"), strings.Repeat("no database ", 1000))
		},
		"half a base":      func(t *testing.T, dir string) { truncate(t, last(t, dir, "base-*"), 10) },
		"half a new base":  func(t *testing.T, dir string) { write(t, filepath.Join(dir, "base-123.new"), "PA") },
		"removed base":     func(t *testing.T, dir string) { _ = os.Remove(last(t, dir, "base-*")) },
		"removed folder":   func(t *testing.T, dir string) { _ = os.RemoveAll(dir) },
		"removed database": func(t *testing.T, dir string) { _ = os.Remove(last(t, dir, "index.db")) },
	} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "git")
			feed := all.head(40)
			repo := newRepo(t, dir, feed, 16)
			syncRepo(t, repo)
			if err := repo.Close(); err != nil {
				t.Fatal(err)
			}
			damage(t, dir)
			feed.add(all.changes[40:45]...)
			repo = newRepo(t, dir, feed, 16)
			if got := syncRepo(t, repo).oid; got != want[45] {
				t.Fatalf("after damage while closed: %s, want %s", got, want[45])
			}
			if strings.HasPrefix(name, "removed") { // what is open is not written to by others
				damage(t, dir)
				feed.add(all.changes[45:]...)
				if got := syncRepo(t, repo).oid; got != want[50] {
					t.Fatalf("after damage while open: %s, want %s", got, want[50])
				}
			}
			work := t.TempDir()
			git(t, work, "clone", "-q", "--bare", serveRepo(t, repo), ".")
			git(t, work, "fsck", "--strict", "--full")
			if diff := cmp.Diff(feed.files(t), gitFiles(t, work, "HEAD")); diff != "" {
				t.Error(diff)
			}
			if left, err := filepath.Glob(filepath.Join(dir, "*.new")); err != nil || len(left) > 0 {
				t.Errorf("left behind: %v, %v", left, err)
			}
		})
	}
}

// A new config.json, and a catalog that was restored from a backup, make another history.
func TestOtherHistory(t *testing.T) {
	all := randomFeed(5, 50)
	dir := t.TempDir()
	open := func(feed *sliceFeed, config string) *Repo {
		repo := newRepo(t, dir, feed, 16)
		repo.Config = []byte(config)
		return repo
	}
	check := func(repo *Repo, want oid) {
		t.Helper()
		if got := syncRepo(t, repo).oid; got != want {
			t.Errorf("%s, want %s", got, want)
		}
		if err := repo.Close(); err != nil {
			t.Fatal(err)
		}
	}
	want := tips(t, all, 16)
	check(open(all, testConfig), want[50])
	other := open(all, `{"dl":"https://other"}`)
	if got := syncRepo(t, other).oid; got == want[50] {
		t.Error("the new config.json changed no hash")
	}
	if err := other.Close(); err != nil {
		t.Fatal(err)
	}
	check(open(all, testConfig), want[50])

	restored := all.head(30)
	check(open(restored, testConfig), want[30])
	for range 25 { // other changes than before, under the same numbers
		restored.add(publish("other", fmt.Sprintf("0.0.%d", len(restored.changes))))
	}
	check(open(restored, testConfig), tips(t, restored, 16)[55])
}

// A process that is killed at any moment leaves a folder that the next one goes on with, or builds again.
func TestKill(t *testing.T) {
	const changes = 400
	if dir := os.Getenv("GITINDEX_TEST_KILL"); dir != "" {
		feed := randomFeed(3, changes)
		repo := newRepo(t, dir, feed, 32)
		repo.batch = 5
		syncRepo(t, repo)
		select {} // wait to be killed
	}
	feed := randomFeed(3, changes)
	want := syncRepo(t, newRepo(t, t.TempDir(), feed, 32)).oid
	dir := t.TempDir()
	for i := range 12 {
		cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestKill$")
		cmd.Env = append(os.Environ(), "GITINDEX_TEST_KILL="+dir)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Duration(20+15*i) * time.Millisecond)
		if err := cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		_ = cmd.Wait() // it was killed
	}
	repo := newRepo(t, dir, feed, 32)
	if got := syncRepo(t, repo).oid; got != want {
		t.Fatalf("%s, want %s", got, want)
	}
	work := t.TempDir()
	git(t, work, "clone", "-q", "--bare", serveRepo(t, repo), ".")
	git(t, work, "fsck", "--strict", "--full")
}

// faultyFeed fails, or waits, when it is told to.
type faultyFeed struct {
	*sliceFeed
	err  error
	wait chan struct{}
}

func (f *faultyFeed) IndexChanges(ctx context.Context, after int64, limit int) ([]index.Change, error) {
	changes, err := f.sliceFeed.IndexChanges(ctx, after, limit)
	if f.wait != nil {
		<-f.wait
	}
	return changes, errors.Join(err, f.err)
}

// A feed that cannot be read, or that speaks of a version which never was, is no reason to build anything again.
func TestFeedFails(t *testing.T) {
	feed := &faultyFeed{sliceFeed: randomFeed(5, 20)}
	repo := newRepo(t, t.TempDir(), feed, 16)
	var log bytes.Buffer
	repo.Log = slog.New(slog.NewTextHandler(&log, nil))
	want := syncRepo(t, repo)
	feed.err = errors.New("the database is away")
	if err := repo.Sync(t.Context()); !errors.Is(err, feed.err) {
		t.Errorf("got %v", err)
	}
	feed.err = nil
	if got := syncRepo(t, repo); got != want {
		t.Errorf("%v, want %v", got, want)
	}
	feed.add(index.Change{Crate: "serde", Kind: index.KindYank, Num: "99.0.0"})
	if err := repo.Sync(t.Context()); err == nil || !strings.Contains(err.Error(), "99.0.0") {
		t.Errorf("got %v", err)
	}
	if log.Len() > 0 {
		t.Errorf("the store was built again: %s", &log)
	}
}

// Who asks after a change sees it, even when a sync is under way that has read the feed before; and a caller that leaves does
// not stop the sync for the others.
func TestSyncIsNotStale(t *testing.T) {
	feed := &faultyFeed{sliceFeed: &sliceFeed{}, wait: make(chan struct{})}
	repo := newRepo(t, t.TempDir(), feed, 16)
	leaving, leave := context.WithCancel(t.Context())
	first := make(chan error, 1)
	go func() { first <- repo.Sync(leaving) }()
	feed.wait <- struct{}{} // the first sync has read an empty feed, to leap
	feed.add(publish("serde", "1.0.0"))
	leave()
	if err := <-first; !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	close(feed.wait)
	if got := syncRepo(t, repo); got.n != 1 {
		t.Errorf("commit %d is the newest, want 1", got.n)
	}
}

// Nothing is built before it is asked for.
func TestLazy(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "git")
	repo := newRepo(t, dir, randomFeed(5, 20), 16)
	repo.Handler()
	if _, err := os.Stat(dir); !os.IsNotExist(err) {
		t.Errorf("got %v", err)
	}
	if err := repo.Close(); err != nil {
		t.Error(err)
	}
	if err := repo.Sync(t.Context()); err == nil {
		t.Error("a closed repository syncs")
	}
}
