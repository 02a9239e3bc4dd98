package source

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/cgi"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/crateyard/crateyard/registry/crate"
)

// origin is a git repository that the real git serves over HTTP, and what stands between it and us.
type origin struct {
	t     *testing.T
	dir   string
	url   string
	gets  atomic.Int64 // requests for references
	packs atomic.Int64
	mu    sync.Mutex
	wrap  func(w http.ResponseWriter, r *http.Request, next http.Handler) // nil: nothing
}

func newOrigin(t *testing.T) *origin {
	o := &origin{t: t, dir: filepath.Join(t.TempDir(), "db")}
	if err := os.MkdirAll(o.dir, 0o755); err != nil {
		t.Fatal(err)
	}
	o.git("init", "-q", "-b", "main")
	git, err := exec.LookPath("git")
	if err != nil {
		t.Fatal(err)
	}
	backend := &cgi.Handler{Path: git, Args: []string{"http-backend"}, Env: []string{"GIT_PROJECT_ROOT=" + filepath.Dir(o.dir), "GIT_HTTP_EXPORT_ALL=1", "HOME=" + t.TempDir()}, Stderr: io.Discard}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/info/refs") {
			o.gets.Add(1)
		} else {
			o.packs.Add(1)
		}
		o.mu.Lock()
		wrap := o.wrap
		o.mu.Unlock()
		if wrap == nil {
			backend.ServeHTTP(w, r)
			return
		}
		wrap(w, r, backend)
	}))
	t.Cleanup(srv.Close)
	o.url = srv.URL + "/db/.git"
	return o
}

func (o *origin) git(args ...string) string {
	o.t.Helper()
	cmd := exec.Command("git", args...)
	cmd.Dir = o.dir
	cmd.Env = append(os.Environ(), "GIT_CONFIG_NOSYSTEM=1", "HOME="+o.t.TempDir(), "GIT_AUTHOR_NAME=a", "GIT_AUTHOR_EMAIL=a@example.org", "GIT_COMMITTER_NAME=a", "GIT_COMMITTER_EMAIL=a@example.org")
	out, err := cmd.CombinedOutput()
	if err != nil {
		o.t.Fatalf("git %v: %v\n%s", args, err, out)
	}
	return strings.TrimSpace(string(out))
}

// commit writes advisories, by id, about crates of the name of their folder.
func (o *origin) commit(advisories map[string]string) string {
	o.t.Helper()
	for id, pkg := range advisories {
		o.write("crates/"+pkg+"/"+id+".md", fmt.Sprintf("```toml\n[advisory]\nid = %q\npackage = %q\n[versions]\npatched = [\">= 1.0.0\"]\n```\n\n# Trouble\n", id, pkg))
	}
	o.git("add", "-A")
	o.git("commit", "-q", "-m", "more")
	return o.git("rev-parse", "HEAD")
}

func (o *origin) write(name, text string) {
	o.t.Helper()
	path := filepath.Join(o.dir, name)
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(text), 0o644)); err != nil {
		o.t.Fatal(err)
	}
}

// between puts a handler before git's.
func (o *origin) between(wrap func(w http.ResponseWriter, r *http.Request, next http.Handler)) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.wrap = wrap
}

func open(t *testing.T, source, cache string) *Source {
	t.Helper()
	s, err := Open(t.Context(), source, cache)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func has(t *testing.T, s *Source, pkg string, want ...string) {
	t.Helper()
	var got []string
	for _, a := range s.DB().About(pkg, crate.Version{}) {
		got = append(got, a.ID)
	}
	if strings.Join(got, " ") != strings.Join(want, " ") {
		t.Errorf("%s: %q, want %q", pkg, got, want)
	}
}

func packsIn(t *testing.T, dir string) []string {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil {
		t.Fatal(err)
	}
	return names
}

func TestRepository(t *testing.T) {
	o, cache := newOrigin(t), filepath.Join(t.TempDir(), "new", "folder")
	o.commit(map[string]string{"A-1": "a", "A-2": "a"})
	head := o.commit(map[string]string{"B-1": "b"})
	s := open(t, o.url, cache)
	has(t, s, "a", "A-1", "A-2")
	has(t, s, "b", "B-1")
	if s.Commit() != head || s.DB().Len() != 3 || s.Problems() != nil {
		t.Error(s.Commit(), s.DB().Len(), s.Problems())
	}

	// Nothing new: no pack is asked for.
	if changed, err := s.Update(t.Context()); changed || err != nil || o.packs.Load() != 1 {
		t.Error(changed, err, o.packs.Load())
	}
	o.git("rm", "-q", "-r", "crates/a")
	o.write("crates/b/bad.md", "nothing")
	head = o.commit(map[string]string{"B-2": "b"})
	before := s.DB()
	if changed, err := s.Update(t.Context()); !changed || err != nil {
		t.Error(changed, err)
	}
	has(t, s, "a")
	has(t, s, "b", "B-1", "B-2")
	if before.Len() != 3 {
		t.Error("a database that is in use was changed")
	}
	if len(s.Problems()) != 1 || !strings.Contains(s.Problems()[0].Error(), "crates/b/bad.md") {
		t.Error(s.Problems())
	}
	if names := packsIn(t, cache); len(names) != 1 || !strings.HasSuffix(names[0], "-"+head+".pack") {
		t.Error(names)
	}

	// A server that starts while the repository is away has what was fetched.
	gets := o.gets.Load()
	o.between(func(w http.ResponseWriter, _ *http.Request, _ http.Handler) { w.WriteHeader(http.StatusBadGateway) })
	s = open(t, o.url, cache)
	has(t, s, "b", "B-1", "B-2")
	if s.Commit() != head || o.gets.Load() != gets || len(s.Problems()) != 1 {
		t.Error("the network was asked", s.Problems())
	}
	if changed, err := s.Update(t.Context()); changed || err == nil || !strings.Contains(err.Error(), "502") {
		t.Error(changed, err)
	}
	has(t, s, "b", "B-1", "B-2")

	// Another address has nothing of it.
	if _, err := Open(t.Context(), o.url+"/", cache); err == nil {
		t.Error("a database of another address was taken")
	}
}

// A file that is damaged is fetched again; leftovers go.
func TestDamagedCache(t *testing.T) {
	for name, damage := range map[string]func([]byte) []byte{
		"empty":     func([]byte) []byte { return nil },
		"cut":       func(b []byte) []byte { return b[:len(b)/2] },
		"cut trail": func(b []byte) []byte { return b[:len(b)-25] },
		"flipped":   func(b []byte) []byte { b[len(b)/2] ^= 0x10; return b },
		"text":      func([]byte) []byte { return []byte("<html>") },
	} {
		t.Run(name, func(t *testing.T) {
			o, cache := newOrigin(t), t.TempDir()
			head := o.commit(map[string]string{"A-1": "a"})
			open(t, o.url, cache)
			file := packsIn(t, cache)[0]
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			temp := strings.TrimSuffix(file, head+".pack") + "1.tmp"
			if err := errors.Join(os.WriteFile(file, damage(data), 0o644), os.WriteFile(temp, nil, 0o644), os.Chtimes(temp, time.Time{}, time.Now().Add(-2*staleTemp))); err != nil {
				t.Fatal(err)
			}
			s := open(t, o.url, cache)
			has(t, s, "a", "A-1")
			if o.packs.Load() != 2 {
				t.Errorf("%d packs were fetched", o.packs.Load())
			}
			if names := packsIn(t, cache); len(names) != 1 || names[0] != file {
				t.Error(names)
			}
		})
	}
}

// What goes wrong on the way leaves the database that was there, and says what it is.
func TestFailedUpdates(t *testing.T) {
	isRefs := func(r *http.Request) bool { return strings.HasSuffix(r.URL.Path, "/info/refs") }
	for name, tc := range map[string]struct {
		want string
		wrap func(w http.ResponseWriter, r *http.Request, next http.Handler)
	}{
		"gone": {"repository not found", func(w http.ResponseWriter, _ *http.Request, _ http.Handler) {
			http.Error(w, strings.Repeat("gone\n", 1000), 404)
		}},
		"login":     {"authentication required", func(w http.ResponseWriter, _ *http.Request, _ http.Handler) { w.WriteHeader(401) }},
		"web page":  {"", func(w http.ResponseWriter, _ *http.Request, _ http.Handler) { fmt.Fprint(w, "<html>welcome</html>") }},
		"no answer": {"", func(w http.ResponseWriter, _ *http.Request, _ http.Handler) { panic(http.ErrAbortHandler) }},
		"endless refs": {"more than 64 MiB", func(w http.ResponseWriter, r *http.Request, next http.Handler) {
			rec := httptest.NewRecorder()
			next.ServeHTTP(rec, r)
			_, _ = io.WriteString(w, strings.TrimSuffix(rec.Body.String(), "0000"))
			line := fmt.Sprintf("%s refs/heads/%s\n", strings.Repeat("a", 40), strings.Repeat("b", 60000))
			for b := fmt.Appendf(nil, "%04x%s", len(line)+4, line); ; {
				if _, err := w.Write(b); err != nil {
					return
				}
			}
		}},
		"cut pack": {"", func(w http.ResponseWriter, r *http.Request, next http.Handler) {
			if isRefs(r) {
				next.ServeHTTP(w, r)
				return
			}
			rec := httptest.NewRecorder()
			next.ServeHTTP(rec, r)
			_, _ = w.Write(rec.Body.Bytes()[:rec.Body.Len()-40])
		}},
		"endless pack": {"more than 64 MiB", func(w http.ResponseWriter, r *http.Request, next http.Handler) {
			if isRefs(r) {
				next.ServeHTTP(w, r)
				return
			}
			rec := httptest.NewRecorder()
			next.ServeHTTP(rec, r)
			for b := rec.Body.Bytes(); ; {
				if _, err := w.Write(b); err != nil {
					return
				}
			}
		}},
		"other commit": {"", func(w http.ResponseWriter, r *http.Request, next http.Handler) {
			if !isRefs(r) {
				next.ServeHTTP(w, r)
				return
			}
			rec := httptest.NewRecorder()
			next.ServeHTTP(rec, r)
			head := rec.Body.String()[strings.Index(rec.Body.String(), "0000")+8:][:40]
			fmt.Fprint(w, strings.ReplaceAll(rec.Body.String(), head, strings.Repeat("1", 40)))
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o, cache := newOrigin(t), t.TempDir()
			o.commit(map[string]string{"A-1": "a"})
			s := open(t, o.url, cache)
			kept := packsIn(t, cache)
			o.commit(map[string]string{"A-2": "a"})
			o.between(tc.wrap)
			changed, err := s.Update(t.Context())
			if changed || err == nil || !strings.Contains(err.Error(), tc.want) || !strings.HasPrefix(err.Error(), "advisory database "+o.url+": ") || strings.Contains(err.Error(), "\n") || len(err.Error()) > 500 {
				t.Error(changed, err)
			}
			has(t, s, "a", "A-1")
			if now := packsIn(t, cache); len(now) != 1 || now[0] != kept[0] {
				t.Error(now)
			}
			o.between(nil)
			if changed, err := s.Update(t.Context()); !changed || err != nil {
				t.Error(changed, err)
			}
			has(t, s, "a", "A-1", "A-2")
		})
	}
}

// A server that never answers is waited for as long as the caller says.
func TestHangingServer(t *testing.T) {
	o := newOrigin(t)
	o.between(func(_ http.ResponseWriter, r *http.Request, _ http.Handler) { <-r.Context().Done() })
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		for o.gets.Load() == 0 {
			time.Sleep(time.Millisecond)
		}
		cancel()
	}()
	if _, err := Open(ctx, o.url, t.TempDir()); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

// What is no database, or more than one could be, does not come in.
func TestHarmfulRepositories(t *testing.T) {
	for name, tc := range map[string]struct {
		want string
		make func(o *origin)
	}{
		"empty repository": {"empty", func(*origin) {}},
		"no advisories":    {"no advisory database", func(o *origin) { o.write("README.md", "x"); o.commit(nil) }},
		"unborn head": {"", func(o *origin) {
			o.commit(map[string]string{"A-1": "a"})
			o.git("symbolic-ref", "HEAD", "refs/heads/none")
		}},
	} {
		t.Run(name, func(t *testing.T) {
			o, cache := newOrigin(t), t.TempDir()
			tc.make(o)
			if _, err := Open(t.Context(), o.url, cache); err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Error(err)
			}
			if names := packsIn(t, cache); len(names) != 0 {
				t.Error(names)
			}
		})
	}
	// Links lead nowhere, and what is too long is told.
	o := newOrigin(t)
	o.write("crates/a/LONG.md", strings.Repeat("x", 1<<20))
	if err := os.Symlink("/etc/hostname", filepath.Join(o.dir, "crates", "a", "LINK.md")); err != nil {
		t.Fatal(err)
	}
	o.commit(map[string]string{"A-1": "a"})
	s := open(t, o.url, t.TempDir())
	has(t, s, "a", "A-1")
	if len(s.Problems()) != 1 || !strings.Contains(s.Problems()[0].Error(), "LONG.md") {
		t.Error(s.Problems())
	}
}

// A folder that cannot be written to does not keep a database away.
func TestCacheThatFails(t *testing.T) {
	o, cache := newOrigin(t), t.TempDir()
	head := o.commit(map[string]string{"A-1": "a"})
	s := &Source{address: o.url}
	repo, err := newRepository(o.url, cache)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Join(cache, repo.prefix+"-"+head+packEnd, "in the way"), 0o755); err != nil {
		t.Fatal(err)
	}
	s.repo = repo
	if changed, err := s.Update(t.Context()); !changed || err != nil {
		t.Fatal(changed, err)
	}
	has(t, s, "a", "A-1")
	if len(s.Problems()) != 1 || !strings.Contains(s.Problems()[0].Error(), "cannot be kept") {
		t.Error(s.Problems())
	}
	if names := packsIn(t, cache); len(names) != 1 {
		t.Error(names)
	}
	if err := os.WriteFile(filepath.Join(cache, "file"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(t.Context(), o.url, filepath.Join(cache, "file")); err == nil {
		t.Error("a file is no folder")
	}
}

func TestFolder(t *testing.T) {
	o := newOrigin(t)
	o.commit(map[string]string{"A-1": "a"})
	s := open(t, o.dir, "")
	has(t, s, "a", "A-1")
	if changed, err := s.Update(t.Context()); changed || err != nil {
		t.Error(changed, err)
	}
	o.commit(map[string]string{"A-2": "a"})
	if changed, err := s.Update(t.Context()); !changed || err != nil {
		t.Error(changed, err)
	}
	has(t, s, "a", "A-1", "A-2")
	if err := os.Rename(filepath.Join(o.dir, "crates"), filepath.Join(o.dir, "away")); err != nil {
		t.Fatal(err)
	}
	if changed, err := s.Update(t.Context()); changed || err == nil || !strings.Contains(err.Error(), o.dir) {
		t.Error(changed, err)
	}
	has(t, s, "a", "A-1", "A-2")
	if _, err := Open(t.Context(), filepath.Join(o.dir, "none"), ""); err == nil {
		t.Error("a folder that is not there was opened")
	}
}

// A file that cannot be read any more is told, and what it said before still holds until it can be read, or is gone.
func TestFolderWithABrokenFile(t *testing.T) {
	o := newOrigin(t)
	o.commit(map[string]string{"A-1": "a", "B-1": "b"})
	o.write("crates/c/C-1.md", "half a fi")
	s := open(t, "file://"+o.dir, "")
	faults := func(want ...string) {
		t.Helper()
		if len(s.Problems()) != len(want) {
			t.Fatal(s.Problems())
		}
		for i, p := range s.Problems() {
			if !strings.Contains(p.Error(), want[i]) {
				t.Error(p)
			}
		}
	}
	faults("crates/c/C-1.md: it does not begin with")
	before := s.DB()
	o.write("crates/a/A-1.md", "half a fi")
	if changed, err := s.Update(t.Context()); changed || err != nil || s.DB() != before {
		t.Error(changed, err)
	}
	faults("crates/a/A-1.md", "crates/c/C-1.md")
	has(t, s, "a", "A-1")
	has(t, s, "b", "B-1")
	o.commit(map[string]string{"A-2": "a", "C-1": "c"})
	if changed, err := s.Update(t.Context()); !changed || err != nil {
		t.Error(changed, err)
	}
	faults("crates/a/A-1.md")
	has(t, s, "a", "A-1", "A-2")
	has(t, s, "c", "C-1")
	if err := os.Remove(filepath.Join(o.dir, "crates/a/A-1.md")); err != nil {
		t.Fatal(err)
	}
	if changed, err := s.Update(t.Context()); !changed || err != nil {
		t.Error(changed, err)
	}
	faults()
	has(t, s, "a", "A-2")
}

// Readers and updates do not disturb each other.
func TestConcurrentUse(t *testing.T) {
	o := newOrigin(t)
	o.commit(map[string]string{"A-0": "a"})
	s := open(t, o.url, t.TempDir())
	done := make(chan struct{})
	var readers sync.WaitGroup
	for range 4 {
		readers.Go(func() {
			for most := 0; ; {
				select {
				case <-done:
					return
				default:
				}
				if n := s.DB().Len(); n < most {
					t.Errorf("%d advisories after %d", n, most)
					return
				} else {
					most = n
				}
				time.Sleep(time.Millisecond)
			}
		})
	}
	for i := range 3 {
		o.commit(map[string]string{fmt.Sprintf("A-%d", i+1): "a"})
		var updates sync.WaitGroup
		var changes atomic.Int64
		for range 3 {
			updates.Go(func() {
				changed, err := s.Update(t.Context())
				if err != nil {
					t.Error(err)
				}
				if changed {
					changes.Add(1)
				}
			})
		}
		updates.Wait()
		if changes.Load() != 1 {
			t.Errorf("%d of three updates saw the change", changes.Load())
		}
	}
	close(done)
	readers.Wait()
	if s.DB().Len() != 4 {
		t.Error(s.DB().Len())
	}
}

// GitHub's addresses work without .git and with a redirect; only the first request may be redirected.
func TestRedirect(t *testing.T) {
	o := newOrigin(t)
	o.commit(map[string]string{"A-1": "a"})
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, strings.TrimSuffix(o.url, "/db/.git")+"/db/.git/info/refs?"+r.URL.RawQuery, http.StatusMovedPermanently)
	}))
	t.Cleanup(srv.Close)
	has(t, open(t, srv.URL+"/old", t.TempDir()), "a", "A-1")
}
