package registry_test

import (
	"bufio"
	"compress/gzip"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/crateyard/crateyard/registry"
	"github.com/crateyard/crateyard/registry/client"
	"github.com/crateyard/crateyard/registry/wire"
)

func sha256Hex(s string) string {
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:])
}

func TestIndexConditionalRequests(t *testing.T) {
	y := open(t, nil)
	for _, v := range []string{"1.0.0", "1.0.0-rc.1", "0.9.0"} { // enough for gzip to be smaller
		if a := y.publish(good(t, "demo", v)); a.status != 200 {
			t.Fatal(a)
		}
	}
	const path = "/index/de/mo/demo"
	plain := y.do("GET", path, "", nil)
	etag := plain.header.Get("Etag")
	if plain.status != 200 || !strings.HasPrefix(etag, `"`) || plain.header.Get("Last-Modified") != "" || plain.header.Get("Content-Encoding") != "" {
		t.Fatalf("%d %v", plain.status, plain.header)
	}
	zipped := y.do("GET", path, "", nil, "Accept-Encoding", "deflate, gzip")
	zr, err := gzip.NewReader(strings.NewReader(zipped.body))
	if err != nil {
		t.Fatal(err)
	}
	if text, err := io.ReadAll(zr); err != nil || string(text) != plain.body {
		t.Errorf("gzip holds %q, %v", text, err)
	}
	if zipped.header.Get("Vary") != "Accept-Encoding" || plain.header.Get("Vary") != "Accept-Encoding" || zipped.header.Get("Etag") == etag {
		t.Errorf("headers of the two forms: %v %v", zipped.header, plain.header)
	}
	for name, tc := range map[string]struct {
		headers []string
		want    int
	}{
		"same":            {[]string{"If-None-Match", etag}, 304},
		"weak":            {[]string{"If-None-Match", "W/" + etag}, 304},
		"in a list":       {[]string{"If-None-Match", `"x", ` + etag}, 304},
		"any":             {[]string{"If-None-Match", "*"}, 304},
		"of gzip":         {[]string{"If-None-Match", zipped.header.Get("Etag"), "Accept-Encoding", "gzip"}, 304},
		"another":         {[]string{"If-None-Match", `"x"`}, 200},
		"gzip refused":    {[]string{"If-None-Match", `"x"`, "Accept-Encoding", "gzip;q=0"}, 200},
		"no quotes":       {[]string{"If-None-Match", "x"}, 200},
		"only by date":    {[]string{"If-Modified-Since", "Mon, 23 Nov 2099 00:00:00 GMT"}, 200},
		"date and no tag": {[]string{"If-None-Match", `"x"`, "If-Modified-Since", "Mon, 23 Nov 2099 00:00:00 GMT"}, 200},
	} {
		t.Run(name, func(t *testing.T) {
			a := y.do("GET", path, "", nil, tc.headers...)
			if a.status != tc.want || a.status == 304 && (a.body != "" || a.header.Get("Etag") == "") {
				t.Errorf("%d %v %q", a.status, a.header, a.body)
			}
		})
	}
	if a := y.publish(good(t, "demo", "1.0.1")); a.status != 200 {
		t.Fatal(a)
	}
	if a := y.do("GET", path, "", nil, "If-None-Match", etag); a.status != 200 || strings.Count(a.body, "\n") != 4 || !strings.HasPrefix(a.body, plain.body) {
		t.Errorf("after a publish: %d %q", a.status, a.body)
	}
}

func TestIndexPaths(t *testing.T) {
	y := open(t, nil)
	for _, name := range []string{"a", "Ab", "abc", "Demo-X"} {
		if a := y.publish(good(t, name, "1.0.0")); a.status != 200 {
			t.Fatal(a)
		}
	}
	for path, want := range map[string]int{
		"/index/1/a": 200, "/index/2/ab": 200, "/index/3/a/abc": 200, "/index/de/mo/demo-x": 200,
		"/index//de/mo/demo-x": 200, "/index/de/./mo/demo-x": 404,
		"/index/de/mo/Demo-X": 404, "/index/2/Ab": 404, "/index/de/mo/demo_x": 404, "/index/demo-x": 404, "/index/xx/xx/demo-x": 404,
		"/index/no/ne/none": 404, "/index/": 404, "/index/caf%C3%A9": 404, "/index/de/mo/": 404,
		"/index/de/mo/..%2f..%2fcatalog.db": 404, "/crates/Demo-X/1.0.0/download": 200, "/crates/demo-x/1.0.0/download": 404,
		"/crates/Demo-X/9.0.0/download": 404, "//api/v1/crates": 200, "/api/v1/nothing": 404, "/me": 200, "/": 200, "/nothing": 404,
	} {
		if a := y.do("GET", path, "", nil); a.status != want {
			t.Errorf("GET %s: %d, want %d", path, a.status, want)
		}
	}
	if a := y.do("GET", "/index/info/refs?service=git-upload-pack", "", nil); a.status != 404 || !strings.Contains(a.body, "write sparse+"+y.url+"/index/ in") {
		t.Errorf("git is told %d %s", a.status, a.body)
	}
	if a := y.do("GET", "/api/v1/nothing", "", nil); !strings.Contains(a.detail(t), "there is no GET") {
		t.Error(a)
	}
}

// A registry below a path answers there and nowhere else, and tells cargo so.
func TestURLWithPath(t *testing.T) {
	y := openIn(t, t.TempDir(), func(c *registry.Config) { c.URL = "https://example.com/crates/" })
	a := y.do("GET", "/crates/index/config.json", "", nil)
	if want := `{"dl":"https://example.com/crates/crates","api":"https://example.com/crates"}` + "\n"; a.body != want {
		t.Errorf("%d %q, want %q", a.status, a.body, want)
	}
	for _, path := range []string{"/index/config.json", "/", "/cratesx/index/config.json"} {
		if a := y.do("GET", path, "", nil); a.status != 404 || !strings.HasPrefix(a.body, "this registry is at https://example.com/crates/, and the request was for "+path+",") {
			t.Errorf("GET %s: %d %s", path, a.status, a.body)
		}
	}
	// cargo shows what is in its own shape; the path that a proxy has cut off is what it should tell of.
	a = y.do("PUT", "/api/v1/crates/new", "", strings.NewReader("x"))
	if a.status != 404 || !strings.Contains(a.detail(t), "does not begin with /crates/: ask for the whole path, and let a proxy in front of the registry pass it on with its prefix") {
		t.Errorf("a publish without the prefix: %d %s", a.status, a.body)
	}
	eventually(t, "they are counted", func() bool {
		values, _ := y.metrics()
		return values[`crateyard_http_requests_total{code="404",route="outside"}`] == 4
	})
}

func TestDownloadHeaders(t *testing.T) {
	y := open(t, nil)
	crate := crateFile(t, "demo", "1.0.0+b.1")
	if a := y.publish(frame(metadata("demo", "1.0.0+b.1"), crate)); a.status != 200 {
		t.Fatal(a)
	}
	a := y.do("GET", "/crates/demo/1.0.0+b.1/download", "", nil, "Accept-Encoding", "gzip")
	if a.status != 200 || a.body != string(crate) || a.header.Get("Content-Encoding") != "" || !strings.Contains(a.header.Get("Cache-Control"), "immutable") {
		t.Errorf("%d %v", a.status, a.header)
	}
	if a := y.do("GET", "/crates/demo/1.0.0+b.1/download", "", nil, "Range", "bytes=0-9"); a.status != 206 || a.body != string(crate[:10]) {
		t.Errorf("a range: %d %q", a.status, a.body)
	}
}

// Answers that leave in one system call stay whole and in order, whatever else goes over the connection.
func TestAnswersOfOneConnection(t *testing.T) {
	y := open(t, nil)
	for i := range 60 { // 11 KB, more than net/http's buffer
		if a := y.publish(good(t, "demo", fmt.Sprintf("1.%d.0", i))); a.status != 200 {
			t.Fatal(a)
		}
	}
	if a := y.publish(good(t, "small", "1.0.0")); a.status != 200 {
		t.Fatal(a)
	}
	big := y.do("GET", "/index/de/mo/demo", "", nil)
	if len(big.body) < 10_000 {
		t.Fatalf("%d bytes", len(big.body))
	}
	small := y.do("GET", "/index/sm/al/small", "", nil)
	noise := make([]byte, 300_000)
	if _, err := rand.Read(noise); err != nil {
		t.Fatal(err)
	}
	crate := string(archive(t, file("noise-1.0.0/Cargo.toml", manifest("noise", "1.0.0")), file("noise-1.0.0/src/lib.rs", string(noise))))
	if a := y.publish(frame(metadata("noise", "1.0.0"), []byte(crate))); a.status != 200 {
		t.Fatal(a)
	}
	const download = "/crates/noise/1.0.0/download"
	conn, err := net.Dial("tcp", strings.TrimPrefix(y.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	type request struct {
		method, path, header string
		status               int
		body                 string
	}
	kinds := []request{
		{"GET", "/index/de/mo/demo", "", 200, big.body},
		{"HEAD", "/index/de/mo/demo", "", 200, ""},
		{"GET", "/index/de/mo/demo", "If-None-Match: " + big.header.Get("Etag") + "\r\n", 304, ""},
		{"GET", "/index/sm/al/small", "", 200, small.body},
		{"GET", download, "", 200, crate},
		{"HEAD", download, "", 200, ""},
		{"GET", download, "Range: bytes=5-9\r\n", 206, crate[5:10]},
		{"GET", download, "If-None-Match: *\r\n", 304, ""},
		{"GET", "/index/no/ne/none", "", 404, "crate `none` does not exist\n"},
	}
	var sent []request
	var all strings.Builder
	for i := range 100 { // sent at once, before any answer is read
		r := kinds[(i*i+i/3)%len(kinds)] // in changing order
		sent = append(sent, r)
		fmt.Fprintf(&all, "%s %s HTTP/1.1\r\nHost: x\r\n%s\r\n", r.method, r.path, r.header)
	}
	go func() { _, _ = io.WriteString(conn, all.String()) }() // the answers tell whether it arrived
	br := bufio.NewReader(conn)
	for i, r := range sent {
		resp, err := http.ReadResponse(br, &http.Request{Method: r.method})
		if err != nil {
			t.Fatalf("answer %d: %v", i, err)
		}
		body, err := io.ReadAll(resp.Body)
		if err != nil || resp.StatusCode != r.status || string(body) != r.body {
			t.Fatalf("answer %d to %s %s: %d, %d bytes, %v", i, r.method, r.path, resp.StatusCode, len(body), err)
		}
	}
}

// A token that is revoked, or a user that is suspended, during an upload publishes nothing.
func TestRightsLostDuringUpload(t *testing.T) {
	suspended := true
	for name, lose := range map[string]func(*yard, *client.Client) error{
		"suspended": func(y *yard, c *client.Client) error {
			_, err := c.UpdateUser(t.Context(), "alice", wire.UpdateUser{Suspended: &suspended})
			return err
		},
		"revoked": func(y *yard, c *client.Client) error {
			tokens, err := c.Tokens(t.Context(), "alice")
			if err != nil {
				return err
			}
			return c.DeleteToken(t.Context(), tokens[0].ID)
		},
		"deleted": func(y *yard, c *client.Client) error {
			_, err := c.DeleteUser(t.Context(), "alice", true)
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			y := open(t, nil)
			finish := y.beginUpload(good(t, "demo", "1.0.0"))
			if err := lose(y, client.New(y.url, y.admin)); err != nil {
				t.Fatal(err)
			}
			if a := finish(); a.status != 401 && a.status != 403 || !strings.Contains(a.detail(t), "on its way") {
				t.Errorf("%d %s", a.status, a.body)
			}
			if a := y.do("GET", "/index/de/mo/demo", "", nil); a.status != 404 || a.header.Get("Cache-Control") != "no-store" {
				t.Errorf("in the index: %d %v", a.status, a.header)
			}
		})
	}
}
