package hostile

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/crateyard/crateyard/registry/client"
	"github.com/crateyard/crateyard/registry/wire"
	"github.com/crateyard/crateyard/test/serve"
)

// Two hundred uploads at once that have the server hold as much as the limits allow, and then stand still, stay within bounds: those that
// have room are ended for standing still, the others are told to come again. Small uploads do not wait for them, nor do large ones of
// other users.
func TestManyUploadsThatAreHeld(t *testing.T) {
	t.Parallel()
	dense := denseMetadata(t)
	text := until(frame(dense, nil), 4+len(dense)-1)
	dense = until(frame(dense, make([]byte, 1000)), 8+len(dense))
	manifest := manifestThenNoise(t, "[features]\nf = ["+strings.Repeat(`"",`, 49_000)+"]\n#"+strings.Repeat("x", 800_000))
	paths := pathsThenNoise(t)
	for name, parts := range map[string][][]byte{ // of bodies
		"metadata":                 {dense},
		"text of metadata":         {text},
		"manifest":                 {manifest},
		"paths":                    {paths},
		"everything, of two users": {dense, dense, text, text, manifest, manifest, paths, paths},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel() // it takes as long as the server is patient: half a minute
			s := start(t)
			bob := publisher(t, s, "bob")
			transport := &http.Transport{}
			defer transport.CloseIdleConnections()
			var wg sync.WaitGroup
			var slow, away atomic.Int32
			users := []string{s.AdminToken}
			if len(parts) > 1 {
				users = append(users, publisher(t, s, "eve"))
			}
			for i := range 200 {
				wg.Go(func() {
					status, after, text, err := stall(s, transport, users[i%len(users)], parts[i%len(parts)])
					switch {
					case status == http.StatusRequestTimeout && strings.Contains(text, "stood still"):
						slow.Add(1)
					case status == http.StatusServiceUnavailable && after != "" && strings.Contains(text, "too many uploads"):
						away.Add(1)
					default:
						t.Errorf("%d %s %v", status, text, err)
					}
				})
			}
			time.Sleep(2 * time.Second) // most of them stand by now; nothing depends on it
			for i := range 10 {
				for _, o := range []struct {
					token, what string
					metadata    func(name string) []byte
				}{{s.AdminToken, "small", metadata}, {bob, "large", func(name string) []byte { return longReadme(name, 500_000) }}} {
					if o.what == "large" && len(users) > 1 {
						continue // they have all of it
					}
					name := fmt.Sprintf("%s-%d", o.what, i)
					body := frame(o.metadata(name), withManifest(t, name, "", 100))
					begin := time.Now()
					if status, text, err := sendAs(s, o.token, bytes.NewReader(body), int64(len(body))); status != 200 {
						t.Errorf("a %s publish: %d %s %v", o.what, status, text, err)
					}
					if d := time.Since(begin); d > soon {
						t.Errorf("a %s publish took %s", o.what, d)
					}
				}
			}
			served(t, s, &wg)
			t.Logf("%d stood still, %d were turned away, %d MiB", slow.Load(), away.Load(), peak(t, s))
			if slow.Load() == 0 || away.Load() == 0 {
				t.Errorf("%d stood still, %d were turned away", slow.Load(), away.Load())
			}
			if mib := peak(t, s); mib > most {
				t.Errorf("the server had %d MiB of memory", mib)
			}
			if files, err := os.ReadDir(filepath.Join(s.Data, "storage", "incoming")); err != nil || len(files) > 0 {
				t.Errorf("left: %v %v", files, err)
			}
		})
	}
}

// until gives a body without its end; whoever sends it says that it goes on.
func until(body []byte, n int) []byte { return body[:n:n] }

// denseMetadata is metadata within all limits that takes a multiple of its text when it is read.
func denseMetadata(t *testing.T) []byte {
	t.Helper()
	type dep struct {
		Name     string   `json:"name"`
		Req      string   `json:"version_req"`
		Registry string   `json:"registry"`
		Features []string `json:"features"`
	}
	repeated := func(s string, n int) []string { return strings.Split(strings.Repeat(s+" ", n)[:n*(len(s)+1)-1], " ") }
	m := struct {
		Name     string              `json:"name"`
		Vers     string              `json:"vers"`
		Deps     []dep               `json:"deps"`
		Features map[string][]string `json:"features"`
	}{"held", "1.0.0", nil, map[string][]string{}}
	for i := range 500 {
		m.Deps = append(m.Deps, dep{fmt.Sprintf("d%d", i), "1", "https://github.com/rust-lang/crates.io-index", repeated("a", 245)})
	}
	for i := range 300 {
		m.Features[fmt.Sprintf("f%d", i)] = repeated("f0", 180)
	}
	data, err := json.Marshal(m)
	if err != nil || len(data) > 1<<20 {
		t.Fatal(len(data), err)
	}
	return data
}

func longReadme(name string, n int) []byte {
	return fmt.Appendf(nil, `{"name":%q,"vers":"1.0.0","deps":[],"features":{},"readme_file":"README.md","readme":%q}`, name, strings.Repeat("readme, ", n/8))
}

// manifestThenNoise is an upload up to the middle of the file that stands behind its manifest.
func manifestThenNoise(t *testing.T, more string) []byte {
	t.Helper()
	return filesThenNoise(t, "[package]\nname = \"held\"\nversion = \"1.0.0\"\n"+more, nil)
}

// pathsThenNoise is an upload up to the middle of the last file of as many as the limits allow, each in a folder of its own.
func pathsThenNoise(t *testing.T) []byte {
	t.Helper()
	var paths []string
	for i := range 19_990 {
		paths = append(paths, fmt.Sprintf("folder-%d/file", i))
	}
	return filesThenNoise(t, "[package]\nname = \"held\"\nversion = \"1.0.0\"\n", paths)
}

func filesThenNoise(t *testing.T, manifest string, empty []string) []byte {
	t.Helper()
	var out bytes.Buffer
	zw := gzip.NewWriter(&out)
	tw := tar.NewWriter(zw)
	write := func(path string, data []byte) {
		if err := tw.WriteHeader(&tar.Header{Name: "held-1.0.0/" + path, Mode: 0o644, Size: int64(len(data))}); err != nil {
			t.Fatal(err)
		}
		if _, err := tw.Write(data); err != nil {
			t.Fatal(err)
		}
	}
	write("Cargo.toml", []byte(manifest))
	for _, path := range empty {
		write(path, nil)
	}
	write("noise", noise(200_000))
	if err := tw.Close(); err != nil {
		t.Fatal(err)
	}
	if err := zw.Close(); err != nil {
		t.Fatal(err)
	}
	body := frame(metadata("held"), out.Bytes())
	return until(body, len(body)-100_000)
}

// publisher makes a user and gives its token.
func publisher(t *testing.T, s *serve.Server, name string) string {
	t.Helper()
	c := client.New(s.URL, s.AdminToken)
	if _, err := c.CreateUser(t.Context(), wire.CreateUser{Name: name, Role: "publisher"}); err != nil {
		t.Fatal(err)
	}
	token, err := c.CreateToken(t.Context(), wire.CreateToken{User: name, Name: "t"})
	if err != nil {
		t.Fatal(err)
	}
	return token.Secret
}

// stall sends a part of an upload and nothing more, and reads what it is told.
func stall(s *serve.Server, transport *http.Transport, token string, part []byte) (status int, after, text string, err error) {
	rest, w := io.Pipe()
	defer func() { _ = w.Close() }()
	req, err := http.NewRequest(http.MethodPut, s.URL+"/api/v1/crates/new", io.MultiReader(bytes.NewReader(part), rest))
	if err != nil {
		return 0, "", "", err
	}
	req.ContentLength = int64(len(part)) + 1_000_000
	req.Header.Set("Authorization", token)
	resp, err := transport.RoundTrip(req)
	if err != nil {
		return 0, "", "", err
	}
	defer func() { _ = resp.Body.Close() }()
	data, err := io.ReadAll(resp.Body)
	return resp.StatusCode, resp.Header.Get("Retry-After"), string(data), err
}
