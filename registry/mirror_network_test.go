package registry_test

import (
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/crateyard/crateyard/registry"
	"github.com/crateyard/crateyard/registry/client"
	"github.com/crateyard/crateyard/registry/wire"
)

// An upstream whose certificate is of an authority of its own is mirrored with that authority's, over HTTP/2, and not without.
func TestMirrorOfCustomCA(t *testing.T) {
	var mu sync.Mutex
	protocols := map[string]int{}
	var to *url.URL
	tls := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		protocols[r.Proto]++
		mu.Unlock()
		(&httputil.ReverseProxy{Rewrite: func(p *httputil.ProxyRequest) { p.SetURL(to) }}).ServeHTTP(w, r)
	}))
	tls.EnableHTTP2 = true
	tls.StartTLS()
	defer tls.Close()
	from := open(t, func(c *registry.Config) { c.URL = tls.URL })
	from.ship("acme", "1.0.0")
	to, _ = url.Parse(from.url) // a test server's address
	y := open(t, nil)
	c := client.New(y.url, y.admin)
	ca := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: tls.Certificate().Raw}))
	for name, bundle := range map[string]string{"without": "", "with": ca} {
		spec := wire.MirrorSpec{Upstream: wire.MirrorUpstream{Index: "sparse+" + tls.URL + "/index/", CABundle: bundle}}
		if _, err := c.PutMirror(t.Context(), name, wire.MirrorChange{Spec: spec}); err != nil {
			t.Fatal(err)
		}
	}
	if a := y.do("GET", "/mirrors/without/ac/me/acme", "", nil); a.status != 503 || !strings.Contains(a.body, "certificate") {
		t.Errorf("without: %d %s", a.status, a.body)
	}
	index := y.do("GET", "/mirrors/with/ac/me/acme", "", nil)
	crate := y.do("GET", "/mirrors/with/crates/acme/1.0.0/download", "", nil)
	if index.status != 200 || crate.status != 200 || digest(crate.body) != sums(t, index.body)["1.0.0"] {
		t.Errorf("with: %d %s, %d", index.status, index.body, crate.status)
	}
	mu.Lock()
	defer mu.Unlock()
	if protocols["HTTP/2.0"] == 0 || len(protocols) != 1 {
		t.Errorf("it was asked over %v", protocols)
	}
}

// A private upstream is mirrored with a token, which goes there and nowhere else, and is never shown.
func TestMirrorOfPrivateUpstream(t *testing.T) {
	m := openUpstream(t)
	private := open(t, func(c *registry.Config) {
		c.URL, c.Access.AnonymousRead, c.GitIndex = m.proxy.URL, "Disabled", "Disabled"
	})
	m.from = private
	m.proxy.To(private.url)
	private.ship("acme", "1.0.0")
	token := private.token("alice", []string{"read"})
	m.yard = open(t, nil)
	m.client = client.New(m.url, m.admin)
	spec := wire.MirrorSpec{Upstream: wire.MirrorUpstream{Index: "sparse+" + m.proxy.URL + "/index/", MaxAge: wire.Duration(time.Second)}}
	set := func(token *string) {
		t.Helper()
		got, err := m.client.PutMirror(t.Context(), "m", wire.MirrorChange{Spec: spec, Token: token})
		if err != nil || got.HasToken != (token != nil && *token != "") {
			t.Fatalf("%v %+v", err, got)
		}
		if w := strings.Join(got.Warnings, " "); (token == nil || *token == "" || *token == "cy_wrong") != strings.Contains(w, "`crateyard mirror token m --upstream-token-file FILE`") || strings.Contains(w, "check the address") {
			t.Errorf("token %v: it warns %q", token, w)
		}
	}
	set(nil)
	if a := m.index("acme"); a.status != 503 || !strings.Contains(a.body, "it wants a token") {
		t.Errorf("without a token: %d %s", a.status, a.body)
	}
	wrong := "cy_wrong"
	set(&wrong)
	if a := m.index("acme"); a.status != 503 || !strings.Contains(a.body, "or another one") {
		t.Errorf("with a wrong token: %d %s", a.status, a.body)
	}
	if s := m.status().Upstream; s.Ready || !strings.Contains(s.Message, "token") {
		t.Errorf("%+v", s)
	}
	set(&token)
	index := m.index("acme")
	crate, whole := m.crate("acme", "1.0.0")
	if index.status != 200 || crate.status != 200 || !whole || digest(crate.body) != sums(t, index.body)["1.0.0"] {
		t.Errorf("%d %s, %d %s", index.status, index.body, crate.status, crate.body)
	}
	// A change of the spec alone leaves the token.
	spec.Upstream.Concurrency = 4
	if got, err := m.client.PutMirror(t.Context(), "m", wire.MirrorChange{Spec: spec}); err != nil || !got.HasToken {
		t.Errorf("%v %+v", err, got)
	}
	if err := m.client.ForgetCrate(t.Context(), "m", "acme"); err != nil {
		t.Fatal(err)
	}
	m.fetched("acme 1.0.0")
	// Another upstream is not the one that the token is for.
	other := spec
	other.Upstream.Index = "sparse+http://127.0.0.1:1/index/"
	if got, err := m.client.PutMirror(t.Context(), "m", wire.MirrorChange{Spec: other}); err != nil || got.HasToken {
		t.Errorf("the token goes along to another upstream: %v %+v", err, got)
	}
	set(&token)
	none := ""
	set(&none)
	if err := m.client.ForgetCrate(t.Context(), "m", "acme"); err != nil {
		t.Fatal(err)
	}
	if a := m.index("acme"); a.status != 503 {
		t.Errorf("when it was taken away: %d", a.status)
	}
	if shown := m.do("GET", "/api/v1/mirrors/m", m.admin, nil).body + m.do("GET", "/api/v1/audit", m.admin, nil).body + m.logs.String(); strings.Contains(shown, token) || strings.Contains(shown, wrong) {
		t.Error("a token is shown")
	}
	// The mirror of a private registry is as open as the registry it is part of.
	if a := m.do("GET", "/mirrors/m/config.json", "", nil); strings.Contains(a.body, "auth-required") {
		t.Errorf("config.json is %s", a.body)
	}
}

// The token does not go along to another host, or another port of the same one, that upstream sends the mirror to; not for an index file, either.
func TestMirrorTokenStaysAtHome(t *testing.T) {
	from := open(t, nil)
	from.ship("acme", "1.0.0")
	from.ship("near", "1.0.0")
	to, _ := url.Parse(from.url) // a test server's address
	var mu sync.Mutex
	seen := map[string][]string{}
	front := func(name string, handle func(w http.ResponseWriter, r *http.Request)) *httptest.Server {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			mu.Lock()
			seen[name] = append(seen[name], r.Header.Get("Authorization"))
			mu.Unlock()
			handle(w, r)
		}))
		t.Cleanup(s.Close)
		return s
	}
	pass := func(w http.ResponseWriter, r *http.Request) {
		(&httputil.ReverseProxy{Rewrite: func(p *httputil.ProxyRequest) { p.SetURL(to); p.Out.Header.Del("Authorization") }}).ServeHTTP(w, r)
	}
	bucket := front("bucket", pass)
	var home *httptest.Server
	home = front("home", func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.URL.Path == "/index/config.json":
			_, _ = w.Write([]byte(`{"dl":"` + home.URL + `/crates","auth-required":true}`))
		case strings.Contains(r.URL.Path, "near"):
			http.Redirect(w, r, bucket.URL+r.URL.Path, http.StatusFound)
		case strings.HasPrefix(r.URL.Path, "/crates/"):
			http.Redirect(w, r, strings.Replace(bucket.URL, "127.0.0.1", "localhost", 1)+r.URL.Path, http.StatusFound)
		default:
			pass(w, r)
		}
	})
	y := open(t, nil)
	token := "secret-of-home"
	spec := wire.MirrorSpec{Upstream: wire.MirrorUpstream{Index: "sparse+" + home.URL + "/index/"}}
	if _, err := client.New(y.url, y.admin).PutMirror(t.Context(), "m", wire.MirrorChange{Spec: spec, Token: &token}); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"acme", "near"} {
		if a := y.do("GET", "/mirrors/m/crates/"+name+"/1.0.0/download", "", nil); a.status != 200 {
			t.Errorf("%s: %d %s", name, a.status, a.body)
		}
	}
	mu.Lock()
	defer mu.Unlock()
	for _, sent := range seen["home"] {
		if sent != token {
			t.Errorf("home was sent %q", seen["home"])
		}
	}
	if len(seen["bucket"]) != 3 || strings.Join(seen["bucket"], "") != "" {
		t.Errorf("the bucket was sent %q", seen["bucket"])
	}
}
