package httpapi

import (
	"encoding/json"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"
)

// AccessLog writes one record a request, in the form that log/slog gives the rest of the log. It does so itself, and gathers
// records for a moment before it writes them: with slog, and a write a record, the log costs a quarter of a warm index hit.
// Close writes what is left.
type AccessLog struct {
	w    io.Writer
	json bool

	mu     sync.Mutex
	buf    []byte
	second int64  // for which stamp is
	stamp  []byte // date and time of that second; to format it for each record would be half of a record's cost
	stop   chan struct{}
	done   chan struct{}
}

const (
	accessLogDelay  = 200 * time.Millisecond // the longest that a record waits
	accessLogBuffer = 64 << 10               // bytes that are written without waiting
)

// NewAccessLog writes records to w, in whole lines, as JSON or as text.
func NewAccessLog(w io.Writer, asJSON bool) *AccessLog {
	l := &AccessLog{w: w, json: asJSON, stop: make(chan struct{}), done: make(chan struct{})}
	go l.flushAll()
	return l
}

func (l *AccessLog) flushAll() {
	defer close(l.done)
	tick := time.NewTicker(accessLogDelay)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			l.mu.Lock()
			l.flush()
			l.mu.Unlock()
		case <-l.stop:
			l.mu.Lock()
			l.flush()
			l.mu.Unlock()
			return
		}
	}
}

// flush writes the buffer; the caller holds the lock.
func (l *AccessLog) flush() {
	if len(l.buf) > 0 {
		_, _ = l.w.Write(l.buf) // nowhere to report that the log itself cannot be written
		l.buf = l.buf[:0]
	}
}

// Close writes what is left. No record may follow.
func (l *AccessLog) Close() {
	close(l.stop)
	<-l.done
}

// record writes the record of a request. It holds no header but the agent and no query: a token could stand in either.
func (l *AccessLog) record(w *response, r *http.Request, path string, now time.Time, d time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if s := now.Unix(); s != l.second {
		l.second, l.stamp = s, now.UTC().AppendFormat(l.stamp[:0], logSecond)
	}
	rec := record{b: l.buf, json: l.json}
	rec.begin(l.stamp, now)
	rec.text("request", w.requestID)
	rec.text("method", r.Method)
	rec.text("path", path)
	rec.number("status", int64(w.status))
	rec.number("bytes", w.bytes)
	rec.number("us", d.Microseconds())
	rec.text("address", w.address)
	if ua := r.Header["User-Agent"]; len(ua) > 0 {
		rec.text("agent", ua[0])
	}
	if w.principal != nil {
		rec.text("user", w.principal.User)
		rec.number("token", w.principal.TokenID)
	}
	if w.err != nil && w.status < 500 { // those of 500 and above have a record of their own
		rec.text("error", w.err.Error())
	}
	rec.end()
	if l.buf = rec.b; len(l.buf) > accessLogBuffer {
		l.flush()
	}
}

func remoteAddress(r *http.Request) string {
	if i := strings.LastIndexByte(r.RemoteAddr, ':'); i > 0 {
		return strings.Trim(r.RemoteAddr[:i], "[]")
	}
	return r.RemoteAddr
}

// record appends one line in slog's JSON or text form.
type record struct {
	b    []byte
	json bool
}

// logSecond is what the layout of slog's text handler has before the milliseconds; times are in UTC.
const logSecond = "2006-01-02T15:04:05"

func (r *record) begin(second []byte, now time.Time) {
	ms := now.Nanosecond() / int(time.Millisecond)
	fraction := [...]byte{'.', byte('0' + ms/100), byte('0' + ms/10%10), byte('0' + ms%10), 'Z'}
	if r.json {
		r.b = append(append(append(r.b, `{"time":"`...), second...), fraction[:]...)
		r.b = append(r.b, `","level":"INFO","msg":"request"`...)
	} else {
		r.b = append(append(append(r.b, "time="...), second...), fraction[:]...)
		r.b = append(r.b, " level=INFO msg=request"...)
	}
}

func (r *record) key(k string) {
	if r.json {
		r.b = append(append(append(r.b, `,"`...), k...), `":`...)
	} else {
		r.b = append(append(append(r.b, ' '), k...), '=')
	}
}

func (r *record) number(k string, n int64) {
	r.key(k)
	r.b = strconv.AppendInt(r.b, n, 10)
}

// maxLogText is the most of a client's text that a record takes.
const maxLogText = 1 << 10

func (r *record) text(k, s string) {
	r.key(k)
	if len(s) > maxLogText {
		s = s[:maxLogText]
	}
	plain, bare := true, s != ""
	for i := range len(s) {
		c := s[i]
		plain = plain && c >= ' ' && c < 0x7f && c != '"' && c != '\\'
		bare = bare && c > ' ' && c != '='
	}
	switch {
	case r.json && plain:
		r.b = append(append(append(r.b, '"'), s...), '"')
	case r.json:
		quoted, _ := json.Marshal(s) // a string always marshals; what is not UTF-8 is replaced
		r.b = append(r.b, quoted...)
	case plain && bare:
		r.b = append(r.b, s...)
	default:
		r.b = strconv.AppendQuote(r.b, s)
	}
}

func (r *record) end() {
	if r.json {
		r.b = append(r.b, '}')
	}
	r.b = append(r.b, '\n')
}
