package conn

import (
	"bufio"
	"bytes"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"

	"golang.org/x/net/http/httpguts"
)

// A warm index file costs net/http's server more than it costs the registry: for each request it starts a goroutine that waits for the client to go
// away, makes two contexts, sets three deadlines and copies the answer. So requests for the index are answered in Read of their connection, while the
// server believes that it waits for one. net/http's own code reads them (http.ReadRequest), and whatever is not the plainest of requests is
// left to the server.
//
// Bytes that are not a request, such as a part of a body, must never be taken for one. So a connection is looked at only as long as all that the
// server got from it were whole requests without a body, one a read; after anything else it is the server's for good. See docs/adr/0010.

// maxRequest is the longest request that is looked at: what the server reads at once.
const maxRequest = 4 << 10

// Read gives the server what it is to answer.
func (c *Conn) Read(p []byte) (int, error) {
	if c.state == busy && len(p) == 1 { // the server looks whether its client is there; the byte is the first of the next request
		n, err := awaitEnd(c.TCPConn, p)
		if n > 0 {
			c.state = left
		}
		return n, err
	}
	for {
		n, err := c.TCPConn.Read(p)
		if n == 0 || c.state == left {
			return n, err
		}
		target, whole := wholeRequest(p[:n])
		switch {
		case !whole, c.state == busy, len(p) < maxRequest:
			c.state = left
			return n, err
		case c.state == fresh:
			c.state = busy
			return n, err
		}
		answered, failed := c.answer(p[:n], target)
		if failed != nil {
			return 0, io.EOF // to any other error the server would answer something
		}
		if !answered {
			c.state = busy
			return n, err
		}
	}
}

// wholeRequest gives the target of a GET or HEAD request, if p is one without a body, after which its connection stays open, and is nothing else. It is
// strict: each line ends in CR LF, no name or value has a character that it must not have, and none goes on in a second line.
func wholeRequest(p []byte) (target []byte, ok bool) {
	line, rest, found := bytes.Cut(p, crlf)
	method, line, _ := bytes.Cut(line, []byte(" "))
	target, version, _ := bytes.Cut(line, []byte(" "))
	if !found || string(method) != "GET" && string(method) != "HEAD" || string(version) != "HTTP/1.1" || len(target) == 0 || target[0] != '/' || !isText(target) {
		return nil, false
	}
	for {
		line, rest, found = bytes.Cut(rest, crlf)
		if !found {
			return nil, false
		}
		if len(line) == 0 {
			return target, len(rest) == 0
		}
		name, value, isHeader := bytes.Cut(line, []byte(":"))
		if !isHeader || !isToken(name) || !isText(value) || changesFraming(name, value) {
			return nil, false
		}
	}
}

var crlf = []byte("\r\n")

// changesFraming reports whether a header says that something follows the request, or that it is the connection's last.
func changesFraming(name, value []byte) bool {
	switch len(name) { // most names differ in their lengths already
	case len("Content-Length"):
		return bytes.EqualFold(name, []byte("Content-Length"))
	case len("Transfer-Encoding"):
		return bytes.EqualFold(name, []byte("Transfer-Encoding"))
	case len("Expect"):
		return bytes.EqualFold(name, []byte("Expect"))
	case len("Connection"):
		return bytes.EqualFold(name, []byte("Connection")) && bytes.Contains(bytes.ToLower(value), []byte("close"))
	}
	return false
}

// isToken reports whether s can be a header's name (RFC 9110, 5.6.2).
func isToken(s []byte) bool {
	for _, b := range s {
		if !httpguts.IsTokenRune(rune(b)) {
			return false
		}
	}
	return len(s) > 0
}

// isText reports whether s has no control characters but tabs.
func isText(s []byte) bool {
	for _, b := range s {
		if b < ' ' && b != '\t' || b == 0x7f {
			return false
		}
	}
	return true
}

// answer answers a whole request if it is among the listener's arrivals. An error ends the connection.
func (c *Conn) answer(p, target []byte) (answered bool, err error) {
	l := c.listener
	a := l.arrivals.Load()
	if a == nil || p[0] != 'G' || !isPlainPath(target) {
		return false, nil
	}
	l.inFlight.Add(1) // before it is known whether the listener has stopped: Drain waits for what is counted
	defer l.inFlight.Add(-1)
	if l.stopped.Load() || !a.are(string(target)) {
		return false, nil
	}
	s := scratches.Get().(*scratch)
	s.src.Reset(p)
	s.buf.Reset(&s.src)
	r, err := http.ReadRequest(s.buf)
	if err != nil || r.Host == "" || !httpguts.ValidHostHeader(r.Host) || r.Close || r.ContentLength != 0 {
		return false, nil // the server says what is wrong
	}
	if c.remote == "" {
		c.remote = c.RemoteAddr().String()
	}
	r.RemoteAddr = c.remote
	now := time.Now()
	if err := c.setDeadlines(now); err != nil {
		return false, err
	}
	w := &s.writer
	w.begin(c.TCPConn, l.clock.date(now))
	a.handler.ServeHTTP(w, r) // where it panics, the server ends the connection
	err = w.finish()
	w.conn = nil
	scratches.Put(s)
	if end := time.Now(); err == nil && end.Sub(now) > deadlineEvery { // the client is quiet from now on
		err = c.setDeadlines(end)
	}
	return true, err
}

// isPlainPath reports whether a target has the form in which it will be understood. Dots, slashes and escapes can make another path of it.
func isPlainPath(target []byte) bool {
	return !bytes.Contains(target, []byte("//")) && !bytes.Contains(target, []byte("/.")) && bytes.IndexByte(target, '%') < 0
}

// deadlineEvery is how often deadlines are set: to do so for each of a thousand requests a second would cost more than to read them.
const deadlineEvery = time.Second

// setDeadlines gives a client the time that the server gives it to ask again, and to take an answer.
func (c *Conn) setDeadlines(now time.Time) error {
	if now.Sub(c.deadline) < deadlineEvery {
		return nil
	}
	c.deadline = now
	if d := c.listener.server.IdleTimeout; d > 0 {
		if err := c.SetReadDeadline(now.Add(d)); err != nil {
			return err
		}
	}
	if d := c.listener.server.WriteTimeout; d > 0 {
		return c.SetWriteDeadline(now.Add(d))
	}
	return nil
}

// scratch is what a request needs while it is answered.
type scratch struct {
	src    bytes.Reader
	buf    *bufio.Reader
	writer writer
}

var scratches = sync.Pool{New: func() any {
	return &scratch{buf: bufio.NewReaderSize(strings.NewReader(""), maxRequest), writer: writer{header: http.Header{}}}
}}
