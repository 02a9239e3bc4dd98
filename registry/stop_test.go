package registry_test

import (
	"bufio"
	"bytes"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/crateyard/crateyard/registry"
)

// A signal lets a publish that has begun finish and, where there is no drain delay, turns a new one away with a clear answer, while reads go on.
func TestStopFinishesPublishes(t *testing.T) {
	y := open(t, nil)
	finish := y.beginUpload(good(t, "demo", "1.0.0"))
	y.cancelOnly()
	y.stopping()
	var a answer
	eventually(t, "publishes are turned away", func() bool { a = y.publish(good(t, "other", "1.0.0")); return a.status != 200 && a.status != 409 })
	if a.status != 503 || !strings.Contains(a.detail(t), "shutting down") || !strings.Contains(a.detail(t), "publish again") || a.header.Get("Retry-After") == "" {
		t.Errorf("a new publish got %d %v %s", a.status, a.header, a.body)
	}
	if a := y.do("GET", "/index/config.json", "", nil); a.status != 200 {
		t.Errorf("a read got %d", a.status)
	}
	if a := finish(); a.status != 200 {
		t.Errorf("the publish in flight got %d %s", a.status, a.body)
	}
	y.ends()
	again := openIn(t, y.data, nil)
	if a := again.do("GET", "/crates/demo/1.0.0/download", "", nil); a.status != 200 {
		t.Errorf("after a restart: %d", a.status)
	}
}

// Until the drain delay is over nothing is refused, for whoever has not heard yet sends all that it has. Clients are told to leave their
// connections, so that none has a request under way on one when it is closed. Neither cargo's publish nor this test's client repeats one.
func TestServesUntilDrainDelayIsOver(t *testing.T) {
	t.Parallel()                   // it takes as long as the delay
	const delay = 15 * time.Second // in which a busy machine can ask all of the following
	y := open(t, func(c *registry.Config) { c.DrainDelay = registry.Duration(delay) })
	if a := y.publish(good(t, "demo", "1.0.0")); a.status != 200 {
		t.Fatal(a.status, a.body)
	}
	publisher, reader := y.dial(), y.dial()
	ask := func(c *rawClient, method, path string, body []byte, closes bool) {
		t.Helper()
		if a, closed := c.do(method, path, body); a.status != 200 || closed != closes {
			t.Errorf("%s %s: %d %s; the connection ends: %v, want %v", method, path, a.status, a.body, closed, closes)
		}
	}
	ask(publisher, "PUT", "/api/v1/crates/new", good(t, "demo", "1.0.1"), false)
	reads := []string{"/index/de/mo/demo", "/crates/demo/1.0.0/download", "/api/v1/crates/demo", "/me"}
	for _, path := range reads {
		ask(reader, "GET", path, nil, false)
	}
	y.cancelOnly()
	y.stopping()
	ask(publisher, "PUT", "/api/v1/crates/new", good(t, "demo", "1.0.2"), true)
	ask(y.dial(), "PUT", "/api/v1/crates/new", good(t, "demo", "1.0.3"), true)
	ask(reader, "GET", reads[0], nil, true)
	for _, path := range reads[1:] {
		ask(y.dial(), "GET", path, nil, true)
	}
	finish := y.beginUpload(good(t, "late", "1.0.0"))
	eventually(t, "the delay is over", func() bool { return y.publish(good(t, "demo", "1.0.1")).status == 503 })
	if a := finish(); a.status != 200 {
		t.Errorf("a publish that began in the delay got %d %s", a.status, a.body)
	}
	y.ends()
	again := openIn(t, y.data, nil)
	for _, path := range []string{"/crates/demo/1.0.2/download", "/crates/demo/1.0.3/download", "/crates/late/1.0.0/download"} {
		if a := again.do("GET", path, "", nil); a.status != 200 {
			t.Errorf("after a restart %s: %d", path, a.status)
		}
	}
}

// stopping waits until readiness says that the server stops.
func (y *yard) stopping() {
	y.t.Helper()
	eventually(y.t, "readiness goes", func() bool { a := y.asked("/readyz"); return a.status == 503 && a.body == "stopping\n" })
}

// ends waits for the end of a server that was told to stop.
func (y *yard) ends() {
	y.t.Helper()
	y.stopped = true
	if err := <-y.done; err != nil {
		y.t.Errorf("stop: %v", err)
	}
}

// rawClient has one connection, and sends each request once. Go's own client repeats a GET whose connection was closed under it.
type rawClient struct {
	t     *testing.T
	token string
	conn  net.Conn
	r     *bufio.Reader
}

func (y *yard) dial() *rawClient {
	y.t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(y.url, "http://"))
	if err != nil {
		y.t.Fatal(err)
	}
	y.t.Cleanup(func() { _ = conn.Close() })
	return &rawClient{y.t, y.alice, conn, bufio.NewReader(conn)}
}

// do gives the answer, and whether it is the last one of the connection.
func (c *rawClient) do(method, path string, body []byte) (a answer, closed bool) {
	c.t.Helper()
	req, err := http.NewRequest(method, "http://"+c.conn.RemoteAddr().String()+path, bytes.NewReader(body))
	if err != nil {
		c.t.Fatal(err)
	}
	req.Header.Set("Authorization", c.token)
	if err := req.Write(c.conn); err != nil {
		c.t.Fatalf("%s %s: %v", method, path, err)
	}
	resp, err := http.ReadResponse(c.r, req)
	if err != nil {
		c.t.Fatalf("%s %s: %v", method, path, err)
	}
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		c.t.Fatalf("%s %s: %v", method, path, err)
	}
	return answer{resp.StatusCode, resp.Header, string(text)}, resp.Close
}
