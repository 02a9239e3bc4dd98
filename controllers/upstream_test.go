package controllers_test

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync/atomic"

	"github.com/crateyard/crateyard/registry"
	"github.com/crateyard/crateyard/test/upload"
)

// upstreamToken reads from upstreams that are private, and administers all.
const upstreamToken = "cy_upstream0123456789012345678901234567890123"

// upstream is a real registry to be mirrored, behind something that can take it away.
type upstream struct {
	index  string // as cargo is given it
	crates map[string]upload.Crate
	down   atomic.Bool
}

// crate gives the crate name@version: the one that was published, where one was.
func (u *upstream) crate(id string) upload.Crate {
	c, ok := u.crates[id]
	if !ok {
		name, version, _ := strings.Cut(id, "@")
		c = upload.New(name, version, nil)
		u.crates[id] = c
	}
	return c
}

// startUpstream runs a registry with some crates, named name@version.
func (h *harness) startUpstream(access string, crates ...string) *upstream {
	h.Helper()
	u := &upstream{crates: map[string]upload.Crate{}}
	var proxy *httputil.ReverseProxy
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if u.down.Load() {
			panic(http.ErrAbortHandler)
		}
		proxy.ServeHTTP(w, r)
	}))
	h.Cleanup(front.Close)
	address := startServer(h.T, "upstream", upstreamToken, func(c *registry.Config) { c.Access.AnonymousRead, c.URL = access, front.URL })
	to, err := url.Parse(address)
	h.must(err)
	proxy = httputil.NewSingleHostReverseProxy(to)
	u.index = "sparse+" + front.URL + "/index/"
	for _, crate := range crates {
		req, err := http.NewRequestWithContext(h.Context(), http.MethodPut, front.URL+"/api/v1/crates/new", bytes.NewReader(u.crate(crate).Frame))
		h.must(err)
		req.Header.Set("Authorization", upstreamToken)
		resp, err := http.DefaultClient.Do(req)
		h.must(err)
		body, err := io.ReadAll(resp.Body)
		h.must(err)
		if resp.StatusCode != http.StatusOK {
			h.Fatalf("publishing %s: %s %s", crate, resp.Status, body)
		}
	}
	return u
}

// lock writes a Cargo.lock of some crates of upstream, named name@version, and of one from git.
func (u *upstream) lock(crates ...string) string {
	text := "version = 4\n\n[[package]]\nname = \"app\"\nversion = \"0.1.0\"\n\n" +
		"[[package]]\nname = \"fork\"\nversion = \"0.2.0\"\nsource = \"git+https://git.example/fork?branch=main#26d17f6533e8f799b1dd6d91755c5c5982ab8338\"\n"
	for _, crate := range crates {
		c := u.crate(crate)
		text += fmt.Sprintf("\n[[package]]\nname = %q\nversion = %q\nsource = %q\nchecksum = %q\n", c.Name, c.Version, u.index, c.SHA256)
	}
	return text
}

// served reports whether the mirror deps gives out a crate file of upstream.
func (h *harness) served(up *upstream, crate string) bool {
	h.Helper()
	c := up.crate(crate)
	resp, err := http.Get(h.urls["acme"] + "/mirrors/deps/crates/" + c.Name + "/" + c.Version + "/download")
	h.must(err)
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	return err == nil && resp.StatusCode == http.StatusOK && bytes.Equal(body, c.Archive)
}

// front puts something between the operator and the Registry's server. What it gives no status for goes on to the server.
func (h *harness) front(answer func(*http.Request) (status int, body string)) {
	h.Helper()
	to, err := url.Parse(h.urls["acme"])
	h.must(err)
	proxy := httputil.NewSingleHostReverseProxy(to)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if status, body := answer(r); status != 0 {
			http.Error(w, body, status)
			return
		}
		proxy.ServeHTTP(w, r)
	}))
	h.Cleanup(s.Close)
	h.urls["acme"] = s.URL
}
