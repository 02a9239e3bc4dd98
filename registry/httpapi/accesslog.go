package httpapi

import (
	"bufio"
	"io"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"
)

// AccessLog writes one record a request, in the format of the rest of the log. Records are gathered for a moment before
// they are written, because a write a request would cost a tenth of a warm index hit; Close writes what is left.
type AccessLog struct {
	log  *slog.Logger
	out  *lockedBuffer
	stop chan struct{}
	done chan struct{}
}

// accessLogDelay is the longest that a record waits.
const accessLogDelay = 200 * time.Millisecond

// NewAccessLog writes records to w through a handler that handler makes.
func NewAccessLog(w io.Writer, handler func(io.Writer) slog.Handler) *AccessLog {
	out := &lockedBuffer{w: bufio.NewWriterSize(w, 64<<10)}
	l := &AccessLog{log: slog.New(handler(out)), out: out, stop: make(chan struct{}), done: make(chan struct{})}
	go l.flush()
	return l
}

func (l *AccessLog) flush() {
	defer close(l.done)
	tick := time.NewTicker(accessLogDelay)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			l.out.flush()
		case <-l.stop:
			l.out.flush()
			return
		}
	}
}

// Close writes what is left. No record may follow.
func (l *AccessLog) Close() {
	close(l.stop)
	<-l.done
}

// record writes the record of a request. It holds no header and no query: a token could stand in either.
func (l *AccessLog) record(w *response, r *http.Request, path string, d time.Duration) {
	attrs := make([]slog.Attr, 0, 12)
	attrs = append(attrs,
		slog.String("request", w.requestID),
		slog.String("method", r.Method),
		slog.String("path", path),
		slog.Int("status", w.status),
		slog.Int64("bytes", w.bytes),
		slog.Int64("us", d.Microseconds()),
		slog.String("address", remoteAddress(r)))
	if ua := r.Header["User-Agent"]; len(ua) > 0 {
		attrs = append(attrs, slog.String("agent", ua[0]))
	}
	if w.principal != nil {
		attrs = append(attrs, slog.String("user", w.principal.User), slog.Int64("token", w.principal.TokenID))
	}
	if w.err != nil && w.status < 500 { // those of 500 and above have a record of their own
		attrs = append(attrs, slog.String("error", w.err.Error()))
	}
	l.log.LogAttrs(r.Context(), slog.LevelInfo, "request", attrs...)
}

func remoteAddress(r *http.Request) string {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return r.RemoteAddr
	}
	return host
}

// lockedBuffer is a buffered writer for slog, whose handlers write a record in one call.
type lockedBuffer struct {
	mu sync.Mutex
	w  *bufio.Writer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(p) > b.w.Available() {
		if err := b.w.Flush(); err != nil { // whole records only: other writers share the log
			return 0, err
		}
	}
	return b.w.Write(p)
}

func (b *lockedBuffer) flush() {
	b.mu.Lock()
	defer b.mu.Unlock()
	_ = b.w.Flush() // nowhere to report that the log itself cannot be written
}
