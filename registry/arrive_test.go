package registry_test

import (
	"bufio"
	"bytes"
	"crypto/rand"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/crateyard/crateyard/registry"
	"github.com/crateyard/crateyard/registry/wire"
	"github.com/crateyard/crateyard/test/upload"
)

// A connection's first request is the server's; the one that follows it is answered where it arrives, if it is for an index file or a small archive. Nobody
// can tell the one from the other.
func TestAnswersOfOneConnectionAreAlike(t *testing.T) {
	y := openIn(t, t.TempDir(), func(c *registry.Config) { c.URL = "http://127.0.0.1/registry" })
	y.url += "/registry"
	y.makeAlice()
	if a := y.publish(good(t, "demo", "1.0.0")); a.status != 200 {
		t.Fatal(a)
	}
	noise := make([]byte, 100_000) // which is longer in an archive
	if _, err := rand.Read(noise); err != nil {
		t.Fatal(err)
	}
	if a := y.publish(upload.New("large", "1.0.0", noise).Frame); a.status != 200 {
		t.Fatal(a)
	}
	if a := y.publish(good(t, "secret", "1.0.0")); a.status != 200 {
		t.Fatal(a)
	}
	y.do("GET", "/crates/secret/1.0.0/download", "", nil) // it is in memory from now on
	y.must(200, "PUT", "/api/v1/crates/secret/access", y.admin, wire.SetAccess{Restricted: new(true)})
	y.do("GET", "/crates/secret/1.0.0/download", y.alice, nil)
	etag := y.do("GET", "/crates/demo/1.0.0/download", "", nil).header.Get("Etag")
	for _, path := range []string{"/crates/demo/1.0.0/download", "/crates/large/1.0.0/download", "/crates/demo/1.0.1/download", "/crates/none/1.0.0/download",
		"/crates/demo/download", "/crates/demo/1.0.0/download/", "/crates/demo/1.0.0/download?a=b", "/crates/Demo/1.0.0/download", "/crates//1.0.0/download", "/crates/secret/1.0.0/download",
		"/index/de/mo/demo", "/index/config.json", "/index/no/ne/none"} {
		for _, header := range []string{"", "Range: bytes=3-9", "Range: bytes=0-1,5-6", "Range: bytes=-4", "Range: bytes=9000000-", "If-None-Match: " + etag, `If-Match: "x"`,
			"If-Range: " + etag + "\r\nRange: bytes=2-", "If-Modified-Since: Mon, 23 Nov 2099 00:00:00 GMT", "Accept-Encoding: gzip"} {
			t.Run(path+" "+header, func(t *testing.T) {
				t.Parallel()
				answers := y.onOneConnection(t, "/registry"+path, header, 3)
				if answers[0] != answers[1] || answers[0] != answers[2] {
					t.Errorf("first\n%q\nthen\n%q\nand\n%q", answers[0], answers[1], answers[2])
				}
			})
		}
	}
}

// onOneConnection asks for one address several times, and gives the answers to the byte, but for what differs with each.
func (y *yard) onOneConnection(t *testing.T, path, header string, times int) (answers []string) {
	t.Helper()
	c, err := net.Dial("tcp", strings.Split(y.url, "/")[2])
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	var heard bytes.Buffer
	in := bufio.NewReader(io.TeeReader(c, &heard))
	if header != "" {
		header += "\r\n"
	}
	for range times {
		if _, err := fmt.Fprintf(c, "GET %s HTTP/1.1\r\nHost: localhost\r\n%s\r\n", path, header); err != nil {
			t.Fatal(err)
		}
		r, err := http.ReadResponse(in, nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.Copy(io.Discard, r.Body); err != nil {
			t.Fatal(err)
		}
		text := heard.String()
		heard.Reset()
		for _, differs := range []string{r.Header.Get("Date"), r.Header.Get("X-Request-Id")} {
			if differs != "" {
				text = strings.ReplaceAll(text, differs, "")
			}
		}
		if _, boundary, multi := strings.Cut(r.Header.Get("Content-Type"), "boundary="); multi {
			text = strings.ReplaceAll(text, boundary, "")
		}
		if r.Header.Get("Date") == "" {
			t.Error("no date")
		}
		answers = append(answers, text)
	}
	return answers
}
