package gitindex

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/crateyard/crateyard/registry/index"
)

// What a crate was before it was taken out of the index is in nothing that is served from then on: in no clone, and in no fetch of a client that has
// an older history; nor is its name.
func TestTakenOutOfTheHistory(t *testing.T) {
	for _, version := range []string{"0", "1", "2"} {
		t.Run("version "+version, func(t *testing.T) {
			t.Parallel()
			feed := &sliceFeed{}
			for i := range 12 {
				feed.add(publish(fmt.Sprintf("open-%d", i), "1.0.0"))
			}
			dir := t.TempDir()
			repo := newRepo(t, dir, feed, 100)
			url := serveRepo(t, repo)
			work := t.TempDir()
			g := func(dir string, args ...string) string {
				t.Helper()
				return git(t, filepath.Join(work, dir), append([]string{"-c", "protocol.version=" + version, "-c", "fetch.fsckObjects=true"}, args...)...)
			}
			// says looks for the crate in all objects that a client has, reachable or not.
			says := func(dir string) bool {
				t.Helper()
				for id := range strings.FieldsSeq(g(dir, "cat-file", "--batch-all-objects", "--batch-check=%(objectname)")) {
					if strings.Contains(g(dir, "cat-file", "-p", id), "acme-secret") {
						return true
					}
				}
				return false
			}
			check := func(dir string, commits int) {
				t.Helper()
				g(dir, "fsck", "--strict", "--full")
				if says(dir) {
					t.Errorf("%s has the crate that was taken out", dir)
				}
				if got := g(dir, "rev-list", "--count", "HEAD"); got != fmt.Sprint(commits) {
					t.Errorf("%s: %s commits, want %d", dir, got, commits)
				}
				if diff := cmp.Diff(feed.files(t), gitFiles(t, filepath.Join(work, dir), "HEAD")); diff != "" {
					t.Errorf("%s: %s", dir, diff)
				}
			}
			fetch := []string{"fetch", "-q", "origin", "+HEAD:refs/heads/master"}
			g("", "clone", "-q", "--bare", url, "before")
			g("", "clone", "-q", "--bare", "--depth=2", url, "shallow")
			feed.add(publish("acme-secret", "1.0.0"), index.Change{Crate: "acme-secret", Kind: index.KindYank, Num: "1.0.0"})
			g("", "clone", "-q", "--bare", url, "seen")
			if !says("seen") {
				t.Fatal("the crate is not found where it is")
			}
			old := g("seen", "rev-parse", "HEAD")
			feed.add(index.Change{Crate: "acme-secret", Kind: index.KindRemoveCrate}, publish("open-99", "1.0.0"), publish("open-99", "1.1.0"))
			g("", "clone", "-q", "--bare", url, "after")
			check("after", 3)
			g("", "clone", "-q", "--bare", "--depth=2", url, "shallow-after")
			check("shallow-after", 2)
			g("", "clone", "-q", "--bare", "--depth=10", url, "deep-after")
			check("deep-after", 3)
			if got := g("deep-after", "rev-parse", "--is-shallow-repository"); got != "false" {
				t.Error("a clone with more depth than there is history is shallow")
			}
			g("shallow-after", "fetch", "-q", "--unshallow", "origin", "+HEAD:refs/heads/master")
			check("shallow-after", 3)
			g("before", fetch...)
			check("before", 3)
			g("shallow", fetch...)
			check("shallow", 3)
			g("seen", fetch...)
			if got := g("seen", "rev-list", "--count", "HEAD"); got != "3" {
				t.Errorf("%s commits for who had the crate", got)
			}
			if out, err := tryGit(t, filepath.Join(work, "after"), "-c", "protocol.version="+version, "fetch", "origin", old); err == nil {
				t.Errorf("a commit from before is served: %s", out)
			}

			// A replica that begins with all of it, and one that is restarted, have the same history; clients go on by small steps.
			want := syncRepo(t, repo)
			if got := syncRepo(t, newRepo(t, t.TempDir(), feed, 100)); got != want {
				t.Errorf("%v, want %v", got, want)
			}
			feed.add(publish("open-99", "1.2.0"))
			g("before", fetch...)
			check("before", 4)

			// What comes back is seen again, as it is now.
			feed.add(index.Change{Crate: "acme-secret", Kind: index.KindRestore, Lines: line("acme-secret", "1.0.0")})
			g("before", fetch...)
			g("", "clone", "-q", "--bare", url, "again")
			for _, dir := range []string{"before", "again"} {
				g(dir, "fsck", "--strict", "--full")
				if diff := cmp.Diff(feed.files(t), gitFiles(t, filepath.Join(work, dir), "HEAD")); diff != "" {
					t.Error(diff)
				}
			}
		})
	}
}

// Many crates that go at once are one new beginning for whoever comes then, and no pass over the index each.
func TestManyTakenOutAtOnce(t *testing.T) {
	feed := &sliceFeed{}
	for i := range 60 {
		feed.add(publish(fmt.Sprintf("crate-%d", i), "1.0.0"))
	}
	for i := range 50 {
		feed.add(index.Change{Crate: fmt.Sprintf("crate-%d", i), Kind: index.KindRemoveCrate})
	}
	dir := t.TempDir()
	repo := newRepo(t, dir, feed, 1000)
	syncRepo(t, repo)
	bases, err := filepath.Glob(filepath.Join(dir, basePrefix+"*"))
	if err != nil || len(bases) != 2 {
		t.Errorf("%v %v", bases, err)
	}
	if diff := cmp.Diff(tips(t, feed, 1000)[110], syncRepo(t, repo).oid); diff != "" {
		t.Error(diff)
	}
	work := t.TempDir()
	git(t, work, "clone", "-q", "--bare", serveRepo(t, repo), ".")
	if got := git(t, work, "rev-list", "--count", "HEAD"); got != "1" {
		t.Errorf("%s commits", got)
	}
	if diff := cmp.Diff(feed.files(t), gitFiles(t, work, "HEAD")); diff != "" {
		t.Error(diff)
	}
}

// Two crates that go in one second, of which the last leaves the index as the first did, are two commits.
func TestTakenOutInOneSecond(t *testing.T) {
	feed := &sliceFeed{}
	feed.add(publish("open", "1.0.0"), publish("a", "1.0.0"), index.Change{Crate: "a", Kind: index.KindRemoveCrate}, publish("b", "1.0.0"),
		index.Change{Crate: "b", Kind: index.KindRemoveCrate}, index.Change{Crate: "c", Kind: index.KindRemoveCrate})
	for i := range feed.changes {
		feed.changes[i].At = feedStart
	}
	repo := newRepo(t, t.TempDir(), feed, 1000)
	slow := newRepo(t, t.TempDir(), feed, 1000)
	slow.batch = 1
	if got, want := syncRepo(t, repo), syncRepo(t, slow); got != want || got.n != 6 {
		t.Errorf("%+v, %+v", got, want)
	}
	work := t.TempDir()
	git(t, work, "clone", "-q", "--bare", serveRepo(t, repo), ".")
	if diff := cmp.Diff(feed.files(t), gitFiles(t, work, "HEAD")); diff != "" {
		t.Error(diff)
	}
}
