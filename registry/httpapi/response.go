package httpapi

import (
	"crypto/rand"
	"encoding/json"
	"io"
	"net/http"
	"strconv"
	"sync/atomic"

	"github.com/crateyard/crateyard/registry/auth"
)

// response is a ResponseWriter that knows what was answered to whom, for the access record.
type response struct {
	http.ResponseWriter
	route     *route
	requestID string
	principal *auth.Principal // nil: anonymous
	address   string          // of the client
	status    int             // 0: nothing written yet
	bytes     int64           // of the body
	err       error           // for the log
	cut       bool            // the answer is not whole: the connection is cut when the request ends
}

// WriteHeader notes the status.
func (w *response) WriteHeader(code int) {
	if w.status == 0 && code >= 200 { // 1xx are not the answer
		w.status = code
	}
	w.ResponseWriter.WriteHeader(code)
}

// Write counts.
func (w *response) Write(b []byte) (int, error) {
	if w.status == 0 {
		w.status = http.StatusOK
	}
	n, err := w.ResponseWriter.Write(b)
	w.bytes += int64(n)
	return n, err
}

// ReadFrom lets net/http use sendfile(2) for files.
func (w *response) ReadFrom(r io.Reader) (int64, error) {
	if w.status == 0 {
		w.status = http.StatusOK
	}
	n, err := io.Copy(w.ResponseWriter, r)
	w.bytes += n
	return n, err
}

// Unwrap lets http.ResponseController reach the connection.
func (w *response) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// json answers with a JSON body.
func (w *response) json(code int, body any) error {
	data, err := json.Marshal(body)
	if err != nil {
		return err
	}
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("X-Request-Id", w.requestID) // for who writes a log of their own; index files and archives do without
	h.Set("Content-Length", strconv.Itoa(len(data)))
	w.WriteHeader(code)
	_, _ = w.Write(data) // the client is gone when this fails; the access record shows the bytes
	return nil
}

// requestIDs names requests: a random part for the process, and a number.
type requestIDs struct {
	prefix string
	next   *atomic.Uint64
}

func newRequestIDs() requestIDs {
	return requestIDs{prefix: rand.Text()[:10] + "-", next: &atomic.Uint64{}}
}

// of takes the name that a proxy gave the request, when it is harmless, or makes one.
func (ids requestIDs) of(r *http.Request) string {
	if h := r.Header["X-Request-Id"]; len(h) == 1 && harmless(h[0]) {
		return h[0]
	}
	var buf [32]byte
	return string(strconv.AppendUint(append(buf[:0], ids.prefix...), ids.next.Add(1), 36))
}

func harmless(id string) bool {
	if id == "" || len(id) > 64 {
		return false
	}
	for i := range len(id) {
		c := id[i]
		if !('a' <= c|0x20 && c|0x20 <= 'z' || '0' <= c && c <= '9' || c == '-' || c == '_' || c == '.') {
			return false
		}
	}
	return true
}
