package cargo

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/crateyard/crateyard/test/s3"
)

// cmdBucket: bucket FILE
//
// Starts an S3 server, and writes a configuration whose crate files are in a bucket of its own and whose downloads are sent there. What the
// servers of a script have in common is the host, and not the port.
func cmdBucket(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: bucket FILE")
	}
	dir := ts.MkAbs(args[0]) + ".s3"
	objects, keys := filepath.Join(dir, "objects"), filepath.Join(dir, "keys")
	ts.Check(errors.Join(os.MkdirAll(objects, 0o755), os.MkdirAll(keys, 0o755)))
	s, err := s3.Start(objects)
	ts.Check(err)
	ts.Defer(func() { ts.Check(s.Stop()) })
	front := httptest.NewServer(oneWayIn(ts, s.Endpoint))
	ts.Defer(front.Close)
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	name, err := s.Bucket(ctx)
	ts.Check(err)
	ts.Check(s.WriteCredentials(keys))
	config := fmt.Sprintf("storage:\n  s3: {bucket: %s, endpoint: %q, forcePathStyle: true, credentialsDir: %q}\n  delivery: Redirect\n", name, front.URL, keys)
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), []byte(config), 0o644))
	ts.Setenv("S3", front.URL+"/"+name)
}

// oneWayIn stands before an S3 server and refuses who shows two things that say who he is, as Amazon's does; versitygw looks at one of them.
func oneWayIn(ts *testscript.TestScript, endpoint string) http.Handler {
	to, err := url.Parse(endpoint)
	ts.Check(err)
	proxy := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(to)
		r.Out.Host = r.In.Host // it is signed
	}}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Has("X-Amz-Signature") && r.Header.Get("Authorization") != "" {
			http.Error(w, "Only one auth mechanism allowed", http.StatusBadRequest)
			return
		}
		proxy.ServeHTTP(w, r)
	})
}
