package gitindex

import (
	"archive/tar"
	"context"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http/httptest"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/crateyard/crateyard/registry/index"
)

// sliceFeed is a feed in memory. Its numbers have gaps.
type sliceFeed struct {
	mu      sync.Mutex
	changes []index.Change
}

func (f *sliceFeed) IndexChanges(_ context.Context, after int64, limit int) ([]index.Change, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	i, _ := slices.BinarySearchFunc(f.changes, after+1, func(c index.Change, seq int64) int { return int(c.Seq - seq) })
	return slices.Clone(f.changes[i:min(len(f.changes), i+limit)]), nil
}

var feedStart = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

func (f *sliceFeed) add(changes ...index.Change) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, c := range changes {
		c.Seq = int64(3 * (len(f.changes) + 1))
		c.At = feedStart.Add(time.Duration(len(f.changes)) * time.Second)
		f.changes = append(f.changes, c)
	}
}

// head gives a feed that ends after n changes.
func (f *sliceFeed) head(n int) *sliceFeed { return &sliceFeed{changes: f.changes[:n]} }

// files gives the index as it is after all changes: what the sparse index serves.
func (f *sliceFeed) files(t testing.TB) map[string]string {
	t.Helper()
	files := map[string]string{}
	for _, c := range f.changes {
		p := index.Path(c.Crate)
		after, err := c.Apply([]byte(files[p]))
		if err != nil {
			t.Fatal(err)
		}
		if files[p] = string(after); len(after) == 0 {
			delete(files, p)
		}
	}
	files["config.json"] = testConfig
	return files
}

// history gives how many commits there are from where the history begins anew for the last time, every root commits or at a change that cuts it.
func (f *sliceFeed) history(root int) int {
	n := len(f.changes)
	for i := n; i > 0; i-- {
		if i%root == 0 || cuts(f.changes[i-1]) {
			return n - i + 1
		}
	}
	return n + 1
}

const testConfig = `{"dl":"http://127.0.0.1/crates","api":"http://127.0.0.1"}` + "\n"

func line(name, vers string) []byte {
	return index.Entry{
		Name: name, Vers: vers, Cksum: strings.Repeat("0123456789abcdef", 4), PubTime: "2026-11-23T12:00:00Z",
		Deps: []index.Dependency{}, Features: map[string][]string{},
	}.Line()
}

func publish(name, vers string) index.Change {
	return index.Change{Crate: name, Kind: index.KindPublish, Num: vers, Lines: line(name, vers)}
}

// randomFeed makes n changes of all kinds to some crates. It comes back to earlier states often.
func randomFeed(seed uint64, n int) *sliceFeed {
	r := rand.New(rand.NewPCG(seed, 0))
	f := &sliceFeed{}
	names := []string{"a", "B", "xy", "abc", "Abd", "serde", "serde-json", "ser", "se-x", "seed", "foo_bar", "foo-baz", "config", "zzzz"}
	versions := map[string][]string{} // what the crate has
	removed := map[string][]byte{}    // what a removed crate had
	file := map[string][]byte{}
	next := map[string]int{}
	for len(f.changes) < n {
		name := names[r.IntN(len(names))]
		c := index.Change{Crate: name}
		have := versions[name]
		switch k := r.IntN(20); {
		case k < 7 || len(have) == 0 && k < 17:
			next[name]++
			c = publish(name, fmt.Sprintf("1.%d.0", next[name]))
			versions[name] = append(have, c.Num)
		case len(have) == 0 && removed[name] != nil:
			c.Kind, c.Lines = index.KindRestore, removed[name]
			for l := range strings.SplitSeq(string(removed[name]), "\n") {
				if _, rest, ok := strings.Cut(l, `"vers":"`); ok {
					num, _, _ := strings.Cut(rest, `"`)
					versions[name] = append(versions[name], num)
				}
			}
		case len(have) == 0:
			continue
		case k < 12:
			c.Kind, c.Num = index.KindYank, have[r.IntN(len(have))]
		case k < 17:
			c.Kind, c.Num = index.KindUnyank, have[r.IntN(len(have))]
		case k < 19:
			i := r.IntN(len(have))
			c.Kind, c.Num = index.KindRemove, have[i]
			versions[name] = slices.Delete(slices.Clone(have), i, i+1)
		default:
			c.Kind = index.KindRemoveCrate
			removed[name] = file[name]
			versions[name] = nil
		}
		after, err := c.Apply(file[name])
		if err != nil {
			panic(err)
		}
		file[name] = after
		f.add(c)
	}
	return f
}

// newRepo gives a repository whose history begins anew every root commits.
func newRepo(t testing.TB, dir string, feed Feed, root int64) *Repo {
	t.Helper()
	r := New(Options{Dir: dir, Config: []byte(testConfig), Feed: feed, Log: slog.New(slog.NewTextHandler(t.Output(), nil))})
	r.rootEvery, r.keepLog = root, 4*root
	t.Cleanup(func() {
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	})
	return r
}

func syncRepo(t testing.TB, r *Repo) tip {
	t.Helper()
	if err := r.Sync(t.Context()); err != nil {
		t.Fatal(err)
	}
	_, tip, err := r.current()
	if err != nil {
		t.Fatal(err)
	}
	return tip
}

// serveRepo gives the address of the repository's handler.
func serveRepo(t testing.TB, r *Repo) string {
	t.Helper()
	s := httptest.NewServer(r.Handler())
	t.Cleanup(s.Close)
	return s.URL
}

// git runs git in dir and gives what it wrote, without the space around it.
func git(t testing.TB, dir string, args ...string) string {
	t.Helper()
	out, err := tryGit(t, dir, args...)
	if err != nil {
		t.Fatalf("git %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return out
}

func tryGit(t testing.TB, dir string, args ...string) (string, error) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "git", args...)
	cmd.Dir = dir
	cmd.Env = append(cmd.Environ(), "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_SYSTEM=/dev/null", "HOME="+filepath.Join(t.TempDir()), "GIT_TERMINAL_PROMPT=0", "LC_ALL=C")
	out, err := cmd.CombinedOutput()
	return strings.TrimSpace(string(out)), err
}

// gitFiles gives the files of a commit.
func gitFiles(t testing.TB, dir, commit string) map[string]string {
	t.Helper()
	files := map[string]string{}
	r := tar.NewReader(strings.NewReader(git(t, dir, "archive", "--format=tar", commit)))
	for {
		h, err := r.Next()
		if err == io.EOF {
			return files
		}
		if err != nil {
			t.Fatal(err)
		}
		if h.Typeflag != tar.TypeReg {
			continue
		}
		content, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		files[h.Name] = string(content)
	}
}
