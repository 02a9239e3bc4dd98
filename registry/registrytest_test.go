package registry_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/crateyard/crateyard/registry"
	"github.com/crateyard/crateyard/registry/client"
	"github.com/crateyard/crateyard/registry/index/indextest"
	"github.com/crateyard/crateyard/registry/wire"
	"github.com/crateyard/crateyard/test/process"
)

// yard is a running server with one publisher, alice.
type yard struct {
	t          *testing.T
	url, ops   string // as the listeners are reached, whatever the public URL is
	data       string
	admin      string // token
	alice      string // token
	stop       func() error
	logs       *process.Log
	stopped    bool
	cancelOnly context.CancelFunc
	done       chan error
	rules      *contract // see contract_test.go
}

func open(t *testing.T, change func(*registry.Config)) *yard {
	t.Helper()
	y := openIn(t, t.TempDir(), change)
	y.makeAlice()
	return y
}

func (y *yard) makeAlice() {
	y.t.Helper()
	if _, err := client.New(y.url, y.admin).CreateUser(y.t.Context(), wire.CreateUser{Name: "alice", Role: "publisher"}); err != nil {
		y.t.Fatal(err)
	}
	y.alice = y.token("alice", nil)
}

func openIn(t *testing.T, dir string, change func(*registry.Config)) *yard {
	t.Helper()
	c := registry.DefaultConfig()
	c.Listen, c.OpsListen, c.Data = "127.0.0.1:0", "127.0.0.1:0", dir
	if change != nil {
		change(&c)
	}
	logs := &process.Log{}
	s, err := registry.Open(t.Context(), c, "test", logs)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx) }()
	y := &yard{t: t, url: "http://" + s.Addr(), ops: "http://" + s.OpsAddr(), data: dir, logs: logs, cancelOnly: cancel, done: done}
	y.stop = func() error {
		if y.stopped {
			return nil
		}
		y.stopped = true
		cancel()
		return <-done
	}
	t.Cleanup(func() {
		if err := y.stop(); err != nil {
			t.Errorf("stop: %v", err)
		}
	})
	if y.admin = c.AdminToken; y.admin != "" {
		return y
	}
	token, err := os.ReadFile(filepath.Join(dir, registry.AdminTokenName))
	if err != nil {
		t.Fatal(err)
	}
	y.admin = strings.TrimSpace(string(token))
	return y
}

func (y *yard) token(user string, scopes []string) string {
	y.t.Helper()
	tok, err := client.New(y.url, y.admin).CreateToken(y.t.Context(), wire.CreateToken{User: user, Name: "test", Scopes: scopes})
	if err != nil {
		y.t.Fatal(err)
	}
	return tok.Secret
}

// answer is what came back.
type answer struct {
	status int
	header http.Header
	body   string
}

func (y *yard) do(method, path, token string, body io.Reader, headers ...string) answer {
	y.t.Helper()
	req, err := http.NewRequestWithContext(y.t.Context(), method, y.url+path, body)
	if err != nil {
		y.t.Fatal(err)
	}
	if token != "" {
		req.Header.Set("Authorization", token)
	}
	for i := 0; i+1 < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	resp, err := (&http.Transport{DisableCompression: true, DisableKeepAlives: true}).RoundTrip(req)
	if err != nil {
		y.t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		y.t.Fatal(err)
	}
	if strings.HasPrefix(path, "/index/") && resp.StatusCode == http.StatusOK && method == "GET" && resp.Header.Get("Content-Encoding") == "" && path != "/index/config.json" {
		if err := indextest.Check(data); err != nil { // whatever a test serves must be what cargo reads
			y.t.Error(err)
		}
	}
	return answer{resp.StatusCode, resp.Header, string(data)}
}

func (y *yard) publish(frame []byte) answer {
	y.t.Helper()
	return y.do("PUT", "/api/v1/crates/new", y.alice, bytes.NewReader(frame))
}

// detail is the text of an error in cargo's shape; it fails the test when the answer has another.
func (a answer) detail(t *testing.T) string {
	t.Helper()
	var e wire.Errors
	if err := json.Unmarshal([]byte(a.body), &e); err != nil || len(e.Errors) != 1 || e.Errors[0].Detail == "" {
		t.Fatalf("not cargo's error shape: %q", a.body)
	}
	return e.Errors[0].Detail
}

// entry is one entry of an archive under test.
type entry struct {
	header tar.Header
	body   string
}

func file(name, body string) entry {
	return entry{tar.Header{Name: name, Mode: 0o644, Size: int64(len(body)), Typeflag: tar.TypeReg}, body}
}

func manifest(name, version string) string {
	return fmt.Sprintf("[package]\nname = %q\nversion = %q\n", name, version)
}

func archive(t *testing.T, entries ...entry) []byte {
	t.Helper()
	var buf bytes.Buffer
	zw := gzip.NewWriter(&buf)
	tw := tar.NewWriter(zw)
	for _, e := range entries {
		if err := tw.WriteHeader(&e.header); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(tw, e.body); err != nil {
			t.Fatal(err)
		}
	}
	if err := tw.Close(); err != nil {
		t.Fatal(err)
	}
	if err := zw.Close(); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

// crateFile is a good archive.
func crateFile(t *testing.T, name, version string) []byte {
	dir := name + "-" + version + "/"
	return archive(t, file(dir+"Cargo.toml", manifest(name, version)), file(dir+"src/lib.rs", "pub fn f() {}\n"))
}

func frame(meta string, crate []byte) []byte {
	var b []byte
	b = binary.LittleEndian.AppendUint32(b, uint32(len(meta)))
	b = append(b, meta...)
	b = binary.LittleEndian.AppendUint32(b, uint32(len(crate)))
	return append(b, crate...)
}

func metadata(name, version string) string {
	return fmt.Sprintf(`{"name":%q,"vers":%q,"deps":[],"features":{},"authors":[],"description":null,"license":null}`, name, version)
}

func good(t *testing.T, name, version string) []byte {
	return frame(metadata(name, version), crateFile(t, name, version))
}

func eventually(t *testing.T, what string, f func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		if f() {
			return
		}
	}
	t.Fatalf("never happened: %s", what)
}

// beginUpload sends all of a publish but its end and waits until the server is at work on it; finish sends the end.
func (y *yard) beginUpload(body []byte) (finish func() answer) {
	y.t.Helper()
	r, w := io.Pipe()
	result := make(chan answer, 1)
	go func() { result <- y.do("PUT", "/api/v1/crates/new", y.alice, r) }()
	head, tail := body[:len(body)-5], body[len(body)-5:]
	if _, err := w.Write(head); err != nil {
		y.t.Fatal(err)
	}
	eventually(y.t, "the upload has begun", func() bool {
		files, err := os.ReadDir(filepath.Join(y.data, "storage", "incoming"))
		return err == nil && len(files) > 0
	})
	return func() answer {
		if _, err := w.Write(tail); err != nil {
			y.t.Fatal(err)
		}
		_ = w.Close() // of a pipe: cannot fail
		return <-result
	}
}

// rawArchive writes entries block by block, so that it can hold what archive/tar would refuse to write.
func rawArchive(t *testing.T, entries ...entry) []byte {
	t.Helper()
	var buf bytes.Buffer
	zw := gzip.NewWriter(&buf)
	for _, e := range entries {
		var block [512]byte
		copy(block[:], e.header.Name)
		copy(block[100:], "0000644\x000000000\x000000000\x00")
		copy(block[124:], fmt.Sprintf("%011o\x00%011o\x00        %c", len(e.body), 0, e.header.Typeflag))
		copy(block[257:], "ustar\x0000")
		sum := 0
		for _, b := range block {
			sum += int(b)
		}
		copy(block[148:], fmt.Sprintf("%06o\x00 ", sum))
		padding := make([]byte, (512-len(e.body)%512)%512)
		for _, part := range [][]byte{block[:], []byte(e.body), padding} {
			if _, err := zw.Write(part); err != nil {
				t.Fatal(err)
			}
		}
	}
	if _, err := zw.Write(make([]byte, 1024)); err != nil {
		t.Fatal(err)
	}
	if err := zw.Close(); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

// canceled is a context that has ended: a server that gets it stops at once.
func canceled(t *testing.T) (context.Context, context.CancelFunc) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	return ctx, cancel
}
