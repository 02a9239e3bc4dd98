package conn_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/crateyard/crateyard/registry/conn"
)

// server is net/http's server over plain connections, or over ours.
type server struct {
	addr    string
	conns   *conn.Listener // nil: plain
	arrived atomic.Int64   // requests that were answered where they arrived
}

func serve(t testing.TB, own bool, h http.Handler, options ...func(*http.Server)) *server {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &server{addr: l.Addr().String()}
	hs := &http.Server{Handler: h, ReadHeaderTimeout: time.Minute, IdleTimeout: time.Minute, WriteTimeout: time.Minute, ErrorLog: log.New(io.Discard, "", 0)}
	for _, o := range options {
		o(hs)
	}
	if own {
		s.conns = conn.Listen(l, hs)
		s.conns.Answer(func(path string) bool { return strings.HasPrefix(path, "/index/") }, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			s.arrived.Add(1)
			h.ServeHTTP(w, r)
		}))
		l = s.conns
	}
	go func() { _ = hs.Serve(l) }()
	t.Cleanup(func() { _ = hs.Close() })
	return s
}

// sendFile answers with the beginning of a file, and says that it has some length.
func sendFile(w http.ResponseWriter, size int64, said int) {
	name, err := os.Executable()
	if err != nil {
		panic(err)
	}
	f, err := os.Open(name)
	if err != nil {
		panic(err)
	}
	defer f.Close()
	w.Header().Set("Content-Length", strconv.Itoa(said))
	w.Header().Set("Content-Type", "application/gzip")
	_, _ = io.Copy(w, io.LimitReader(f, size))
}

// echo answers with what it understood, and in the ways that the registry answers.
var echo = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	said := fmt.Sprintf("%s %s %s %v %v %d %q %v\n", r.Method, r.URL, r.Host, r.Header, r.ContentLength, len(body), body, err)
	switch r.URL.Path {
	case "/index/same":
		w.Header().Set("Etag", `"1"`)
		w.WriteHeader(http.StatusNotModified)
	case "/index/none":
		w.WriteHeader(http.StatusNoContent)
		_, _ = io.WriteString(w, "not allowed")
	case "/index/missing":
		http.Error(w, said, http.StatusNotFound)
	case "/index/large":
		w.Header().Set("Content-Length", "100000")
		w.Header().Set("Content-Type", "text/plain")
		_, _ = w.Write(bytes.Repeat([]byte("l"), 60000))
		_, _ = w.Write(bytes.Repeat([]byte("m"), 40000))
	case "/index/short":
		w.Header().Set("Content-Length", "10")
		w.Header().Set("Content-Type", "text/plain")
		_, _ = io.WriteString(w, "short")
	case "/index/file":
		sendFile(w, 5000, 5000)
	case "/index/large-file":
		sendFile(w, 200_000, 200_000)
	case "/index/short-file":
		sendFile(w, 4000, 5000)
	case "/index/cut":
		panic(http.ErrAbortHandler)
	case "/index/last":
		w.Header().Set("Connection", "close")
		w.Header().Set("Content-Type", "text/plain")
		_, _ = io.WriteString(w, said)
	case "/index/silent":
	default:
		w.Header().Set("Content-Length", fmt.Sprint(len(said)))
		w.Header().Set("Content-Type", "text/plain")
		_, _ = io.WriteString(w, said)
	}
})

func get(path string, headers ...string) string {
	return "GET " + path + " HTTP/1.1\r\n" + strings.Join(append(headers, "Host: h"), "\r\n") + "\r\n\r\n"
}

// client asks one thing after the other.
type client struct {
	t  testing.TB
	c  net.Conn
	in *bufio.Reader
}

func (s *server) dial(t testing.TB) client {
	t.Helper()
	c, err := net.Dial("tcp", s.addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	_ = c.SetDeadline(time.Now().Add(2 * time.Minute))
	return client{t, c, bufio.NewReader(c)}
}

func (c client) ask(request string) (status int) {
	c.t.Helper()
	status, err := c.try(request)
	if err != nil {
		c.t.Fatal(err)
	}
	return status
}

// try is ask, of a connection that may have ended.
func (c client) try(request string) (status int, err error) {
	if _, err := io.WriteString(c.c, request); err != nil {
		return 0, err
	}
	return c.tryHear(request[:strings.IndexByte(request, ' ')])
}

func (c client) hear(method string) (status int) {
	c.t.Helper()
	status, err := c.tryHear(method)
	if err != nil {
		c.t.Fatal(err)
	}
	return status
}

func (c client) tryHear(method string) (status int, err error) {
	resp, err := http.ReadResponse(c.in, &http.Request{Method: method})
	if err != nil {
		return 0, err
	}
	_, err = io.Copy(io.Discard, resp.Body)
	return resp.StatusCode, err
}

// All plain requests of a connection but its first are answered where they arrive, whatever other whole requests come between.
func TestAnswersOnArrival(t *testing.T) {
	s := serve(t, true, echo)
	c := s.dial(t)
	for i, step := range []struct {
		request string
		status  int
		arrived int64
	}{
		{get("/index/a"), 200, 0},
		{get("/index/a"), 200, 1},
		{get("/index/a?q=1", "If-None-Match: \"x\", W/\"y\"", "accept-encoding:gzip", "User-Agent: \xc3\xa4\t1", "Connection: keep-alive"), 200, 2},
		{get("/other"), 200, 2},
		{get("/index/same"), 304, 3},
		{get("/index/missing"), 404, 4},
		{get("/index/large"), 200, 5},
		{"HEAD /index/a HTTP/1.1\r\nHost: h\r\n\r\n", 200, 5},
		{get("/index/%61"), 200, 5},
		{get("/index/none", "Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABk"), 204, 6},
		{get("/index/silent"), 200, 7},
		{"PUT /other HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\nab", 200, 7},
		{get("/index/a"), 200, 7},
	} {
		if status := c.ask(step.request); status != step.status || s.arrived.Load() != step.arrived {
			t.Errorf("step %d: status %d, %d answered where they arrived; want %d and %d", i, status, s.arrived.Load(), step.status, step.arrived)
		}
	}
}

// After Stop all is the server's; Drain waits for what is under way.
func TestStopAndDrain(t *testing.T) {
	hold, begun := make(chan struct{}), make(chan struct{}, 1)
	s := serve(t, true, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/index/slow" {
			begun <- struct{}{}
			<-hold
		}
		echo(w, r)
	}))
	slow, other, status := s.dial(t), s.dial(t), make(chan int)
	slow.ask(get("/other"))
	other.ask(get("/other"))
	go func() { status <- slow.ask(get("/index/slow")) }()
	<-begun
	s.conns.Stop()
	short, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if err := s.conns.Drain(short); err == nil {
		t.Error("Drain did not wait for an answer that is under way")
	}
	if got := other.ask(get("/index/a")); got != 200 || s.arrived.Load() != 1 {
		t.Errorf("after Stop: %d, and %d answered where they arrived", got, s.arrived.Load())
	}
	close(hold)
	if err := s.conns.Drain(t.Context()); err != nil {
		t.Error(err)
	}
	if got := <-status; got != 200 {
		t.Errorf("the answer under way: %d", got)
	}
}

// A client that takes no answer is left in the server's time, although the server has ended its own deadlines with the request before; and one that waited
// long for an answer has the time to ask again.
func TestDeadlines(t *testing.T) {
	var err error
	for short := 500 * time.Millisecond; short < 20*time.Second; short *= 2 { // on a busy machine this client, too, is slower than a short time allows
		if err = deadlines(t, short); err == nil {
			return
		}
	}
	t.Error(err)
}

func deadlines(t *testing.T, short time.Duration) error {
	ended := make(chan error, 1)
	s := serve(t, true, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/index/endless":
			w.Header().Set("Content-Length", fmt.Sprint(64<<20))
			_, err := w.Write(make([]byte, 64<<20))
			ended <- err
		case "/index/slow":
			time.Sleep(short)
			echo(w, r)
		default:
			echo(w, r)
		}
	}), func(hs *http.Server) { hs.WriteTimeout, hs.IdleTimeout = 2*short, short })
	c := s.dial(t)
	for _, path := range []string{"/other", "/index/a", "/index/slow", "/index/a", "/other"} {
		if _, err := c.try(get(path)); err != nil {
			return fmt.Errorf("%s, with %s: %w", path, short, err)
		}
	}
	if _, err := io.WriteString(c.c, get("/index/endless")); err != nil {
		return err
	}
	select {
	case err := <-ended:
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			return fmt.Errorf("with %s: %w", short, err)
		}
	case <-time.After(time.Minute):
		return errors.New("a client that takes nothing is waited for")
	}
	if n := s.arrived.Load(); n != 4 {
		return fmt.Errorf("%d answered where they arrived", n)
	}
	return nil
}

// The server still sees that a client goes away while it answers, and what a client sends before it has its answer costs the connection nothing.
func TestServerSeesItsClients(t *testing.T) {
	gone, begun, hold := make(chan struct{}), make(chan struct{}, 1), make(chan struct{})
	s := serve(t, true, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/gone":
			<-r.Context().Done()
			close(gone)
		case "/early":
			begun <- struct{}{}
			<-hold
		}
		echo(w, r)
	}))
	early := s.dial(t)
	early.ask(get("/other"))
	if _, err := io.WriteString(early.c, get("/early")); err != nil {
		t.Fatal(err)
	}
	<-begun
	if _, err := io.WriteString(early.c, get("/index/a")); err != nil {
		t.Fatal(err)
	}
	time.Sleep(20 * time.Millisecond) // for the server to see it
	close(hold)
	if one, two := early.hear("GET"), early.hear("GET"); one != 200 || two != 200 {
		t.Errorf("%d %d", one, two)
	}
	early.ask(get("/index/b"))
	if n := s.arrived.Load(); n != 2 {
		t.Errorf("%d answered where they arrived", n)
	}
	leaves := s.dial(t)
	if _, err := io.WriteString(leaves.c, get("/gone")); err != nil {
		t.Fatal(err)
	}
	_ = leaves.c.Close()
	select {
	case <-gone:
	case <-time.After(time.Minute):
		t.Error("the server does not see that its client is gone")
	}
}
