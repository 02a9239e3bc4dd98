package source

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

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
