package source

import (
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
