package registry_test

import (
	"bytes"
	"strconv"
	"strings"
	"testing"

	"github.com/crateyard/crateyard/registry"
	"github.com/crateyard/crateyard/test/s3"
)

// onS3 puts the blobs of a server in a bucket of its own.
func onS3(t *testing.T, server *s3.Server) func(*registry.Config) {
	t.Helper()
	bucket, err := server.Bucket(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	keys := t.TempDir()
	if err := server.WriteCredentials(keys); err != nil {
		t.Fatal(err)
	}
	return func(c *registry.Config) {
		c.Storage.S3 = &registry.S3{Bucket: bucket, Endpoint: server.Endpoint, ForcePathStyle: true, CredentialsDir: keys}
	}
}

// What was downloaded is served while S3 is away, also by a server that has started since; what was not is 503, and readiness says why.
func TestDownloadsWhileS3IsAway(t *testing.T) {
	server := s3.New(t)
	config := onS3(t, server)
	y := open(t, config)
	for _, name := range []string{"known", "unknown"} {
		if r := y.publish(good(t, name, "1.0.0")); r.status != 200 {
			t.Fatal(r.status, r.body)
		}
	}
	get := func(name string) answer { return y.do("GET", "/crates/"+name+"/1.0.0/download", "", nil) }
	first := get("known")
	if first.status != 200 || sha256Hex(first.body) != strings.Trim(first.header.Get("Etag"), `"`) {
		t.Fatal(first.status, first.header)
	}
	same := func(a answer) {
		t.Helper()
		for _, h := range []string{"Etag", "Last-Modified", "Cache-Control", "Content-Length", "Content-Type", "Accept-Ranges"} {
			if a.header.Get(h) != first.header.Get(h) {
				t.Errorf("%s: %q, and %q from S3", h, a.header.Get(h), first.header.Get(h))
			}
		}
		if a.status != 200 || a.body != first.body {
			t.Errorf("%d, %d bytes", a.status, len(a.body))
		}
	}
	data := y.data
	same(get("known"))
	if err := y.stop(); err != nil {
		t.Fatal(err)
	}
	alice := y.alice
	y = openIn(t, data, config)
	y.alice = alice
	if err := server.Stop(); err != nil {
		t.Fatal(err)
	}
	same(get("known"))
	if a := y.do("GET", "/crates/known/1.0.0/download", "", nil, "Range", "bytes=10-19"); a.status != 206 || a.body != first.body[10:20] {
		t.Errorf("a part: %d %q", a.status, a.body)
	}
	if a := get("unknown"); a.status != 503 || !strings.Contains(a.body, "the storage cannot be reached") {
		t.Errorf("what is not cached: %d %s", a.status, a.body)
	}
	if a := y.asked("/readyz"); a.status != 503 || !strings.Contains(a.body, "storage: ") {
		t.Errorf("readiness: %d %s", a.status, a.body)
	}
	values, _ := y.metrics()
	if hits, misses := values["crateyard_blob_cache_hits_total"], values["crateyard_blob_cache_misses_total"]; hits != 2 || misses != 1 {
		t.Errorf("%v hits and %v misses", hits, misses)
	}
}

// Downloads that go to S3 itself are seen by nobody here: without a scrub that is said at the start.
func TestRedirectWithoutScrub(t *testing.T) {
	server := s3.New(t)
	for rate, want := range map[int64]bool{0: true, 1 << 20: false} {
		var log bytes.Buffer
		c := registry.DefaultConfig()
		c.Listen, c.OpsListen, c.Data = "127.0.0.1:0", "", t.TempDir()
		onS3(t, server)(&c)
		c.Storage.Delivery, c.Scrub.Rate = "Redirect", rate
		s, err := registry.Open(t.Context(), c, "test", &log)
		if err != nil {
			t.Fatal(err)
		}
		ended, cancel := canceled(t)
		if err := s.Serve(ended); err != nil {
			t.Error(err)
		}
		cancel()
		if told := strings.Contains(log.String(), "nothing is scrubbed"); told != want {
			t.Errorf("with a rate of %d: %v\n%s", rate, told, log.String())
		}
	}
}

// With delivery Redirect, who asks for the headers alone has them from the server: the storage's address is signed for a GET.
func TestRedirectOfHead(t *testing.T) {
	config := onS3(t, s3.New(t))
	y := open(t, func(c *registry.Config) {
		config(c)
		c.Storage.Delivery = "Redirect"
	})
	if a := y.publish(good(t, "demo", "1.0.0")); a.status != 200 {
		t.Fatal(a.status, a.body)
	}
	get := y.do("GET", "/crates/demo/1.0.0/download", "", nil)
	if to := get.header.Get("Location"); get.status != 302 || !strings.Contains(to, "X-Amz-Signature=") {
		t.Errorf("GET: %d to %q", get.status, to)
	}
	file := crateFile(t, "demo", "1.0.0")
	head := y.do("HEAD", "/crates/demo/1.0.0/download", "", nil)
	if head.status != 200 || head.header.Get("Etag") != `"`+sha256Hex(string(file))+`"` || head.header.Get("Content-Length") != strconv.Itoa(len(file)) {
		t.Errorf("HEAD: %d %v", head.status, head.header)
	}
}
