package storage

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	awsmiddleware "github.com/aws/aws-sdk-go-v2/aws/middleware"
)

// idleConnections is how many connections wait for the next request: as many as downloads may run side by side on a busy server.
const idleConnections = 256

// errStalled is why a transfer was ended in which no byte moved for too long.
var errStalled = errors.New("no byte moved for too long")

// s3HTTP makes the client below the SDK: it trusts the CA file, bounds each step in time, and tells the observer and the clock.
func s3HTTP(o S3Options, clock *serverClock) (_ *http.Client, closeIdle func(), err error) {
	roots, err := s3Roots(o.CAFile)
	if err != nil {
		return nil, nil, err
	}
	dialer := &net.Dialer{Timeout: dialTimeout, KeepAlive: 30 * time.Second}
	transport := &http.Transport{
		Proxy: http.ProxyFromEnvironment, DialContext: dialer.DialContext,
		TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: roots}, TLSHandshakeTimeout: dialTimeout,
		MaxIdleConns: idleConnections, MaxIdleConnsPerHost: idleConnections, IdleConnTimeout: 90 * time.Second,
		ResponseHeaderTimeout: cmp.Or(o.headers, headerTimeout), ExpectContinueTimeout: time.Second,
		DisableCompression: true, // lengths and ranges are those of the stored bytes
	}
	w := &watchedTransport{next: transport, stall: cmp.Or(o.stall, stallTimeout), observer: o.Observer, clock: clock}
	// A redirect would lead to a bucket of another region, with a signature that does not fit there: its answer is the error.
	client := &http.Client{Transport: w, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	return client, transport.CloseIdleConnections, nil
}

// s3Roots are the system's certificates and those of the file, or of AWS_CA_BUNDLE; nil stands for the system's alone.
func s3Roots(file string) (*x509.CertPool, error) {
	if file == "" {
		file = os.Getenv("AWS_CA_BUNDLE")
	}
	if file == "" {
		return nil, nil
	}
	pem, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("certificates for S3 (storage.s3.caFile): %w", err)
	}
	roots, err := x509.SystemCertPool()
	if err != nil {
		roots = x509.NewCertPool() // an image without any
	}
	if !roots.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("certificates for S3 (storage.s3.caFile): %s holds no PEM certificate", file)
	}
	return roots, nil
}

// watchedTransport cuts off transfers that stand still, and tells the observer of each request.
type watchedTransport struct {
	next     http.RoundTripper
	stall    time.Duration
	observer S3Observer // may be nil
	clock    *serverClock
}

// RoundTrip implements http.RoundTripper.
func (t *watchedTransport) RoundTrip(req *http.Request) (*http.Response, error) {
	start := time.Now()
	ctx, cancel := context.WithCancelCause(req.Context())
	w := &watch{after: t.stall, timer: time.AfterFunc(t.stall, func() { cancel(errStalled) })}
	w.timer.Stop()
	out := req.Clone(ctx)
	if req.Body != nil && req.Body != http.NoBody {
		out.Body = &sentBody{ReadCloser: req.Body, watch: w, observer: t.observer}
	}
	resp, err := t.next.RoundTrip(out)
	w.end() // the transport may go on reading the body for a while
	if err != nil && errors.Is(context.Cause(ctx), errStalled) {
		err = errors.Join(errStalled, err)
	}
	t.report(req, resp, err, time.Since(start))
	if err != nil {
		cancel(nil)
		return nil, err
	}
	t.clock.hear(resp)
	w = &watch{after: t.stall, timer: time.AfterFunc(t.stall, func() { cancel(errStalled) })}
	w.timer.Stop()
	resp.Body = &receivedBody{ReadCloser: resp.Body, watch: w, observer: t.observer, ctx: ctx, cancel: cancel}
	return resp, nil
}

func (t *watchedTransport) report(req *http.Request, resp *http.Response, err error, took time.Duration) {
	if t.observer == nil {
		return
	}
	ctx := req.Context()
	retried := !strings.HasPrefix(req.Header.Get("Amz-Sdk-Request"), "attempt=1") || ctx.Value(resumed{}) != nil
	t.observer.Request(awsmiddleware.GetOperationName(ctx), codeOf(ctx, resp, err), took, retried)
}

// resumed marks the context of a request that goes on where one was cut off.
type resumed struct{}

// codeOf is how a request went, in one word.
func codeOf(ctx context.Context, resp *http.Response, err error) string {
	var timeout net.Error
	switch {
	case err == nil:
		return strconv.Itoa(resp.StatusCode)
	case errors.Is(err, errStalled):
		return "stalled"
	case errors.Is(context.Cause(ctx), errSlow), errors.Is(err, context.DeadlineExceeded):
		return "timeout"
	case ctx.Err() != nil:
		return "canceled"
	case errors.As(err, &timeout) && timeout.Timeout():
		return "timeout"
	}
	return "unreachable"
}

// watch is a timer that may be wound up until it is ended.
type watch struct {
	after time.Duration
	mu    sync.Mutex
	timer *time.Timer
	ended bool
}

func (w *watch) wind() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.ended {
		w.timer.Reset(w.after)
	}
}

func (w *watch) end() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.ended = true
	w.timer.Stop()
}

// sentBody is the body of a request. Its watch runs between two reads, for there the network is waited for.
type sentBody struct {
	io.ReadCloser
	watch    *watch
	observer S3Observer
}

// Read implements io.Reader.
func (b *sentBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err == nil {
		b.watch.wind()
	} else {
		b.watch.timer.Stop() // after the last piece the wait for the answer has a bound of its own
	}
	if b.observer != nil && n > 0 {
		b.observer.Bytes(n, 0)
	}
	return n, err
}

// receivedBody is the body of an answer. Its watch runs during a read, and not while our own reader takes its time.
type receivedBody struct {
	io.ReadCloser
	watch    *watch
	observer S3Observer
	ctx      context.Context
	cancel   context.CancelCauseFunc
}

// Read implements io.Reader.
func (b *receivedBody) Read(p []byte) (int, error) {
	b.watch.wind()
	n, err := b.ReadCloser.Read(p)
	b.watch.timer.Stop()
	if err != nil && err != io.EOF && errors.Is(context.Cause(b.ctx), errStalled) {
		err = errors.Join(errStalled, err)
	}
	if b.observer != nil && n > 0 {
		b.observer.Bytes(0, n)
	}
	return n, err
}

// Close implements io.Closer.
func (b *receivedBody) Close() error {
	b.watch.end()
	err := b.ReadCloser.Close()
	b.cancel(nil)
	return err
}
