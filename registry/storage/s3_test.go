package storage

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/crateyard/crateyard/registry/fault"
	"github.com/crateyard/crateyard/test/s3"
)

// What is wrong with a bucket is said in words for a person, with the settings to look at, and with no secret.
func TestS3Troubles(t *testing.T) {
	server := s3Server(t)
	readOnly := s3.New(t)
	bucket := newBucket(t, readOnly)
	s := openS3(t, S3Options{Endpoint: readOnly.Endpoint, Bucket: bucket})
	key, data := blobOf("demo", "1.0.0", 1000)
	mustStore(t, s, key, data)
	if err := readOnly.Stop(); err != nil {
		t.Fatal(err)
	}
	readOnly.Flags = []string{"--readonly"}
	if err := readOnly.Resume(); err != nil {
		t.Fatal(err)
	}
	page := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "<html>hello") }))
	t.Cleanup(page.Close)
	trusted := httptest.NewUnstartedServer(http.NotFoundHandler())
	trusted.Config.ErrorLog = log.New(io.Discard, "", 0) // of handshakes
	trusted.StartTLS()
	t.Cleanup(trusted.Close)
	still := s3.NewProxy(t, server)
	still.Fail(0, s3.NoAnswer)
	region := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusMovedPermanently)
		_, _ = io.WriteString(w, "<Error><Code>PermanentRedirect</Code></Error>")
	}))
	t.Cleanup(region.Close)
	answer := func(status int, code string) string {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Method == http.MethodGet {
				_, _ = io.WriteString(w, "<ListBucketResult></ListBucketResult>")
				return
			}
			w.WriteHeader(status)
			_, _ = io.WriteString(w, "<Error><Code>"+code+"</Code></Error>")
		}))
		t.Cleanup(s.Close)
		return s.URL
	}
	const badSecret = "a-secret-that-nobody-may-read"
	for _, c := range []struct {
		name, id, secret string
		o                S3Options
		want             string
		noWrites         bool
	}{
		{name: "wrong secret", id: server.AccessKey, secret: badSecret, want: badKeys.text},
		{name: "unknown user", id: "nobody", secret: badSecret, want: badKeys.text},
		{name: "missing bucket", o: S3Options{Bucket: "no-such-bucket"}, want: noBucket.text},
		{name: "read-only bucket", o: S3Options{Endpoint: readOnly.Endpoint, Bucket: bucket}, want: noWrite.text, noWrites: true},
		{name: "no server", o: S3Options{Endpoint: "http://127.0.0.1:1"}, want: noServer.text},
		{name: "no such host", o: S3Options{Endpoint: "http://s3.invalid"}, want: noServer.text},
		{name: "a web page", o: S3Options{Endpoint: page.URL}, want: alien.text},
		{name: "unknown certificate", o: S3Options{Endpoint: trusted.URL}, want: noTrust.text},
		{name: "no answer", o: S3Options{Endpoint: still.Endpoint, headers: 100 * time.Millisecond}, want: slow.text},
		{name: "another region", o: S3Options{Endpoint: region.URL}, want: elsewhere.text},
		{name: "quota", o: S3Options{Endpoint: answer(403, "QuotaExceeded")}, want: full.text, noWrites: true},
		{name: "full", o: S3Options{Endpoint: answer(507, "")}, want: full.text, noWrites: true},
		{name: "expired", o: S3Options{Endpoint: answer(400, "ExpiredToken")}, want: expiredKeys.text},
		{name: "clock", o: S3Options{Endpoint: answer(403, "RequestTimeTooSkewed")}, want: skewed.text},
		{name: "refused", o: S3Options{Endpoint: answer(400, "InvalidRequest")}, want: refused.text},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.id != "" {
				c.o.CredentialsDir = writeKeys(t, c.id, c.secret)
			}
			c.o.backoff = 10 * time.Millisecond
			s := openS3(t, c.o)
			for what, err := range map[string]error{"check": s.Check(t.Context()), "store": store(t.Context(), s, key, data)} {
				var f *fault.Error
				if !errors.As(err, &f) || f.Kind != fault.Unavailable || f.Detail != c.want || f.Err == nil {
					t.Errorf("%s: %v", what, err)
					continue
				}
				if errors.Is(err, ErrNoWrites) != c.noWrites {
					t.Errorf("%s: no writes is %v", what, !c.noWrites)
				}
				for _, secret := range []string{badSecret, server.SecretKey} {
					if strings.Contains(err.Error(), secret) {
						t.Errorf("%s tells a secret: %v", what, err)
					}
				}
			}
			if c.noWrites && c.name == "read-only bucket" {
				mustHold(t, s, key, data) // what is there is served
				return
			}
			if _, err := s.Stat(t.Context(), key); !c.noWrites && fault.KindOf(err) != fault.Unavailable {
				t.Errorf("stat: a blob is not missing because of this: %v", err)
			}
		})
	}
}

func writeKeys(t *testing.T, id, secret string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range map[string]string{"AWS_ACCESS_KEY_ID": id + "\n", "AWS_SECRET_ACCESS_KEY": secret + "\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// Rotated keys take hold without a restart, and a folder without keys is named at once.
func TestS3Keys(t *testing.T) {
	server := s3Server(t)
	dir := writeKeys(t, server.AccessKey, "old")
	s := openS3(t, S3Options{CredentialsDir: dir})
	if err := s.Check(t.Context()); fault.KindOf(err) != fault.Unavailable {
		t.Errorf("with a wrong key: %v", err)
	}
	if err := server.WriteCredentials(dir); err != nil {
		t.Fatal(err)
	}
	time.Sleep(keysAge)
	if err := s.Check(t.Context()); err != nil {
		t.Errorf("with new keys: %v", err)
	}
	if err := os.Remove(filepath.Join(dir, "AWS_ACCESS_KEY_ID")); err != nil {
		t.Fatal(err)
	}
	time.Sleep(keysAge)
	var f *fault.Error
	if err := s.Check(t.Context()); !errors.As(err, &f) || f.Detail != noKeys.text {
		t.Errorf("without a key: %v", err)
	}
	if _, err := OpenS3(t.Context(), S3Options{Bucket: "x", CredentialsDir: dir}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("opened without keys: %v", err)
	}
}

// Without a folder of keys the AWS chain is asked: here the environment.
func TestS3AmbientKeys(t *testing.T) {
	server := s3Server(t)
	t.Setenv("AWS_ACCESS_KEY_ID", server.AccessKey)
	t.Setenv("AWS_SECRET_ACCESS_KEY", server.SecretKey)
	t.Setenv("AWS_ENDPOINT_URL_S3", server.Endpoint)
	s, err := OpenS3(t.Context(), S3Options{Bucket: newBucket(t, server), ForcePathStyle: true, SpoolDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(s.Check(t.Context()), s.Close()); err != nil {
		t.Error(err)
	}
}

// The certificates of the CA file are believed.
func TestS3CAFile(t *testing.T) {
	tls := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusNotFound)
		_, _ = io.WriteString(w, "<Error><Code>NoSuchBucket</Code></Error>")
	}))
	t.Cleanup(tls.Close)
	file := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(file, pemOf(tls.Certificate()), 0o600); err != nil {
		t.Fatal(err)
	}
	var f *fault.Error
	if err := openS3(t, S3Options{Endpoint: tls.URL, CAFile: file}).Check(t.Context()); !errors.As(err, &f) || f.Detail != noBucket.text {
		t.Errorf("%v", err)
	}
	if err := os.WriteFile(file, []byte("no certificate"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenS3(t.Context(), S3Options{Bucket: "x", CAFile: file}); err == nil {
		t.Error("a file without certificates was taken")
	}
}

// A presigned address gives the bytes to somebody without keys, for its time.
func TestS3Presign(t *testing.T) {
	s := openS3(t, S3Options{Prefix: "a/b"})
	key, data := blobOf("presign", "1.0.0+b.1", 100_000)
	mustStore(t, s, key, data)
	get := func(url string) (int, []byte) {
		resp, err := http.Get(url)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = resp.Body.Close() }()
		got, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return resp.StatusCode, got
	}
	url, err := s.Presign(t.Context(), key, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	if status, got := get(url); status != 200 || !bytes.Equal(got, data) {
		t.Errorf("%d, %d bytes", status, len(got))
	}
	if status, _ := get(strings.Replace(url, "1.0.0", "1.0.1", 1)); status != 403 {
		t.Errorf("another key under the same signature: %d", status)
	}
	if long, err := s.Presign(t.Context(), key, time.Hour); err != nil || !strings.Contains(long, "X-Amz-Expires=600") {
		t.Errorf("%s %v", long, err)
	}
	short, err := s.Presign(t.Context(), key, time.Second)
	if err != nil {
		t.Fatal(err)
	}
	time.Sleep(2200 * time.Millisecond)
	if status, _ := get(short); status != 403 {
		t.Errorf("after its time: %d", status)
	}
}

// A presigned address holds by the clock of the server that judges it, where that is hours from ours.
func TestS3PresignByTheServersClock(t *testing.T) {
	for _, ahead := range []time.Duration{0, 10 * time.Hour, -10 * time.Hour} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Date", time.Now().Add(ahead).UTC().Format(http.TimeFormat))
			w.WriteHeader(http.StatusNotFound)
		}))
		t.Cleanup(server.Close)
		s := openS3(t, S3Options{Endpoint: server.URL})
		if _, err := s.Stat(t.Context(), "crates/demo/1.0.0"); err == nil {
			t.Fatal("it is there")
		}
		text, err := s.Presign(t.Context(), "crates/demo/1.0.0", time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		u, err := url.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		at, err := time.Parse("20060102T150405Z", u.Query().Get("X-Amz-Date"))
		if err != nil || at.Sub(time.Now().Add(ahead)).Abs() > 5*time.Hour {
			t.Errorf("%s ahead: signed at %s, %v", ahead, at, err)
		}
	}
}

// Encryption is asked for as it is configured.
func TestS3Encryption(t *testing.T) {
	var mu sync.Mutex
	asked := map[string]http.Header{}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("ETag", `"1"`)
		mu.Lock()
		defer mu.Unlock()
		_, _ = io.Copy(io.Discard, r.Body)
		asked[r.Method] = r.Header
	}))
	t.Cleanup(server.Close)
	s := openS3(t, S3Options{Endpoint: server.URL, Encryption: "aws:kms", KMSKeyID: "key-1"})
	key, data := blobOf("sse", "1.0.0", 10)
	mustStore(t, s, key, data)
	h := asked["PUT"]
	if h.Get("X-Amz-Server-Side-Encryption") != "aws:kms" || h.Get("X-Amz-Server-Side-Encryption-Aws-Kms-Key-Id") != "key-1" || h.Get("If-None-Match") != "*" || h.Get("X-Amz-Checksum-Sha256") == "" {
		t.Errorf("%v", h)
	}
}

type counter struct {
	mu             sync.Mutex
	requests       map[string]int
	retries        int
	sent, received int
}

func (c *counter) Request(operation, code string, took time.Duration, retry bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.requests[operation+" "+code]++
	if retry {
		c.retries++
	}
	if took <= 0 {
		c.requests["no time"]++
	}
}

func (c *counter) Bytes(sent, received int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.sent, c.received = c.sent+sent, c.received+received
}

// The observer sees each request, also those that are tried again, and every byte. A plain download is one request.
func TestS3Observer(t *testing.T) {
	c := &counter{requests: map[string]int{}}
	proxy := s3.NewProxy(t, s3Server(t))
	s := openS3(t, S3Options{Endpoint: proxy.Endpoint, Observer: c})
	key, data := blobOf("observer", "1.0.0", 500_000)
	proxy.Fail(2, s3.SlowDown)
	mustStore(t, s, key, data)
	mustHold(t, s, key, data)
	if len(c.requests) != 4 || c.requests["HeadObject 404"] != 1 || c.requests["PutObject 503"] != 1 || c.requests["PutObject 200"] != 1 || c.requests["GetObject 200"] != 1 || c.retries != 1 {
		t.Errorf("%v, %d retries", c.requests, c.retries)
	}
	if c.sent < len(data) || c.sent > 2*len(data) || c.received < len(data) || c.received > len(data)+1000 {
		t.Errorf("sent %d, received %d", c.sent, c.received)
	}
	proxy.Fail(1, s3.NoAnswer)
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	if _, err := s.Open(ctx, key); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v", err)
	}
	if c.requests["GetObject timeout"] != 1 {
		t.Errorf("%v", c.requests)
	}
	c.requests, c.retries = map[string]int{}, 0
	hasty := openS3(t, S3Options{Endpoint: proxy.Endpoint, Bucket: s.options.Bucket, Observer: c, stall: 200 * time.Millisecond})
	proxy.Fail(1, s3.StillAnswer)
	mustHold(t, hasty, key, data)
	if c.requests["GetObject 206"] == 0 || c.retries == 0 { // more than one where the machine itself stands still for as long
		t.Errorf("%v, %d retries", c.requests, c.retries)
	}
}

// The end of the caller's context ends an upload and a download, and is no fault of the store's.
func TestS3Canceled(t *testing.T) {
	proxy := s3.NewProxy(t, s3Server(t))
	s := openS3(t, S3Options{Endpoint: proxy.Endpoint})
	key, data := blobOf("canceled", "1.0.0", 500_000)
	mustStore(t, s, key, data)
	for name, do := range map[string]func(context.Context) error{
		"store": func(ctx context.Context) error { return store(ctx, s, key, data) },
		"open":  func(ctx context.Context) error { _, err := s.Open(ctx, key); return err },
		"stat":  func(ctx context.Context) error { _, err := s.Stat(ctx, key); return err },
	} {
		ctx, cancel := context.WithCancel(t.Context())
		proxy.Fail(0, s3.NoAnswer)
		time.AfterFunc(100*time.Millisecond, cancel)
		if err := do(ctx); !errors.Is(err, context.Canceled) || fault.KindOf(err) == fault.Unavailable {
			t.Errorf("%s: %v", name, err)
		}
		proxy.Fail(0, "")
	}
}

// Two hundred uploads side by side take no more memory than some of them may have, and leave no file.
func TestS3UploadsAreBounded(t *testing.T) {
	s := openS3(t, S3Options{})
	const uploads, size = 200, 2 << 20
	_, data := blobOf("bounded", "1.0.0", size)
	writers := make([]Writer, uploads)
	before := heap()
	for i := range writers {
		w, err := s.Create(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(data[:100_000]); err != nil {
			t.Fatal(err)
		}
		writers[i] = w
	}
	const most = spoolMemoryMost*spoolMemory + 4<<20
	if grown := heap() - before; grown > most {
		t.Errorf("small uploads take %d bytes", grown)
	}
	for _, w := range writers {
		if _, err := w.Write(data[100_000:]); err != nil {
			t.Fatal(err)
		}
	}
	if grown := heap() - before; grown > most {
		t.Errorf("large uploads take %d bytes", grown)
	}
	var g errgroup.Group
	g.SetLimit(20)
	for i, w := range writers {
		if i%2 == 0 {
			g.Go(w.Cancel)
			continue
		}
		g.Go(func() error {
			durable, err := w.Commit(t.Context(), CrateKey("bounded", "1.0.0", "00ff"))
			if err != nil {
				return err
			}
			return durable()
		})
	}
	if err := g.Wait(); err != nil {
		t.Error(err)
	}
}

func heap() int {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int(m.HeapAlloc)
}

// A large blob that is there already, or half of it, costs no broken connection.
func TestS3LargeTwice(t *testing.T) {
	s := openS3(t, S3Options{})
	key, data := blobOf("large", "1.0.0", 10<<20)
	for _, d := range [][]byte{data[:5<<20], data, data} {
		mustStore(t, s, key, d)
		mustHold(t, s, key, d)
	}
}

// A blob that somebody replaces while it is read is not read on as if it were the same.
func TestS3ReplacedWhileRead(t *testing.T) {
	s := openS3(t, S3Options{})
	key, data := blobOf("replaced", "1.0.0", 3<<20)
	mustStore(t, s, key, data)
	b, err := s.Open(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = b.Close() }()
	mustStore(t, s, key, data[:2<<20])
	if _, err := b.Seek(1<<20, io.SeekStart); err != nil {
		t.Fatal(err)
	}
	var f *fault.Error
	if _, err := io.ReadAll(b); !errors.As(err, &f) || f.Detail != changed.text {
		t.Errorf("%v", err)
	}
}
