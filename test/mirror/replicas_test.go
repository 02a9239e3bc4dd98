package mirror

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"testing"
	"time"

	"github.com/crateyard/crateyard/registry/client"
	"github.com/crateyard/crateyard/registry/wire"
	"github.com/crateyard/crateyard/test/port"
	"github.com/crateyard/crateyard/test/postgres"
	"github.com/crateyard/crateyard/test/serve"
	"github.com/crateyard/crateyard/test/upload"
	"github.com/crateyard/crateyard/test/upstream"
)

// A server that is killed in the middle of a fetch leaves it to the other one, which waits for as long as the lease lasts.
func TestFetchIsTakenOver(t *testing.T) {
	t.Parallel()
	proxy, address := upstream.New(t), port.Address(t)
	from := start(t, "--url", proxy.URL, "--listen", address)
	proxy.To("http://" + address)
	crate := upload.New("acme", "1.0.0", []byte("// a crate\n"))
	publisher := serve.NewClient("http://"+address, from.AdminToken)
	defer publisher.Close()
	if status, body, err := publisher.Do("PUT", "/api/v1/crates/new", crate.Frame); err != nil || status != 200 {
		t.Fatal(status, string(body), err)
	}
	shared, err := serve.NewShared(postgres.StartTest(t, postgres.Options{}), nil, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	var servers []*serve.Server
	for range 2 {
		s, err := serve.StartWith(shared.Options(filepath.Join(t.TempDir(), "data")))
		if err != nil {
			t.Fatal(err)
		}
		servers = append(servers, s)
	}
	t.Cleanup(func() {
		if err := servers[1].Stop(); err != nil {
			t.Errorf("stop: %v\n%s", err, servers[1].Logs())
		}
	})
	spec := wire.MirrorSpec{Upstream: wire.MirrorUpstream{Index: "sparse+" + proxy.URL + "/index/"}}
	if _, err := client.New(servers[0].URL, servers[0].AdminToken).PutMirror(t.Context(), "m", wire.MirrorChange{Spec: spec}); err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(time.Minute); ; time.Sleep(10 * time.Millisecond) { // until the second server has heard of it
		if _, err := download(servers[1].URL + "/mirrors/m/config.json"); err == nil {
			break
		} else if time.Now().After(end) {
			t.Fatal(err)
		}
	}
	proxy.Fail("/crates/acme/", upstream.Stall, 1)
	ended := make(chan struct{})
	go func() {
		_, _ = download(servers[0].URL + "/mirrors/m/crates/acme/1.0.0/download") // cut
		close(ended)
	}()
	for end := time.Now().Add(time.Minute); proxy.Count("/crates/acme/") == 0; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("the first server asks for nothing")
		}
	}
	got := make(chan string, 1)
	go func() {
		sum, err := download(servers[1].URL + "/mirrors/m/crates/acme/1.0.0/download")
		if err != nil {
			sum = err.Error()
		}
		got <- sum
	}()
	time.Sleep(time.Second) // the second server has found that the first is at it
	if n := proxy.Count("/crates/acme/"); n != 1 {
		t.Errorf("%d requests while the first server is at it", n)
	}
	if err := servers[0].Kill(); err != nil {
		t.Fatal(err)
	}
	<-ended
	if sum := <-got; sum != crate.SHA256 {
		t.Errorf("the second server gave %s", sum)
	}
	if n := proxy.Count("/crates/acme/"); n != 2 {
		t.Errorf("%d requests", n)
	}
}

// download gives the digest of what lies at an address.
func download(url string) (string, error) {
	resp, err := http.Get(url)
	if err != nil {
		return "", err
	}
	defer func() { _ = resp.Body.Close() }() // it was read, or is of no use
	data, err := io.ReadAll(resp.Body)
	if resp.StatusCode != http.StatusOK {
		return "", fmt.Errorf("%s: %s", resp.Status, data)
	}
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:]), err
}
