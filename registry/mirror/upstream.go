package mirror

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/singleflight"
	"golang.org/x/time/rate"

	"github.com/crateyard/crateyard/registry/index"
	"github.com/crateyard/crateyard/registry/wire"
)

const (
	headerWait   = 10 * time.Second // for upstream to begin an answer; it is asked again then
	stallWait    = 30 * time.Second // for its next bytes
	readBuffer   = 32 << 10         // bytes of an answer that are read at once: most archives take one or two reads
	maxIndexFile = 64 << 20         // of crates.io's the longest has some 3 MB
	attempts     = 3                // of a request that upstream or the network fails
	firstBackoff = 200 * time.Millisecond
	maxPause     = 5 * time.Minute // that upstream can ask for (Retry-After)
)

// upstream speaks to one registry. It is safe for concurrent use.
type upstream struct {
	base    string // of the index, with a slash at its end, without "sparse+"
	host    string // for people
	token   string
	agent   string
	http    *http.Client
	slots   chan struct{}
	large   chan struct{} // held while a large index file is read
	limiter *rate.Limiter // nil: no limit
	metrics Metrics
	name    string                // of the mirror, for the metrics
	own     string                // the mirror's own address of downloads
	circle  atomic.Pointer[error] // not nil: to ask upstream would be to wait for oneself, see circle.go

	pausedUntil atomic.Int64 // nanoseconds since 1970
	health      atomic.Pointer[health]
	answered    atomic.Int64 // when it last answered, in nanoseconds since 1970; 0: never
	greeted     atomic.Bool  // it was asked for its first word
	looking     atomic.Bool  // it is being asked whether it is of help again

	configs singleflight.Group
	mu      sync.Mutex
	config  *registryConfig
	read    time.Time
}

func newUpstream(name string, s wire.MirrorUpstream, token, version string, m Metrics) (*upstream, error) {
	base := strings.TrimPrefix(s.Index, "sparse+")
	u, err := url.Parse(base)
	if err != nil {
		return nil, err
	}
	t := http.DefaultTransport.(*http.Transport).Clone() // with HTTP/2, and the proxies of the environment
	t.MaxIdleConnsPerHost = s.Concurrency
	t.ResponseHeaderTimeout = headerWait
	t.ReadBufferSize = readBuffer // of each connection
	t.HTTP2 = &http.HTTP2Config{SendPingTimeout: 15 * time.Second}
	if s.CABundle != "" {
		pool, err := x509.SystemCertPool()
		if err != nil {
			pool = x509.NewCertPool()
		}
		pool.AppendCertsFromPEM([]byte(s.CABundle))
		t.TLSClientConfig = &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}
	}
	up := &upstream{base: base, host: u.Host, token: token, agent: "crateyard/" + version, http: &http.Client{Transport: t, CheckRedirect: guardToken},
		slots: make(chan struct{}, s.Concurrency), large: make(chan struct{}, 1), metrics: m, name: name}
	if s.Contact != "" {
		up.agent += " (" + s.Contact + ")"
	}
	if s.RequestsPerSecond > 0 {
		up.limiter = rate.NewLimiter(rate.Limit(s.RequestsPerSecond), s.RequestsPerSecond)
	}
	return up, nil
}

func (u *upstream) close() { u.http.CloseIdleConnections() }

// statusError is an answer that is no use.
type statusError struct {
	code int
	wait time.Duration // that upstream asked for
}

func (e *statusError) Error() string {
	if e.code == http.StatusUnauthorized || e.code == http.StatusForbidden {
		return fmt.Sprintf("it refuses the mirror with %d: it wants a token, or another one", e.code)
	}
	return fmt.Sprintf("upstream answered %d %s", e.code, http.StatusText(e.code))
}

// again reports whether a failure may pass.
func again(err error) bool {
	if s, ok := errors.AsType[*statusError](err); ok {
		return s.code == http.StatusTooManyRequests || s.code >= 500
	}
	return !errors.Is(err, context.Canceled) && !errors.Is(err, errNoUse)
}

// errNoUse marks answers that will not get better by asking again.
var errNoUse = errors.New("no use")

// get asks for an address, some times when that may help, and gives an answer of one of the codes. The caller closes its body, which gives the slot
// back. what names the kind of request in the metrics.
func (u *upstream) get(ctx context.Context, what, address string, header http.Header, codes ...int) (*http.Response, error) {
	wait := firstBackoff
	for attempt := 1; ; attempt++ {
		resp, err := u.once(ctx, what, address, header, codes)
		if err == nil || attempt == attempts || !again(err) || ctx.Err() != nil {
			if err != nil {
				err = u.failed(err)
			}
			return resp, err
		}
		if s, ok := errors.AsType[*statusError](err); ok && s.wait > 0 {
			wait = s.wait
		}
		if deadline, ok := ctx.Deadline(); ok && time.Until(deadline) < wait {
			return nil, u.failed(err)
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
		wait = min(4*wait, 5*time.Second)
	}
}

func (u *upstream) once(ctx context.Context, what, address string, header http.Header, codes []int) (*http.Response, error) {
	if err := u.admit(ctx); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	release := func() { cancel(); <-u.slots }
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		release()
		return nil, fmt.Errorf("%w: %w", errNoUse, err)
	}
	for k, v := range header {
		req.Header[k] = v
	}
	req.Header.Set("User-Agent", u.agent)
	begin := time.Now()
	resp, err := u.http.Do(req)
	code := "error"
	if err == nil {
		code = strconv.Itoa(resp.StatusCode)
	}
	u.metrics.UpstreamRequest(u.name, what, code, time.Since(begin))
	if err != nil {
		release()
		return nil, withoutAddress(err)
	}
	resp.Body = &body{ReadCloser: resp.Body, release: release, cancel: cancel}
	for _, c := range codes {
		if resp.StatusCode == c {
			if what != "config" && c < http.StatusBadRequest { // what is not found may be so because it is no registry at all
				u.answers()
			}
			return resp, nil
		}
	}
	_, _ = io.CopyN(io.Discard, resp.Body, 4<<10) // so that the connection can be used again
	_ = resp.Body.Close()
	e := &statusError{code: resp.StatusCode, wait: retryAfter(resp)}
	if e.wait > 0 && (e.code == http.StatusTooManyRequests || e.code == http.StatusServiceUnavailable) {
		u.pausedUntil.Store(time.Now().Add(e.wait).UnixNano())
	}
	return nil, e
}

// admit waits for a slot, and for upstream's own pauses and the rate that it is to be asked at.
func (u *upstream) admit(ctx context.Context) error {
	if pause := time.Until(time.Unix(0, u.pausedUntil.Load())); pause > 0 {
		if deadline, ok := ctx.Deadline(); ok && time.Until(deadline) < pause {
			return fmt.Errorf("%w: it asked to be left alone for another %s", errNoUse, pause.Round(time.Second))
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	select {
	case u.slots <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	if u.limiter != nil {
		if err := u.limiter.Wait(ctx); err != nil {
			<-u.slots
			return err
		}
	}
	return nil
}

// body is an answer's body that gives its slot back, and is given up when no byte comes for a while. One reads it, and closes it.
type body struct {
	io.ReadCloser
	release, cancel func()      // release is nil once it is closed
	stalled         *time.Timer // gives the request up; it runs while somebody waits for bytes
}

func (b *body) Read(p []byte) (int, error) {
	if b.stalled == nil {
		b.stalled = time.AfterFunc(stallWait, b.cancel)
	} else {
		b.stalled.Reset(stallWait)
	}
	n, err := b.ReadCloser.Read(p)
	if !b.stalled.Stop() && err != nil {
		err = fmt.Errorf("no byte came for %s", stallWait) // and not that somebody went away
	}
	return n, err
}

func (b *body) Close() error {
	err := b.ReadCloser.Close()
	if b.release != nil {
		b.release()
		b.release = nil
	}
	return err
}

func retryAfter(resp *http.Response) time.Duration {
	h := resp.Header.Get("Retry-After")
	if n, err := strconv.Atoi(h); err == nil && n >= 0 {
		return min(time.Duration(n)*time.Second, maxPause)
	}
	if t, err := http.ParseTime(h); err == nil {
		return min(max(time.Until(t), 0), maxPause)
	}
	return 0
}

// withoutAddress takes the address out of an error of net/http.
func withoutAddress(err error) error {
	if ue, ok := errors.AsType[*url.Error](err); ok {
		return ue.Err
	}
	return err
}

func (u *upstream) authorize(h http.Header, needed bool) {
	if u.token != "" && needed {
		h.Set("Authorization", u.token)
	}
}

// indexAnswer is what upstream says of an index file.
type indexAnswer struct {
	same               bool   // it is still the one with the validators that were sent
	file               []byte // nil and not same: there is no such crate
	etag, lastModified string
}

// index asks for an index file, unless it is still the one that the validators name.
func (u *upstream) index(ctx context.Context, name, etag, lastModified string) (a indexAnswer, err error) {
	header := http.Header{"Accept": {"text/plain"}, "Cargo-Protocol": {"version=1"}}
	if etag != "" {
		header.Set("If-None-Match", etag)
	} else if lastModified != "" {
		header.Set("If-Modified-Since", lastModified)
	}
	u.authorize(header, true)
	if c := u.circle.Load(); c != nil {
		return a, u.failed(*c)
	}
	for try := 1; ; try++ {
		a, err = u.indexOnce(ctx, name, header)
		if _, lost := errors.AsType[*cutError](err); !lost || try == attempts || ctx.Err() != nil {
			return a, err
		}
	}
}

func (u *upstream) indexOnce(ctx context.Context, name string, header http.Header) (a indexAnswer, err error) {
	resp, err := u.get(ctx, "index", u.base+index.Path(name), header, http.StatusOK, http.StatusNotModified,
		http.StatusNotFound, http.StatusGone, http.StatusUnavailableForLegalReasons)
	if err != nil {
		return a, err
	}
	defer func() { _ = resp.Body.Close() }() // it was read, or is of no interest
	switch resp.StatusCode {
	case http.StatusNotModified:
		return indexAnswer{same: true}, nil
	case http.StatusOK:
	default: // what is no registry has no crate, either, and is not to be believed
		_ = resp.Body.Close() // the next question may need its slot
		if _, err = u.registry(ctx); err == nil {
			u.answers()
		}
		return a, err
	}
	if how := encoded(resp); how != "" {
		return a, u.failed(fmt.Errorf("%w: it sends its index file of %s compressed as %s, which it was not asked to", errNoUse, name, how))
	}
	a.etag, a.lastModified = resp.Header.Get("Etag"), resp.Header.Get("Last-Modified")
	a.file, err = readIndexFile(ctx, resp, u.large)
	switch {
	case errors.Is(err, errLongIndex):
		return a, u.failed(fmt.Errorf("%w: its index file of %s has more than %d bytes", errNoUse, name, maxIndexFile))
	case err != nil:
		return a, u.failed(&cutError{err})
	}
	u.metrics.UpstreamBytes(u.name, "index", int64(len(a.file)))
	return a, nil
}

// encoded names the compression that an answer says it has, and that nobody has taken away; empty: it has none.
func encoded(resp *http.Response) string {
	switch how := strings.ToLower(resp.Header.Get("Content-Encoding")); how {
	case "identity", "aws-chunked": // which some stores keep of how a file was sent to them
		return ""
	default:
		return fmt.Sprintf("%.20s", how)
	}
}

// download gives the address of an archive, as cargo makes it from upstream's config.json, and whether it needs the token.
func (u *upstream) download(ctx context.Context, name, num, sum string) (address string, token bool, err error) {
	c, err := u.registry(ctx)
	if err != nil {
		return "", false, err
	}
	if !strings.Contains(c.Download, "{") {
		return c.Download + "/" + name + "/" + num + "/download", c.AuthRequired, nil
	}
	prefix := func(n string) string { p := index.Path(n); return p[:strings.LastIndexByte(p, '/')] }
	filled := strings.NewReplacer("{crate}", name, "{version}", num, "{prefix}", originalPrefix(name), "{lowerprefix}", prefix(name),
		"{sha256-checksum}", sum).Replace(c.Download)
	if filled == c.Download {
		filled += "/" + name + "/" + num + "/download"
	}
	return filled, c.AuthRequired, nil
}

// originalPrefix is the folder of an index file in the case that the name has, as cargo fills it in for {prefix}.
func originalPrefix(name string) string {
	switch len(name) {
	case 1, 2:
		return strconv.Itoa(len(name))
	case 3:
		return "3/" + name[:1]
	}
	return name[:2] + "/" + name[2:4]
}
