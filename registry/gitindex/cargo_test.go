package gitindex

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/crateyard/crateyard/registry/index"
	"github.com/crateyard/crateyard/test/debian"
)

// yard is as much of a registry as cargo needs around the git index: it takes crates, hands them out and yanks them.
type yard struct {
	feed   *sliceFeed
	mu     sync.Mutex
	crates map[string][]byte // by name/version
}

func (y *yard) publish(name, vers string, archive []byte) {
	sum := sha256.Sum256(archive)
	e := index.Entry{
		Name: name, Vers: vers, Cksum: hex.EncodeToString(sum[:]), PubTime: "2026-11-23T12:00:00Z",
		Deps: []index.Dependency{}, Features: map[string][]string{},
	}
	y.mu.Lock()
	defer y.mu.Unlock()
	y.crates[name+"/"+vers] = archive
	y.feed.add(index.Change{Crate: name, Kind: index.KindPublish, Num: vers, Lines: e.Line()})
}

func (y *yard) handler() *http.ServeMux {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /crates/{name}/{vers}/download", func(w http.ResponseWriter, r *http.Request) {
		y.mu.Lock()
		defer y.mu.Unlock()
		_, _ = w.Write(y.crates[r.PathValue("name")+"/"+r.PathValue("vers")])
	})
	mux.HandleFunc("PUT /api/v1/crates/new", func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		n := 4 + binary.LittleEndian.Uint32(body)
		var m struct{ Name, Vers string }
		if err := json.Unmarshal(body[4:n], &m); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		y.publish(m.Name, m.Vers, body[n+4:])
		fmt.Fprint(w, `{}`)
	})
	mux.HandleFunc("DELETE /api/v1/crates/{name}/{vers}/yank", func(w http.ResponseWriter, r *http.Request) {
		y.feed.add(index.Change{Crate: r.PathValue("name"), Kind: index.KindYank, Num: r.PathValue("vers")})
		fmt.Fprint(w, `{"ok":true}`)
	})
	return mux
}

// archive makes a crate without code.
func archive(t *testing.T, name, vers string) []byte {
	t.Helper()
	var buf bytes.Buffer
	z := gzip.NewWriter(&buf)
	w := tar.NewWriter(z)
	for file, content := range map[string]string{"Cargo.toml": manifest(name, vers), "src/lib.rs": ""} {
		if err := w.WriteHeader(&tar.Header{Name: name + "-" + vers + "/" + file, Size: int64(len(content)), Mode: 0o644}); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, content); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

func manifest(name, vers string) string {
	return fmt.Sprintf("[package]\nname = %q\nversion = %q\nedition = \"2021\"\ndescription = \"d\"\nlicense = \"MIT\"\n", name, vers)
}

// Real cargo fetches from the git index, publishes to it and yanks: with libgit2 old and new, and with the git program. None of
// them minds that the history begins anew.
func TestCargo(t *testing.T) {
	folder, err := debian.Program("cargo", "cargo") // 1.65
	if err != nil {
		t.Fatal(err)
	}
	old := filepath.Join(folder, "cargo")
	for name, tc := range map[string]struct {
		cargo string
		env   string
	}{
		"libgit2":  {"cargo", "CARGO_NET_GIT_FETCH_WITH_CLI=false"},
		"git":      {"cargo", "CARGO_NET_GIT_FETCH_WITH_CLI=true"},
		"1.65":     {old, "CARGO_NET_GIT_FETCH_WITH_CLI=false"},
		"1.65 git": {old, "CARGO_NET_GIT_FETCH_WITH_CLI=true"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			y := &yard{feed: &sliceFeed{}, crates: map[string][]byte{}}
			mux := y.handler()
			server := httptest.NewServer(mux)
			defer server.Close()
			repo := newRepo(t, t.TempDir(), y.feed, 10)
			repo.Config = index.NewConfig(server.URL, false).JSON()
			mux.Handle("/git/index/", http.StripPrefix("/git/index", repo.Handler()))
			home, work := t.TempDir(), t.TempDir()
			write(t, filepath.Join(home, "config.toml"), "[registries.yard]\nindex = \""+server.URL+"/git/index\"\n")
			cargo := func(dir string, args ...string) string {
				t.Helper()
				cmd := exec.CommandContext(t.Context(), tc.cargo, args...)
				cmd.Dir = filepath.Join(work, dir)
				cmd.Env = append(cmd.Environ(), "CARGO_HOME="+home, "CARGO_REGISTRIES_YARD_TOKEN=t", "CARGO_TERM_COLOR=never", "CARGO_NET_RETRY=0", tc.env)
				out, err := cmd.CombinedOutput()
				if err != nil {
					t.Fatalf("cargo %s: %v\n%s", strings.Join(args, " "), err, out)
				}
				return string(out)
			}
			locked := func(want string) {
				t.Helper()
				lock, err := os.ReadFile(filepath.Join(work, "app", "Cargo.lock"))
				if err != nil {
					t.Fatal(err)
				}
				source := "version = \"" + want + "\"\nsource = \"registry+" + server.URL + "/git/index\"\nchecksum"
				if !strings.Contains(string(lock), source) {
					t.Fatalf("no\n%s\nin\n%s", source, lock)
				}
			}
			release := func(vers string) {
				t.Helper()
				write(t, filepath.Join(work, "hello", "Cargo.toml"), manifest("hello", vers))
				write(t, filepath.Join(work, "hello", "src", "lib.rs"), "")
				cargo("hello", "publish", "--registry", "yard", "--no-verify", "--allow-dirty")
			}

			y.publish("hello", "0.1.0", archive(t, "hello", "0.1.0"))
			write(t, filepath.Join(work, "app", "Cargo.toml"), manifest("app", "0.0.0")+"[dependencies]\nhello = {version = \"0.1\", registry = \"yard\"}\n")
			write(t, filepath.Join(work, "app", "src", "lib.rs"), "")
			cargo("app", "fetch")
			locked("0.1.0")
			release("0.1.1")
			cargo("app", "update")
			locked("0.1.1")
			cargo("hello", "yank", "--registry", "yard", "--version", "0.1.1", "hello")
			if err := os.Remove(filepath.Join(work, "app", "Cargo.lock")); err != nil {
				t.Fatal(err)
			}
			cargo("app", "generate-lockfile")
			locked("0.1.0")
			for i := range 25 {
				y.publish("other", fmt.Sprintf("0.%d.0", i), archive(t, "other", fmt.Sprintf("0.%d.0", i)))
			}
			release("0.1.2")
			cargo("app", "update")
			locked("0.1.2")
			cargo("app", "check", "--locked")
		})
	}
}

func write(t *testing.T, path, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}
