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
	"reflect"
	"regexp"
	"strings"
	"sync/atomic"
	"syscall"
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
		s.conns.Answer("/index/", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			s.arrived.Add(1)
			h.ServeHTTP(w, r)
		}))
		l = s.conns
	}
	go func() { _ = hs.Serve(l) }()
	t.Cleanup(func() { _ = hs.Close() })
	return s
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

// heard is what a client got for an answer.
type heard struct {
	answers []any
	reset   bool // what was sent last may be lost: the server left with bytes unread
}

// same reports whether two clients heard the same.
func (h heard) same(other heard) bool {
	if h.reset || other.reset {
		n := min(len(h.answers), len(other.answers)) - 1 // the last is what follows the whole answers
		return reflect.DeepEqual(h.answers[:n], other.answers[:n])
	}
	return reflect.DeepEqual(h.answers, other.answers)
}

// talk sends parts, one after the other, and gives all answers.
func (s *server) talk(t testing.TB, pause time.Duration, parts ...string) heard {
	t.Helper()
	c, err := net.Dial("tcp", s.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(20 * time.Second))
	done := make(chan heard)
	go func() {
		all, err := io.ReadAll(c)
		reset := errors.Is(err, syscall.ECONNRESET)
		if err != nil && !reset {
			t.Error(err)
		}
		done <- heard{answers(t, all), reset}
	}()
	var unheard error // a write that fails takes the error that reads would have had
	for i, p := range parts {
		if i > 0 {
			time.Sleep(pause) // so that parts arrive in reads of their own; nothing depends on it
		}
		if _, unheard = io.WriteString(c, p); unheard != nil {
			break // the server ended the connection
		}
	}
	unheard = errors.Join(unheard, c.(*net.TCPConn).CloseWrite())
	h := <-done
	h.reset = h.reset || unheard != nil
	return h
}

var (
	dates = regexp.MustCompile(`\r\nDate: [^\r]*`)

	// lastWord is what the server says before it ends a connection on which it understood nothing. A client that was still speaking may not hear it.
	lastWord = regexp.MustCompile(`HTTP/1.1 400 Bad Request\r\n(.*\r\n)*Connection: close\r\n\r\n400 Bad Request.*$`)
)

// answers takes a stream apart: what each answer says, and what comes after the last whole one.
func answers(t testing.TB, stream []byte) (all []any) {
	t.Helper()
	stream = lastWord.ReplaceAll(stream, nil)
	in := bufio.NewReader(bytes.NewReader(dates.ReplaceAllFunc(stream, func(h []byte) []byte {
		if _, err := http.ParseTime(string(h[len("\r\nDate: "):])); err != nil {
			t.Errorf("a date %q", h)
		}
		return []byte("\r\nDate: some")
	})))
	for {
		resp, err := http.ReadResponse(in, nil)
		if err != nil {
			rest, _ := io.ReadAll(in)
			return append(all, string(rest))
		}
		body, err := io.ReadAll(resp.Body)
		all = append(all, []any{resp.Status, resp.Proto, resp.Header, resp.ContentLength, resp.Close, resp.TransferEncoding, string(body), fmt.Sprint(err)})
	}
}

func get(path string, headers ...string) string {
	return "GET " + path + " HTTP/1.1\r\n" + strings.Join(append(headers, "Host: h"), "\r\n") + "\r\n\r\n"
}

// conversations are what a client may send after a first request, in parts, and how many of its requests may be answered where they arrive.
var conversations = map[string]struct {
	parts   []string
	arrived int64
}{
	"one file":             {[]string{get("/index/a")}, 1},
	"many files":           {[]string{get("/index/a"), get("/index/b"), get("/index/c?q=1")}, 3},
	"headers":              {[]string{get("/index/a", "If-None-Match: \"x\", W/\"y\"", "accept-encoding:gzip", "User-Agent: \xc3\xa4\t1", "Connection: keep-alive", "X-A: 1", "x-a: 2")}, 1},
	"upgrade":              {[]string{get("/index/a", "Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABk"), get("/index/b")}, 2},
	"not modified":         {[]string{get("/index/same"), get("/index/a")}, 2},
	"no content":           {[]string{get("/index/none"), get("/index/a")}, 2},
	"no such file":         {[]string{get("/index/missing"), get("/index/a")}, 2},
	"nothing said":         {[]string{get("/index/silent"), get("/index/a")}, 2},
	"large":                {[]string{get("/index/large"), get("/index/a")}, 2},
	"shorter than said":    {[]string{get("/index/short"), get("/index/a")}, 1},
	"cut by the handler":   {[]string{get("/index/a"), get("/index/cut"), get("/index/b")}, 2},
	"ended by the handler": {[]string{get("/index/last"), get("/index/a")}, 1},
	"others between":       {[]string{get("/index/a"), get("/other"), get("/index/b"), get("/other"), get("/index/c")}, 3},
	"HEAD between":         {[]string{get("/index/a"), "HEAD /index/a HTTP/1.1\r\nHost: h\r\n\r\n", get("/index/b")}, 2},
	"ended by the client":  {[]string{get("/index/a", "connection: Close"), get("/index/b")}, 0},

	"two at once":                 {[]string{get("/index/a") + get("/index/b"), get("/index/c")}, 0},
	"one and a half":              {[]string{get("/index/a") + "GET /index/b HTTP/1.1\r\nHost: h\r\nX: ", get("/index/c")}, 0},
	"another and a half":          {[]string{get("/other") + "GET /other HTTP/1.1\r\nHost: h\r\nX: ", get("/index/c")}, 0},
	"a header in halves":          {[]string{"GET /index/a HTTP/1.1\r\nHost: h\r\nX: ", get("/index/c")}, 0},
	"a letter first":              {[]string{get("/index/a"), "X", get("/index/b")}, 1},
	"an empty line first":         {[]string{get("/index/a"), "\r\n", get("/index/b")}, 1},
	"a body like a request":       {[]string{"PUT /other HTTP/1.1\r\nHost: h\r\nContent-Length: 35\r\n\r\n", get("/index/smuggled")[:35], get("/index/b")}, 0},
	"a body of a GET":             {[]string{"GET /index/a HTTP/1.1\r\nHost: h\r\nContent-Length: 35\r\n\r\n", get("/index/smuggled")[:35], get("/index/b")}, 0},
	"a body after a bare LF":      {[]string{"GET /index/a HTTP/1.1\r\nHost: h\nContent-Length: 35\r\n\r\n", get("/index/smuggled")[:35], get("/index/b")}, 0},
	"a body after a folded line":  {[]string{"GET /other HTTP/1.1\r\nHost: h\r\nX: 1\r\n Content-Length: 3\r\n\r\n", "abc", get("/index/b")}, 0},
	"a body after a bare CR":      {[]string{"GET /other HTTP/1.1\r\nHost: h\r\nX: 1\rContent-Length: 3\r\n\r\n", "abc", get("/index/b")}, 0},
	"chunks":                      {[]string{"GET /other HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n", "23\r\n" + get("/index/smuggled")[:35] + "\r\n0\r\n\r\n", get("/index/b")}, 0},
	"chunks, and a space":         {[]string{"GET /other HTTP/1.1\r\nHost: h\r\nTransfer-Encoding : chunked\r\n\r\n", "3\r\nabc\r\n0\r\n\r\n", get("/index/b")}, 0},
	"a body that is waited for":   {[]string{"GET /other HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n", "abc", get("/index/b")}, 0},
	"a length of zero":            {[]string{get("/index/a", "Content-Length: 0"), get("/index/b")}, 0},
	"an unknown expectation":      {[]string{get("/index/a", "Expect: more"), get("/index/b")}, 0},
	"no host":                     {[]string{"GET /index/a HTTP/1.1\r\nX: 1\r\n\r\n", get("/index/b")}, 0},
	"an empty host":               {[]string{"GET /index/a HTTP/1.1\r\nHost:\r\n\r\n", get("/index/b")}, 1},
	"two hosts":                   {[]string{get("/index/a", "Host: other"), get("/index/b")}, 0},
	"a bad host":                  {[]string{"GET /index/a HTTP/1.1\r\nHost: a{b\r\n\r\n", get("/index/b")}, 0},
	"a bad header":                {[]string{get("/index/a", "no colon"), get("/index/b")}, 0},
	"a control character":         {[]string{get("/index/a", "X: \x01"), get("/index/b")}, 0},
	"a name with a space":         {[]string{get("/index/a", "X Y: 1"), get("/index/b")}, 0},
	"HTTP/1.0":                    {[]string{"GET /index/a HTTP/1.0\r\nHost: h\r\nConnection: keep-alive\r\n\r\n", get("/index/b")}, 0},
	"HTTP/2's preface":            {[]string{"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", get("/index/b")}, 0},
	"an absolute target":          {[]string{get("http://h/index/a"), get("/index/b")}, 0},
	"a target of two words":       {[]string{get("/index/a b"), get("/index/b")}, 0},
	"another path by dots":        {[]string{get("/index/../other"), get("/index/b")}, 1},
	"another path by escapes":     {[]string{get("/index/%2e%2e/other"), get("/index/b")}, 1},
	"another path by two slashes": {[]string{get("/index//other"), get("/index/b")}, 1},
	"a broken escape":             {[]string{get("/index/%zz"), get("/index/b")}, 0},
	"a long header":               {[]string{get("/index/a", "X: "+strings.Repeat("x", 8000)), get("/index/b")}, 0},
	"an endless header":           {[]string{get("/index/a", "X: "+strings.Repeat("x", 1<<21))}, 0},
	"not HTTP":                    {[]string{"hello\r\n\r\n", get("/index/b")}, 0},
	"nothing":                     {nil, 0},
}

// A client hears from our connections what it hears from net/http's, and what is not plain is left to the server.
func TestAnswersAreTheServers(t *testing.T) {
	for name, talk := range conversations {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			plain, own := serve(t, false, echo), serve(t, true, echo)
			parts := append([]string{get("/other")}, talk.parts...)
			want, got := plain.talk(t, 20*time.Millisecond, parts...), own.talk(t, 20*time.Millisecond, parts...)
			if !got.same(want) {
				t.Errorf("net/http says\n%v\nand we\n%v", want, got)
			}
			if n := own.arrived.Load(); n > talk.arrived {
				t.Errorf("%d requests were answered where they arrived, want %d", n, talk.arrived)
			}
			whole := strings.Join(parts, "")
			if want, got := plain.talk(t, 0, whole), own.talk(t, 0, whole); !got.same(want) {
				t.Errorf("all at once, net/http says\n%v\nand we\n%v", want, got)
			}
		})
	}
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
	_ = c.SetDeadline(time.Now().Add(time.Minute))
	return client{t, c, bufio.NewReader(c)}
}

func (c client) ask(request string) (status int) {
	c.t.Helper()
	if _, err := io.WriteString(c.c, request); err != nil {
		c.t.Fatal(err)
	}
	return c.hear(request[:strings.IndexByte(request, ' ')])
}

func (c client) hear(method string) (status int) {
	c.t.Helper()
	resp, err := http.ReadResponse(c.in, &http.Request{Method: method})
	if err != nil {
		c.t.Fatal(err)
	}
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		c.t.Fatal(err)
	}
	return resp.StatusCode
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
	const short = 1500 * time.Millisecond
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
		c.ask(get(path))
	}
	if _, err := io.WriteString(c.c, get("/index/endless")); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-ended:
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Error(err)
		}
	case <-time.After(time.Minute):
		t.Error("a client that takes nothing is waited for")
	}
	if n := s.arrived.Load(); n != 4 {
		t.Errorf("%d answered where they arrived", n)
	}
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

// fragments are what the fuzz target makes conversations of; a byte names one.
var fragments = []string{
	"GET ", "HEAD ", "PUT ", "/index/a", "/index/missing", "/index/same", "/other", "/index/../x", " HTTP/1.1", " HTTP/1.0", "\r\n", "\n", "\r", "Host: h\r\n",
	"Content-Length: 5\r\n", "Content-Length: 0\r\n", "Transfer-Encoding: chunked\r\n", "Connection: close\r\n", "Connection: keep-alive\r\n", "Expect: 100-continue\r\n",
	"X: ", "x", ":", " ", "\t", "hello", "5\r\nhello\r\n0\r\n\r\n", get("/index/a"), get("/other"), get("/index/last"), "\x00", "\xff", "%2e", "//",
}

const endOfPart = 0xff

// FuzzAnswersAreTheServers holds our connections against net/http's over any conversation, in any parts.
func FuzzAnswersAreTheServers(f *testing.F) {
	f.Add([]byte{27, endOfPart, 27, endOfPart, 28, endOfPart, 27})
	f.Add([]byte{2, 6, 8, 10, 13, 14, 10, endOfPart, 25, endOfPart, 27})
	f.Add([]byte{0, 3, 8, 10, 13, 20, endOfPart, 27})
	f.Add([]byte{0, 6, 8, 10, 13, 16, 10, endOfPart, 26, endOfPart, 27, endOfPart, 21, endOfPart, 27})
	plain, own := serve(f, false, echo), serve(f, true, echo)
	f.Fuzz(func(t *testing.T, script []byte) {
		parts := []string{get("/other")}
		var part strings.Builder
		for _, b := range script[:min(len(script), 60)] {
			if b == endOfPart {
				parts = append(parts, part.String())
				part.Reset()
				continue
			}
			part.WriteString(fragments[int(b)%len(fragments)])
		}
		parts = append(parts, part.String())
		if want, got := plain.talk(t, 200*time.Microsecond, parts...), own.talk(t, 200*time.Microsecond, parts...); !got.same(want) {
			t.Errorf("%q: net/http says\n%v\nand we\n%v", parts, want, got)
		}
	})
}
