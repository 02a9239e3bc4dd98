// Package upstream stands between a mirror and its upstream registry, and shows what the network and other people's servers do: a server cannot be
// made to do this to itself. It changes nothing unless it is told to.
package upstream

import (
	"bytes"
	"compress/gzip"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"time"
)

// Fault is what becomes of a request.
type Fault string

// The faults.
const (
	Down        Fault = "down"         // the connection is cut before an answer
	Error       Fault = "error"        // 500
	TooMany     Fault = "too many"     // 429 with Retry-After: 1
	Busy        Fault = "busy"         // 503 with Retry-After: 1
	Slow        Fault = "slow"         // the answer comes a second late
	Still       Fault = "still"        // no answer comes, until the client goes away
	Cut         Fault = "cut"          // the connection is cut in the middle of the body
	CutNoRange  Fault = "cut no range" // the same, of a server that knows no ranges
	Stall       Fault = "stall"        // the body stops in the middle, until the client goes away
	WrongBytes  Fault = "wrong bytes"  // one byte of the body is another
	Endless     Fault = "endless"      // the body does not end
	Redirect    Fault = "redirect"     // to the same file under another address
	Gzip        Fault = "gzip"         // the body is compressed, whatever was asked for
	Page        Fault = "page"         // 200 with a page of a captive portal
	OtherSum    Fault = "other sum"    // checksums in the body are others
	WrongLength Fault = "wrong length" // Content-Length is not told
)

// TB is what of testing.TB is needed.
type TB interface {
	Helper()
	Cleanup(func())
	Fatal(...any)
}

// Proxy stands before a server.
type Proxy struct {
	URL string

	stop chan struct{}
	mu   sync.Mutex
	to   *url.URL
	rule []rule
	seen []string
	in   int
	most int
}

type rule struct {
	part  string // of the path
	fault Fault
	left  int // -1: for ever
}

// New starts a proxy that ends with the test. It needs To.
func New(t TB) *Proxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &Proxy{URL: "http://" + l.Addr().String(), stop: make(chan struct{})}
	s := &http.Server{Handler: p}
	go func() { _ = s.Serve(l) }() // it ends with Close
	t.Cleanup(func() {
		close(p.stop)
		_ = s.Close() // what is open is cut
	})
	return p
}

// To says which server it stands before.
func (p *Proxy) To(address string) {
	u, err := url.Parse(address)
	if err != nil {
		panic(err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.to = u
}

// Fail has the next times requests with part in their path fail; -1: all of them.
func (p *Proxy) Fail(part string, fault Fault, times int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.rule = append(p.rule, rule{part, fault, times})
}

// Heal takes all faults away.
func (p *Proxy) Heal() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.rule = nil
}

// Count gives how many requests with part in their path came so far. What they have as Range goes along, after a space.
func (p *Proxy) Count(part string) (n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, path := range p.seen {
		if strings.Contains(path, part) {
			n++
		}
	}
	return n
}

// Most gives how many requests were at work at the same time, at most.
func (p *Proxy) Most() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.most
}

func (p *Proxy) begin(path string) (*url.URL, Fault) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.seen = append(p.seen, path)
	p.in++
	p.most = max(p.most, p.in)
	for i, r := range p.rule {
		if r.left != 0 && strings.Contains(path, r.part) {
			p.rule[i].left--
			return p.to, r.fault
		}
	}
	return p.to, ""
}

// ServeHTTP implements http.Handler.
func (p *Proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	what := r.URL.Path
	if part := r.Header.Get("Range"); part != "" {
		what += " " + part
	}
	to, fault := p.begin(what)
	defer func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.in--
	}()
	switch fault {
	case Down:
		panic(http.ErrAbortHandler)
	case Error:
		http.Error(w, "the proxy says so", http.StatusInternalServerError)
		return
	case TooMany, Busy:
		w.Header().Set("Retry-After", "1")
		http.Error(w, "not now", map[Fault]int{TooMany: http.StatusTooManyRequests, Busy: http.StatusServiceUnavailable}[fault])
		return
	case Slow:
		time.Sleep(time.Second)
	case Still:
		select {
		case <-r.Context().Done():
		case <-p.stop:
		}
		panic(http.ErrAbortHandler)
	case Redirect:
		if !strings.Contains(r.URL.RawQuery, "moved") {
			http.Redirect(w, r, r.URL.Path+"?moved", http.StatusFound)
			return
		}
	case Page:
		w.Header().Set("Content-Type", "text/html")
		_, _ = io.WriteString(w, "<html><body>Please log in to this network.</body></html>")
		return
	case Endless:
		for chunk := bytes.Repeat([]byte("x"), 1<<20); ; {
			if _, err := w.Write(chunk); err != nil {
				return
			}
		}
	}
	switch fault {
	case CutNoRange:
		r.Header.Del("Range")
	case OtherSum:
		r.Header.Del("If-None-Match")
	}
	stalled := &stall{r: r, stop: p.stop}
	rp := &httputil.ReverseProxy{FlushInterval: -1, Rewrite: func(pr *httputil.ProxyRequest) { pr.SetURL(to) }, ModifyResponse: func(resp *http.Response) error { return change(resp, fault, stalled) },
		ErrorHandler: func(http.ResponseWriter, *http.Request, error) { panic(http.ErrAbortHandler) }, ErrorLog: log.New(io.Discard, "", 0)}
	rp.ServeHTTP(w, r)
}

// change makes a body what the fault says.
func change(resp *http.Response, fault Fault, stalled *stall) error {
	switch fault {
	case Cut, CutNoRange, Stall, WrongBytes, OtherSum, Gzip, WrongLength:
	default:
		return nil
	}
	if resp.StatusCode >= 300 {
		return nil
	}
	if fault == CutNoRange {
		resp.Header.Del("Accept-Ranges")
	}
	if resp.Header.Get("Content-Encoding") == "gzip" {
		zr, err := gzip.NewReader(resp.Body)
		if err != nil {
			return err
		}
		resp.Body = io.NopCloser(zr)
		resp.Header.Del("Content-Encoding")
	}
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	resp.ContentLength = int64(len(data))
	resp.Header.Del("Content-Length")
	switch fault {
	case Cut, CutNoRange:
		resp.Body = io.NopCloser(io.MultiReader(bytes.NewReader(data[:len(data)/2]), cut{}))
		return nil
	case Stall:
		resp.Body = io.NopCloser(io.MultiReader(bytes.NewReader(data[:len(data)/2]), stalled))
		return nil
	case WrongBytes:
		data[len(data)/2] ^= 1
	case OtherSum:
		data = bytes.ReplaceAll(data, []byte(`"cksum":"`), []byte(`"cksum":"00`))
		resp.Header.Set("Etag", `"other"`) // as of a file that is another
		resp.ContentLength = int64(len(data))
	case Gzip:
		var buf bytes.Buffer
		zw := gzip.NewWriter(&buf)
		_, _ = zw.Write(data) // a buffer takes everything
		_ = zw.Close()
		data = buf.Bytes()
		resp.Header.Set("Content-Encoding", "gzip")
		resp.ContentLength = int64(len(data))
	case WrongLength:
		resp.ContentLength = -1
	}
	resp.Body = io.NopCloser(bytes.NewReader(data))
	return nil
}

// cut is a body that breaks off.
type cut struct{}

func (cut) Read([]byte) (int, error) {
	time.Sleep(20 * time.Millisecond) // so that what came before leaves
	return 0, io.ErrUnexpectedEOF
}

// stall is a body of which no more comes.
type stall struct {
	r    *http.Request
	stop chan struct{}
}

func (s *stall) Read([]byte) (int, error) {
	select {
	case <-s.r.Context().Done():
	case <-s.stop:
	}
	return 0, io.ErrUnexpectedEOF
}
