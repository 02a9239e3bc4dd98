package conn

import (
	"bytes"
	"errors"
	"io"
	"net"
	"net/http"
	"strconv"
	"sync/atomic"
	"time"
)

// writer is the http.ResponseWriter of a request that is answered where it arrives. It sends what the server would send for a handler that does as
// Listener.Answer asks.
type writer struct {
	conn   *net.TCPConn
	header http.Header
	date   string
	status int // 0: not said yet
	length int // that the handler says the body has; -1: it does not
	sent   int // of the body
	head   bytes.Buffer
	body   bytes.Buffer // of unknown length, until all of it is there
	parts  [2][]byte
	both   net.Buffers
	err    error
}

func (w *writer) begin(c *net.TCPConn, date string) {
	clear(w.header)
	w.head.Reset()
	w.body.Reset()
	w.conn, w.date, w.status, w.length, w.sent, w.err = c, date, 0, -1, 0, nil
}

// Header gives the headers, to be set before the status is written.
func (w *writer) Header() http.Header { return w.header }

// WriteHeader says what the status is. One below 200 is not sent.
func (w *writer) WriteHeader(status int) {
	if w.status != 0 || status < http.StatusOK {
		return
	}
	w.status = status
	if said := w.header["Content-Length"]; len(said) == 1 {
		if n, err := strconv.Atoi(said[0]); err == nil {
			w.length = n
		}
	}
}

// Write sends a part of the body, with the headers when it is the first.
func (w *writer) Write(p []byte) (int, error) {
	w.WriteHeader(http.StatusOK)
	switch {
	case w.err != nil:
		return 0, w.err
	case !hasBody(w.status):
		return 0, http.ErrBodyNotAllowed
	case w.length < 0:
		return w.body.Write(p)
	case w.sent+len(p) > w.length:
		return 0, http.ErrContentLength
	}
	n := w.send(p)
	w.sent += n
	return n, w.err
}

// SmallFile is the longest file that is read into memory, to leave in one write with the headers.
const SmallFile = 64 << 10

// fileBuffers are for files on their way. A client that does not take its file holds one, so their number is bounded: who gets none sends in pieces.
var fileBuffers = make(chan []byte, fileBuffersMost)

const fileBuffersMost = 64 // 4 MiB in all

func init() {
	for range fileBuffersMost {
		fileBuffers <- nil // it is made when it is needed
	}
}

// ReadFrom sends what r has of a body whose length was said, in one write with the headers: that takes fewer calls than sendfile(2) for a small file.
func (w *writer) ReadFrom(r io.Reader) (n int64, err error) {
	w.WriteHeader(http.StatusOK)
	left := w.length - w.sent
	if left <= 0 || left > SmallFile {
		return io.Copy(struct{ io.Writer }{w}, r)
	}
	var buf []byte
	select {
	case buf = <-fileBuffers:
	default:
		return io.Copy(struct{ io.Writer }{w}, r)
	}
	if buf == nil {
		buf = make([]byte, SmallFile)
	}
	defer func() { fileBuffers <- buf }()
	read, err := io.ReadFull(r, buf[:left])
	sent, werr := w.Write(buf[:read]) // where it is short, the connection ends behind it
	return int64(sent), errors.Join(err, werr)
}

// SetWriteDeadline does nothing: what is answered here is short, and has the time that the server gives any answer.
func (w *writer) SetWriteDeadline(time.Time) error { return nil }

func hasBody(status int) bool {
	return status != http.StatusNoContent && status != http.StatusNotModified
}

// smallBody is what is copied behind the headers more cheaply than it is gathered.
const smallBody = 1 << 10

// send sends a part of the body, with the headers in front where they are not sent yet, and gives how much of the part it sent.
func (w *writer) send(p []byte) int {
	var n int
	if w.head.Len() > 0 {
		n, w.err = w.conn.Write(p)
		return n
	}
	w.head.WriteString("HTTP/1.1 ")
	w.head.Write(strconv.AppendInt(w.head.AvailableBuffer(), int64(w.status), 10))
	w.head.WriteByte(' ')
	w.head.WriteString(http.StatusText(w.status))
	w.head.Write(crlf)
	_ = w.header.Write(&w.head)  // to memory
	w.head.WriteString("Date: ") // where the server has it, so that nobody can tell by the order what is answered here
	w.head.WriteString(w.date)
	if w.length < 0 && hasBody(w.status) { // p is all of it
		w.head.WriteString("\r\nContent-Length: ")
		w.head.Write(strconv.AppendInt(w.head.AvailableBuffer(), int64(len(p)), 10))
	}
	w.head.WriteString("\r\n\r\n")
	head := w.head.Len()
	if len(p) <= smallBody {
		w.head.Write(p)
		n, w.err = w.conn.Write(w.head.Bytes())
		return max(0, n-head)
	}
	w.parts = [2][]byte{w.head.Bytes(), p}
	w.both = w.parts[:]
	sent, err := w.both.WriteTo(w.conn)
	w.parts, w.err = [2][]byte{}, err
	return max(0, int(sent)-head)
}

// errShort is a body that is shorter than was said: the client sees it when the connection ends.
var errShort = errors.New("the answer is shorter than its Content-Length")

// finish sends what is not sent yet. Its error ends the connection.
func (w *writer) finish() error {
	w.WriteHeader(http.StatusOK)
	switch {
	case w.length < 0 && hasBody(w.status):
		w.send(w.body.Bytes())
	case w.length >= 0 && w.sent < w.length && hasBody(w.status):
		return errShort
	case w.head.Len() == 0:
		w.send(nil)
	}
	if w.err == nil && w.header.Get("Connection") == "close" {
		return io.EOF
	}
	return w.err
}

// clock keeps the Date header of the current second.
type clock struct{ last atomic.Pointer[second] }

type second struct {
	unix int64
	date string
}

func (c *clock) date(now time.Time) string {
	s := c.last.Load()
	if s == nil || s.unix != now.Unix() {
		s = &second{now.Unix(), now.UTC().Format(http.TimeFormat)}
		c.last.Store(s)
	}
	return s.date
}
