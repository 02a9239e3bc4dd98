package gitindex

import (
	"fmt"
	"io"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// The real git clones and fetches, in each version of the protocol, and finds the content of the sparse index, a history
// that begins anew where it should, and objects that it checks itself.
func TestGit(t *testing.T) {
	for _, version := range []string{"0", "1", "2"} {
		t.Run("version "+version, func(t *testing.T) {
			t.Parallel()
			all := randomFeed(7, 130)
			feed := all.head(1)
			repo := newRepo(t, t.TempDir(), feed, 20)
			url := serveRepo(t, repo)
			work := t.TempDir()
			opts := []string{"-c", "protocol.version=" + version, "-c", "fetch.fsckObjects=true"}
			git(t, work, append(opts, "clone", "-q", "--bare", url, "kept")...)
			kept := filepath.Join(work, "kept")
			for n := 2; n <= len(all.changes); n += 4 + n%9 {
				feed.add(all.changes[len(feed.changes):n]...)
				want := feed.files(t)
				git(t, kept, append(opts, "fetch", "-q", "origin", "+HEAD:refs/heads/master")...)
				git(t, kept, "fsck", "--strict", "--full")
				if diff := cmp.Diff(want, gitFiles(t, kept, "master")); diff != "" {
					t.Fatalf("after %d changes and a fetch: %s", n, diff)
				}
				fresh := fmt.Sprintf("fresh-%d", n)
				git(t, work, append(opts, "clone", "-q", "--bare", url, fresh)...)
				git(t, filepath.Join(work, fresh), "fsck", "--strict", "--full")
				if diff := cmp.Diff(want, gitFiles(t, filepath.Join(work, fresh), "HEAD")); diff != "" {
					t.Fatalf("after %d changes and a clone: %s", n, diff)
				}
				if got, want := git(t, filepath.Join(work, fresh), "rev-list", "--count", "HEAD"), fmt.Sprint(feed.history(20)); got != want {
					t.Errorf("after %d changes the history has %s commits, want %s", n, got, want)
				}
			}
		})
	}
}

// A clone with a depth has that many commits, and can be deepened to the whole history.
func TestDepth(t *testing.T) {
	for _, version := range []string{"0", "2"} {
		t.Run("version "+version, func(t *testing.T) {
			all := randomFeed(9, 39)
			feed := all.head(30)
			url := serveRepo(t, newRepo(t, t.TempDir(), feed, 20)) // the history begins at 20
			work := t.TempDir()
			g := func(args ...string) string {
				t.Helper()
				return git(t, work, append([]string{"-c", "protocol.version=" + version}, args...)...)
			}
			check := func(what string, commits int) {
				t.Helper()
				g("fsck", "--strict", "--full")
				if got := g("rev-list", "--count", "HEAD"); got != fmt.Sprint(commits) {
					t.Errorf("%s: %s commits, want %d", what, got, commits)
				}
				if diff := cmp.Diff(feed.files(t), gitFiles(t, work, "HEAD")); diff != "" {
					t.Errorf("%s: %s", what, diff)
				}
			}
			g("clone", "-q", "--bare", "--depth=1", url, ".")
			check("clone", 1)
			feed.add(all.changes[30])
			g("fetch", "-q", "origin", "+HEAD:refs/heads/master")
			check("fetch on", 2)
			feed.add(all.changes[31:36]...)
			g("fetch", "-q", "--depth=1", "origin", "+HEAD:refs/heads/master")
			check("fetch with a depth", 1)
			g("reflog", "expire", "--expire=now", "--all")
			g("gc", "-q", "--prune=now") // the client keeps no commit that it does not need
			g("fetch", "-q", "--depth=4", "origin", "+HEAD:refs/heads/master")
			check("deepen", 4)
			g("fetch", "-q", "--deepen=3", "origin", "+HEAD:refs/heads/master")
			check("deepen from there", 7)
			g("fetch", "-q", "--unshallow", "origin", "+HEAD:refs/heads/master")
			check("unshallow", 17)
			feed.add(all.changes[36:]...)
			g("fetch", "-q", "origin", "+HEAD:refs/heads/master")
			check("fetch all on", 20)
		})
	}
}

// Clients that fetch while changes come in, some over points where the history begins anew, all get what is whole.
func TestFetchDuringChanges(t *testing.T) {
	all := randomFeed(13, 300)
	feed := all.head(1)
	repo := newRepo(t, t.TempDir(), feed, 10)
	repo.keepLog = 10 // what a fetch does not hold is forgotten at once
	url := serveRepo(t, repo)
	stop := make(chan struct{})
	var writer sync.WaitGroup
	writer.Go(func() {
		for _, c := range all.changes[1:] {
			select {
			case <-stop:
				return
			case <-time.After(3 * time.Millisecond):
				feed.add(c)
			}
		}
	})
	var clients sync.WaitGroup
	for i := range 4 {
		clients.Go(func() {
			work := t.TempDir()
			version := fmt.Sprintf("protocol.version=%d", i%3)
			// A crate that is taken out between a client's two requests is the one reason to turn it away, and to come again.
			again := func(args ...string) (out string, err error) {
				for range 20 {
					if out, err = tryGit(t, work, append([]string{"-c", version}, args...)...); err == nil || !strings.Contains(out, "HTTP 400") {
						break
					}
				}
				return out, err
			}
			if out, err := again("clone", "-q", "--bare", url, "."); err != nil {
				t.Errorf("clone: %v\n%s", err, out)
				return
			}
			for range 6 {
				if out, err := again("fetch", "-q", "origin", "+HEAD:refs/heads/master"); err != nil {
					t.Errorf("fetch: %v\n%s", err, out)
				}
			}
			if out, err := tryGit(t, work, "fsck", "--strict", "--full"); err != nil {
				t.Errorf("fsck: %v\n%s", err, out)
			}
		})
	}
	clients.Wait()
	close(stop)
	writer.Wait()
}

// A fetch that has begun keeps what it reads, and gives it free when it ends.
func TestLease(t *testing.T) {
	all := randomFeed(17, 200)
	feed := all.head(15)
	repo := newRepo(t, t.TempDir(), feed, 10)
	repo.keepLog = 10
	want := syncRepo(t, repo)
	p, err := repo.plan(t.Context(), repo.store, want.n, 12)
	if err != nil {
		t.Fatal(err)
	}
	feed.add(all.changes[15:100]...)
	syncRepo(t, repo)
	if err := p.writeTo(t.Context(), io.Discard); err != nil {
		t.Error(err)
	}
	if err := p.Close(); err != nil {
		t.Error(err)
	}
	feed.add(all.changes[100:]...)
	syncRepo(t, repo)
	if n, err := repo.store.number(t.Context(), want.oid); n != -1 || err != nil {
		t.Errorf("the old log is kept for ever: %d, %v", n, err)
	}
	var rows, graves, bases int
	q := "SELECT (SELECT count(*) FROM commits), (SELECT count(*) FROM replaced), (SELECT count(*) FROM bases)"
	if err := repo.store.ro.QueryRowContext(t.Context(), q).Scan(&rows, &graves, &bases); err != nil {
		t.Fatal(err)
	}
	if rows > 11 || graves > 5*11 || bases != 2 {
		t.Errorf("%d commits, %d replaced objects and %d bases are kept after 200 changes", rows, graves, bases)
	}
	if files, _ := filepath.Glob(filepath.Join(repo.Dir, "base-*")); len(files) != 2 {
		t.Errorf("files %v", files)
	}
}

// Ten thousand crates can be cloned, and a fetch after one publish brings that one and not the index: a commit, the folders on the way to
// the file and the file.
func TestTenThousandCrates(t *testing.T) {
	feed := bigFeed(10_000)
	repo := newRepo(t, t.TempDir(), feed, rootEvery)
	syncRepo(t, repo)
	count := &counter{Handler: repo.Handler()}
	server := httptest.NewServer(count)
	defer server.Close()
	for _, version := range []string{"0", "2"} {
		clone := filepath.Join(t.TempDir(), "clone")
		git(t, ".", "-c", "protocol.version="+version, "clone", "-q", "--bare", server.URL, clone)
		files := strings.Count(git(t, clone, "ls-tree", "-r", "--name-only", "HEAD"), "\n")
		feed.add(publish("zzzz-new", "1."+version+".0"))
		count.bytes.Store(0)
		git(t, clone, "-c", "protocol.version="+version, "fetch", "-q", "origin", "+HEAD:refs/heads/fetched")
		if !strings.Contains(git(t, clone, "show", "fetched:zz/zz/zzzz-new"), "1."+version+".0") {
			t.Errorf("version %s of the protocol: the new line is not there", version)
		}
		if n := count.bytes.Load(); files < 10_000 || n > 16<<10 {
			t.Errorf("version %s of the protocol: %d files, and a fetch of %d bytes", version, files, n)
		}
	}
}
