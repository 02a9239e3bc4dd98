package conn_test

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"reflect"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

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
	_ = c.SetDeadline(time.Now().Add(2 * time.Minute))
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
	"a file":               {[]string{get("/index/file"), get("/index/a")}, 2},
	"a large file":         {[]string{get("/index/large-file"), get("/index/a")}, 2},
	"a file that is short": {[]string{get("/index/short-file"), get("/index/a")}, 1},
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
