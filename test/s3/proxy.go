package s3

import (
	"bytes"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
)

// Fault is a way in which a Proxy makes a request fail.
type Fault string

// The faults. What a request was to do is done only where that is said.
const (
	ServerError  Fault = "error 500"
	Unavailable  Fault = "error 503"
	SlowDown     Fault = "slow down"
	NoConditions Fault = "no conditional writes" // If-None-Match is answered with 501
	Ignorant     Fault = "ignores conditions"    // If-None-Match is taken away
	CutRequest   Fault = "cut in the request"    // in the middle of its body
	LostAnswer   Fault = "answer lost"           // the server did it, and nobody hears of it
	CutAnswer    Fault = "cut in the answer"     // in the middle of its body, done
	StillAnswer  Fault = "answer stands still"   // in the middle of its body, done
	StillRequest Fault = "request stands still"  // nothing is read of its body
	NoAnswer     Fault = "no answer"             // after the whole request, done
	Slow         Fault = "slow"                  // 200 ms late, done
	Damaged      Fault = "damaged request"       // one byte of its body is another
	Teapot       Fault = "no S3"                 // an answer of something else
	NoRanges     Fault = "ignores ranges"        // Range is taken away
	NoSums       Fault = "keeps no checksums"    // they are taken out of the answer
	NoReads      Fault = "reads are refused"     // objects may be listed and written, and not read
	NoHeads      Fault = "heads are refused"     // HEAD alone
	NoCrates     Fault = "crates are refused"    // nothing may be written below crates/
)

// Faults are those that one request may meet on a network that works now and then.
var Faults = []Fault{ServerError, Unavailable, SlowDown, CutRequest, LostAnswer, CutAnswer, StillAnswer, StillRequest, NoAnswer, Slow, Damaged}

// Proxy stands before a server.
type Proxy struct {
	Endpoint string

	backend *Server
	server  *http.Server
	next    http.Transport
	stop    chan struct{}

	mu       sync.Mutex
	requests int
	nth      int // 0: every one
	fault    Fault
}

// NewProxy starts a proxy before s that ends with the test.
func NewProxy(t TB, s *Server) *Proxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &Proxy{Endpoint: "http://" + l.Addr().String(), backend: s, stop: make(chan struct{})}
	p.next.MaxIdleConnsPerHost = 100
	p.server = &http.Server{Handler: p}
	go func() { _ = p.server.Serve(l) }() // it ends with Close
	t.Cleanup(func() {
		close(p.stop)
		if err := p.server.Close(); err != nil {
			t.Error(err)
		}
		p.next.CloseIdleConnections()
	})
	return p
}

// Fail makes the nth request from now on fail, or with 0 every one; an empty fault lets all through. It counts from 0 again.
func (p *Proxy) Fail(nth int, fault Fault) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.requests, p.nth, p.fault = 0, nth, fault
}

// Requests is how many came since Fail.
func (p *Proxy) Requests() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.requests
}

func (p *Proxy) count() Fault {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.requests++
	if p.nth == 0 || p.nth == p.requests {
		return p.fault
	}
	return ""
}

// ServeHTTP implements http.Handler.
func (p *Proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	fault := p.count()
	switch fault {
	case ServerError:
		sayError(w, http.StatusInternalServerError, "InternalError")
	case Unavailable:
		sayError(w, http.StatusServiceUnavailable, "ServiceUnavailable")
	case SlowDown:
		sayError(w, http.StatusServiceUnavailable, "SlowDown")
	case Teapot:
		w.WriteHeader(http.StatusTeapot)
	case NoReads:
		if r.Method == http.MethodGet && !r.URL.Query().Has("list-type") {
			sayError(w, http.StatusForbidden, "AccessDenied")
			return
		}
		p.forward(w, r, fault)
	case NoHeads:
		if r.Method == http.MethodHead {
			w.WriteHeader(http.StatusForbidden)
			return
		}
		p.forward(w, r, fault)
	case NoCrates:
		if r.Method == http.MethodPut && strings.Contains(r.URL.Path, "/crates/") {
			sayError(w, http.StatusForbidden, "AccessDenied")
			return
		}
		p.forward(w, r, fault)
	case NoConditions:
		if r.Header.Get("If-None-Match") != "" {
			sayError(w, http.StatusNotImplemented, "NotImplemented")
			return
		}
		p.forward(w, r, fault)
	case CutRequest:
		_, _ = io.CopyN(io.Discard, r.Body, r.ContentLength/2)
		panic(http.ErrAbortHandler)
	case StillRequest:
		p.wait(r)
	case Slow:
		time.Sleep(200 * time.Millisecond)
		p.forward(w, r, fault)
	default:
		p.forward(w, r, fault)
	}
}

// wait holds a request until its client or the test ends, and answers nothing.
func (p *Proxy) wait(r *http.Request) {
	select {
	case <-r.Context().Done():
	case <-p.stop:
	case <-time.After(20 * time.Second):
	}
	panic(http.ErrAbortHandler)
}

// forward passes a request on as it is: its signature covers the host's name.
func (p *Proxy) forward(w http.ResponseWriter, r *http.Request, fault Fault) {
	out := r.Clone(r.Context())
	out.URL.Scheme, out.URL.Host, out.RequestURI = "http", strings.TrimPrefix(p.backend.Endpoint, "http://"), ""
	out.Header.Del("Expect") // this server has answered it already
	switch fault {
	case Ignorant:
		p.without(out, "If-None-Match")
	case NoRanges:
		p.without(out, "Range")
	case Damaged:
		if data, err := io.ReadAll(r.Body); err == nil && len(data) > 0 {
			data[len(data)/2] ^= 1
			out.Body = io.NopCloser(bytes.NewReader(data))
		}
	}
	resp, err := p.next.RoundTrip(out)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	defer func() { _ = resp.Body.Close() }() // it was read only
	switch fault {
	case LostAnswer:
		panic(http.ErrAbortHandler)
	case NoAnswer:
		p.wait(r)
	case NoSums:
		resp.Header.Del("X-Amz-Checksum-Sha256")
	}
	for name, values := range resp.Header {
		w.Header()[name] = values
	}
	w.WriteHeader(resp.StatusCode)
	if half := resp.ContentLength / 2; fault == CutAnswer || fault == StillAnswer {
		_, _ = io.CopyN(w, resp.Body, half)
		_ = http.NewResponseController(w).Flush()
		if fault == StillAnswer && r.Method != http.MethodHead {
			p.wait(r)
		}
		panic(http.ErrAbortHandler)
	}
	_, _ = io.Copy(w, resp.Body) // the client notices what is missing
}

// without takes a header away and signs what is left.
func (p *Proxy) without(r *http.Request, header string) {
	if r.Header.Get(header) == "" {
		return
	}
	r.Header.Del(header)
	r.Header.Del("Authorization")
	keys := aws.Credentials{AccessKeyID: p.backend.AccessKey, SecretAccessKey: p.backend.SecretKey}
	err := v4.NewSigner().SignHTTP(r.Context(), keys, r, r.Header.Get("X-Amz-Content-Sha256"), "s3", p.backend.Region, time.Now(),
		func(o *v4.SignerOptions) { o.DisableURIPathEscaping = true })
	if err != nil {
		panic(err)
	}
}

func sayError(w http.ResponseWriter, status int, code string) {
	w.Header().Set("Content-Type", "application/xml")
	w.WriteHeader(status)
	_, _ = io.WriteString(w, "<Error><Code>"+code+"</Code><Message>by the proxy</Message></Error>")
}
