package mirror

import (
	"encoding/pem"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/crateyard/crateyard/registry/client"
	"github.com/crateyard/crateyard/registry/wire"
	"github.com/crateyard/crateyard/test/port"
	"github.com/crateyard/crateyard/test/serve"
	"github.com/crateyard/crateyard/test/upload"
)

// forward is an HTTP proxy, as HTTP_PROXY and HTTPS_PROXY name one, to which every host is the one that plain or tls leads to.
type forward struct {
	plain, tls string // addresses
	mu         sync.Mutex
	seen       map[string]bool // methods and hosts
}

func (f *forward) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	f.seen[r.Method+" "+r.Host] = true
	f.mu.Unlock()
	if r.Method != http.MethodConnect {
		to := &url.URL{Scheme: "http", Host: f.plain}
		(&httputil.ReverseProxy{Rewrite: func(p *httputil.ProxyRequest) { p.SetURL(to) }}).ServeHTTP(w, r)
		return
	}
	there, err := net.Dial("tcp", f.tls)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	w.WriteHeader(http.StatusOK)
	here, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		_ = there.Close() // there is nobody to speak to
		return
	}
	var both sync.WaitGroup
	both.Go(func() { _, _ = io.Copy(there, buffered); _ = there.Close() }) // either side may go first
	both.Go(func() { _, _ = io.Copy(here, there); _ = here.Close() })
	both.Wait()
}

// A mirror goes through the proxies of the environment, over HTTP and HTTPS.
func TestMirrorBehindProxy(t *testing.T) {
	t.Parallel()
	proxy := &forward{seen: map[string]bool{}}
	front := httptest.NewServer(proxy)
	t.Cleanup(front.Close)
	crate := upload.New("acme", "1.0.0", []byte("// a crate\n"))
	publish := func(s *serve.Server, address string) {
		c := serve.NewClient("http://"+address, s.AdminToken)
		defer c.Close()
		if status, body, err := c.Do("PUT", "/api/v1/crates/new", crate.Frame); err != nil || status != 200 {
			t.Fatal(status, string(body), err)
		}
	}
	// httptest's certificate is for example.com; a name below a top-level domain that is nobody's is asked for nowhere but at the proxy.
	plain, secure := port.Address(t), port.Address(t)
	publish(start(t, "--url", "http://crates.test", "--listen", plain), plain)
	publish(start(t, "--url", "https://example.com", "--listen", secure), secure)
	tls := httptest.NewTLSServer(httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "http", Host: secure}))
	t.Cleanup(tls.Close)
	proxy.plain, proxy.tls = plain, strings.TrimPrefix(tls.URL, "https://")
	server, err := serve.StartWith(serve.Options{Data: filepath.Join(t.TempDir(), "data"),
		Env: []string{"NO_PROXY=", "no_proxy=", "HTTP_PROXY=" + front.URL, "HTTPS_PROXY=" + front.URL, "http_proxy=" + front.URL, "https_proxy=" + front.URL}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Stop(); err != nil {
			t.Errorf("stop: %v\n%s", err, server.Logs())
		}
	})
	c := client.New(server.URL, server.AdminToken)
	ca := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: tls.Certificate().Raw}))
	for name, up := range map[string]wire.MirrorUpstream{
		"plain":  {Index: "sparse+http://crates.test/index/"},
		"secure": {Index: "sparse+https://example.com/index/", CABundle: ca},
	} {
		if _, err := c.PutMirror(t.Context(), name, wire.MirrorChange{Spec: wire.MirrorSpec{Upstream: up}}); err != nil {
			t.Fatal(err)
		}
		sum, err := download(server.URL + "/mirrors/" + name + "/crates/acme/1.0.0/download")
		if err != nil || sum != crate.SHA256 {
			t.Error(name, sum, err)
		}
	}
	proxy.mu.Lock()
	defer proxy.mu.Unlock()
	if len(proxy.seen) != 2 || !proxy.seen["GET crates.test"] || !proxy.seen["CONNECT example.com:443"] {
		t.Errorf("the proxy was asked for %v", proxy.seen)
	}
}
