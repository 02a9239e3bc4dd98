package registry_test

// What cargo expects of a registry and trips over, where a script of test/cargo cannot show it. test/cargo/README.md lists all.

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/crateyard/crateyard/registry"
)

// The ETag is that of the content: two changes within a second have two, and what is as before has the one from before. A date
// has a second's grain, and is not sent at all.
func TestETagIsOfTheContent(t *testing.T) {
	y := open(t, nil)
	const path = "/index/de/mo/demo"
	seen := map[string]string{}
	look := func() string {
		t.Helper()
		a := y.do("GET", path, "", nil)
		tag := a.header.Get("Etag")
		if body, again := seen[tag]; a.status != 200 || tag == "" || again && body != a.body || a.header.Get("Last-Modified") != "" {
			t.Fatalf("%d %v: the tag was that of %q, the body is %q", a.status, a.header, seen[tag], a.body)
		}
		seen[tag] = a.body
		return tag
	}
	for i := range 5 {
		if a := y.publish(good(t, "demo", fmt.Sprintf("1.0.%d", i))); a.status != 200 {
			t.Fatal(a)
		}
		look()
	}
	before := look()
	y.do("DELETE", "/api/v1/crates/demo/1.0.3/yank", y.alice, nil)
	yanked := look()
	y.do("PUT", "/api/v1/crates/demo/1.0.3/unyank", y.alice, nil)
	if after := look(); len(seen) != 6 || yanked == before || after != before {
		t.Errorf("%d tags; before the yank %s, then %s, after it was taken back %s", len(seen), before, yanked, after)
	}
	y.do("DELETE", "/api/v1/crates/demo/1.0.1/yank", y.alice, nil)
	if another := look(); another == yanked { // of a file of the same length
		t.Errorf("two files have the tag %s", another)
	}
}

// Nothing that cargo asks is answered with a redirect: before 1.97 cargo follows none on the web API, later ones cannot send an
// upload twice, and an ETag of a redirect would be stored as the file's. A slash too many is what an address with one at its end makes.
func TestNothingRedirects(t *testing.T) {
	y := open(t, nil)
	a := y.do("PUT", "//api/v1/crates/new", y.alice, bytes.NewReader(good(t, "demo", "1.0.0")))
	if a.status != 200 {
		t.Fatalf("publish: %d %s", a.status, a.body)
	}
	for _, tc := range []struct {
		method, path, body string
		want               int
	}{
		{"GET", "//index//config.json", "", 200},
		{"GET", "/index//de/mo/demo", "", 200},
		{"GET", "/index/no/ne/none", "", 404},
		{"GET", "/index/no/ne/none/", "", 404},
		{"GET", "/index", "", 404},
		{"GET", "/git/index", "", 404},
		{"GET", "/git/index/", "", 404},
		{"GET", "//crates/demo/1.0.0/download", "", 200},
		{"GET", "/crates/demo/1.0.0/download/", "", 404},
		{"DELETE", "//api/v1/crates/demo/1.0.0/yank", "", 200},
		{"PUT", "//api/v1/crates/demo/1.0.0/unyank", "", 200},
		{"GET", "//api/v1/crates/demo/owners", "", 200},
		{"PUT", "//api/v1/crates/demo/owners", `{"users":["admin"]}`, 200},
		{"DELETE", "//api/v1/crates/demo/owners", `{"users":["admin"]}`, 200},
		{"GET", "//api/v1/crates?q=demo", "", 200},
	} {
		a := y.do(tc.method, tc.path, y.alice, strings.NewReader(tc.body))
		if a.status != tc.want || a.header.Get("Location") != "" {
			t.Errorf("%s %s: %d %v", tc.method, tc.path, a.status, a.header)
		}
		if a.status == 404 && strings.HasPrefix(tc.path, "/index/") && (a.header.Get("Etag") != "" || a.header.Get("Cache-Control") != "no-store") {
			t.Errorf("%s %s: an answer to keep: %v", tc.method, tc.path, a.header)
		}
	}
}

// What succeeds has no key "errors", which would make it a failure to cargo, and has each key that cargo cannot do without, in a
// form that it reads: ok and msg, warnings, ids of 32 bits, a total.
func TestSuccessInCargosShape(t *testing.T) {
	y := open(t, nil)
	for _, tc := range []struct {
		method, path string
		body         io.Reader
		check        func(body map[string]any) bool
	}{
		{"PUT", "/api/v1/crates/new", bytes.NewReader(good(t, "demo", "1.0.0")), func(b map[string]any) bool {
			w, _ := b["warnings"].(map[string]any)
			for _, key := range []string{"invalid_categories", "invalid_badges", "other"} {
				if _, isList := w[key].([]any); !isList {
					return false
				}
			}
			return true
		}},
		{"DELETE", "/api/v1/crates/demo/1.0.0/yank", nil, func(b map[string]any) bool { return b["ok"] == true }},
		{"PUT", "/api/v1/crates/demo/1.0.0/unyank", nil, func(b map[string]any) bool { return b["ok"] == true }},
		{"PUT", "/api/v1/crates/demo/owners", strings.NewReader(`{"users":["admin"]}`), func(b map[string]any) bool {
			return b["ok"] == true && b["msg"] != nil
		}},
		{"DELETE", "/api/v1/crates/demo/owners", strings.NewReader(`{"users":["admin"]}`), func(b map[string]any) bool {
			msg, _ := b["msg"].(string)
			return b["ok"] == true && msg != ""
		}},
		{"GET", "/api/v1/crates/demo/owners", nil, func(b map[string]any) bool {
			users, _ := b["users"].([]any)
			user, _ := users[0].(map[string]any)
			id, isNumber := user["id"].(float64)
			return len(users) == 1 && user["login"] == "alice" && isNumber && id >= 0 && id < 1<<32 && id == float64(uint32(id))
		}},
		{"GET", "/api/v1/crates?q=demo&per_page=10", nil, func(b map[string]any) bool {
			crates, _ := b["crates"].([]any)
			hit, _ := crates[0].(map[string]any)
			meta, _ := b["meta"].(map[string]any)
			return hit["name"] == "demo" && hit["max_version"] == "1.0.0" && meta["total"] == float64(1)
		}},
		{"GET", "/api/v1/crates?q=none", nil, func(b map[string]any) bool {
			crates, isList := b["crates"].([]any)
			meta, _ := b["meta"].(map[string]any)
			return isList && len(crates) == 0 && meta["total"] == float64(0)
		}},
	} {
		a := y.do(tc.method, tc.path, y.alice, tc.body)
		var body map[string]any
		if err := json.Unmarshal([]byte(a.body), &body); err != nil || a.status != 200 || !tc.check(body) {
			t.Errorf("%s %s: %d %s", tc.method, tc.path, a.status, a.body)
		}
		if _, has := body["errors"]; has {
			t.Errorf("%s %s: a success with errors: %s", tc.method, tc.path, a.body)
		}
	}
}

// An upload needs no Content-Type and may have any; one that asks before it sends its body is told to go on, or why not.
func TestUploadHeaders(t *testing.T) {
	y := open(t, nil)
	for i, kind := range []string{"", "application/octet-stream", "application/json"} {
		body := good(t, "demo", fmt.Sprintf("1.0.%d", i))
		var headers []string
		if kind != "" {
			headers = []string{"Content-Type", kind}
		}
		if a := y.do("PUT", "/api/v1/crates/new", y.alice, bytes.NewReader(body), headers...); a.status != 200 {
			t.Errorf("%q: %d %s", kind, a.status, a.body)
		}
	}
	body := good(t, "demo", "2.0.0")
	reader := y.token("alice", []string{"read"}) // who may not publish is not asked to send all of it first
	for _, tc := range []struct{ token, first string }{{"cy_wrong", "401 Unauthorized"}, {reader, "403 Forbidden"}, {y.alice, "100 Continue"}} {
		conn, err := net.Dial("tcp", strings.TrimPrefix(y.url, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(conn, "PUT /api/v1/crates/new HTTP/1.1\r\nHost: x\r\nAuthorization: %s\r\nExpect: 100-continue\r\nContent-Length: %d\r\n\r\n", tc.token, len(body))
		r := bufio.NewReader(conn)
		if line, err := r.ReadString('\n'); err != nil || !strings.Contains(line, tc.first) {
			t.Errorf("first answer %q, %v; want %s", line, err, tc.first)
		} else if tc.first == "100 Continue" {
			if _, err := conn.Write(body); err != nil {
				t.Error(err)
			}
			_, _ = r.ReadString('\n') // the empty line
			if line, err := r.ReadString('\n'); err != nil || !strings.Contains(line, "200 OK") {
				t.Errorf("then %q, %v", line, err)
			}
		}
		_ = conn.Close() // nothing more is asked of it
	}
}

// cargo asks every plain-HTTP server to go on in HTTP/2, which is ignored.
func TestUpgradeIsIgnored(t *testing.T) {
	y := open(t, nil)
	if a := y.publish(good(t, "demo", "1.0.0")); a.status != 200 {
		t.Fatal(a)
	}
	for _, path := range []string{"/index/config.json", "/index/de/mo/demo", "/crates/demo/1.0.0/download", "/api/v1/crates"} {
		a := y.do("GET", path, "", nil, "Connection", "Upgrade, HTTP2-Settings", "Upgrade", "h2c", "HTTP2-Settings", "AAMAAABkAAQAoAAAAAIAAAAA")
		if a.status != 200 || a.header.Get("Upgrade") != "" {
			t.Errorf("%s: %d %v", path, a.status, a.header)
		}
	}
}

// cargo asks for the index every second until the version is there, and a failure in between ends it although the upload
// succeeded. The version is there before the answer, whoever read the file meanwhile; and whoever reads gets the file or 404.
func TestVisibleBeforeTheAnswer(t *testing.T) {
	y := open(t, nil)
	const path = "/index/de/mo/demo"
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				resp, err := http.Get(y.url + path)
				if err != nil {
					t.Error(err)
					return
				}
				_, _ = io.Copy(io.Discard, resp.Body) // to use the connection again
				_ = resp.Body.Close()
				if resp.StatusCode != 200 && resp.StatusCode != 404 {
					t.Errorf("while others publish: %d", resp.StatusCode)
				}
			}
		})
	}
	for i := range 40 {
		version := fmt.Sprintf("1.0.%d", i)
		if a := y.publish(good(t, "demo", version)); a.status != 200 {
			t.Fatal(a)
		}
		if a := y.do("GET", path, "", nil); a.status != 200 || !strings.Contains(a.body, `"vers":"`+version+`"`) {
			t.Fatalf("%s is not there after its publish: %d", version, a.status)
		}
		y.do("DELETE", "/api/v1/crates/demo/"+version+"/yank", y.alice, nil)
		if a := y.do("GET", path, "", nil); strings.Count(a.body, `"yanked":true`) != i+1 {
			t.Fatalf("%s is not yanked after its yank", version)
		}
	}
	close(stop)
	wg.Wait()
}

// Where reading needs a token, cargo finds out by 401 alone, with a challenge; any other answer and it never tries its token.
func TestPrivateAsksForToken(t *testing.T) {
	y := open(t, func(c *registry.Config) { c.Access.AnonymousRead = "Disabled" })
	if a := y.publish(good(t, "demo", "1.0.0")); a.status != 200 {
		t.Fatal(a)
	}
	for _, path := range []string{"/index/config.json", "/index/de/mo/demo", "/index/no/ne/none", "/crates/demo/1.0.0/download", "/crates/none/1.0.0/download",
		"/api/v1/crates?q=demo", "/api/v1/crates/demo/owners"} {
		for _, token := range []string{"", "cy_unknown", "Basic " + y.alice, "Bearer"} {
			a := y.do("GET", path, token, nil)
			if a.status != 401 || !strings.HasPrefix(a.header.Get("WWW-Authenticate"), "Cargo login_url=") || strings.Contains(a.body, "demo") {
				t.Errorf("%s with %q: %d %v %s", path, token, a.status, a.header, a.body)
			}
		}
		for _, token := range []string{y.alice, "Bearer " + y.alice, "bearer " + y.alice} {
			if a := y.do("GET", path, token, nil); a.status != 200 && (a.status != 404 || !strings.Contains(path, "none")) {
				t.Errorf("%s with a token: %d", path, a.status)
			}
		}
	}
	if a := y.do("GET", "/index/config.json", y.alice, nil); !strings.Contains(a.body, `"auth-required":true`) {
		t.Errorf("config.json does not say that reads need the token: %s", a.body)
	}
	if a := y.do("GET", "/me", "", nil); a.status != 200 || !strings.Contains(a.body, "credential-provider") {
		t.Errorf("/me, which the challenge names: %d %s", a.status, a.body)
	}
}

// cargo before 1.96 takes an address and the same with .git behind it for one registry, and would send the token of one to the other.
func TestNoAddressInGit(t *testing.T) {
	for address, good := range map[string]bool{"https://x/crates.git": false, "https://x/crates.git/": false, "https://x.git": true, "https://x/git": true} {
		c := registry.DefaultConfig()
		c.Data, c.URL = "data", address
		if err := c.Check(); (err == nil) != good {
			t.Errorf("%s: %v", address, err)
		}
	}
}

// A dependency on this registry is named nowhere in its index, under whichever of its addresses it was published: the
// registry may move. Other addresses stay as they are.
func TestOwnAddressesAreLeftOut(t *testing.T) {
	y := open(t, nil)
	if a := y.publish(good(t, "base", "1.0.0")); a.status != 200 {
		t.Fatal(a)
	}
	for i, address := range []string{"sparse+" + y.url + "/index/", y.url + "/git/index", "https://github.com/rust-lang/crates.io-index"} {
		vers := fmt.Sprintf("1.0.%d", i)
		toml := manifest("demo", vers) + "[dependencies.base]\nversion = \"1\"\n"
		own := strings.Contains(address, y.url)
		if own { // crates.io is what a manifest means when it names none
			toml += fmt.Sprintf("registry-index = %q\n", address)
		}
		meta := fmt.Sprintf(`{"name":"demo","vers":%q,"features":{},"deps":[{"name":"base","version_req":"^1","features":[],"optional":false,`+
			`"default_features":true,"target":null,"kind":"normal","registry":%q}]}`, vers, address)
		a := y.publish(frame(meta, archive(t, file("demo-"+vers+"/Cargo.toml", toml), file("demo-"+vers+"/src/lib.rs", ""))))
		if a.status != 200 {
			t.Fatalf("%s: %d %s", address, a.status, a.body)
		}
		lines := strings.Split(strings.TrimSpace(y.do("GET", "/index/de/mo/demo", "", nil).body), "\n")
		if line := lines[len(lines)-1]; strings.Contains(line, `"registry":"`) == own || strings.Contains(line, y.url) {
			t.Errorf("%s: %s", address, line)
		}
	}
}

// Readers of tar disagree on a pax record that says another size than the header: what the server checked would not be what
// cargo unpacks.
func TestPaxSizeIsRefused(t *testing.T) {
	y := open(t, nil)
	plain := file("demo-1.0.0/Cargo.toml", manifest("demo", "1.0.0"))
	hidden := file("demo-1.0.0/x", strings.Repeat("x", 10))
	for name, record := range map[string]string{"smaller": "size=0", "larger": "size=11", "sparse": "GNU.sparse.realsize=10"} {
		pax := fmt.Sprintf("%d %s\n", len(record)+4, record) // the length counts itself; two digits
		ext := file("demo-1.0.0/pax", pax)
		ext.header.Typeflag = 'x'
		a := y.publish(frame(metadata("demo", "1.0.0"), rawArchive(t, plain, ext, hidden)))
		if a.status != 400 || !strings.Contains(a.detail(t), "pax record") {
			t.Errorf("%s: %d %s", name, a.status, a.body)
		}
		y.holdsNothing()
	}
	if a := y.publish(frame(metadata("demo", "1.0.0"), rawArchive(t, plain, hidden))); a.status != 200 {
		t.Errorf("without: %d %s", a.status, a.body)
	}
}
