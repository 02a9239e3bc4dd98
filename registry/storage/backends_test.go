package storage

import (
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/crateyard/crateyard/test/s3"
)

// backend is a store to be held against the suite.
type backend struct {
	name string
	open func(t *testing.T) Store
}

var backends = []backend{
	{"filesystem", func(t *testing.T) Store { return openFS(t, t.TempDir()) }},
	{"shared filesystem", func(t *testing.T) Store { return openShared(t, t.TempDir()) }},
	{"s3", func(t *testing.T) Store { return openS3(t, S3Options{}) }},
	{"cached filesystem", func(t *testing.T) Store { c, _ := openCached(t, openFS(t, t.TempDir()), CacheOptions{}); return c }},
	{"cached s3", func(t *testing.T) Store { c, _ := openCached(t, openS3(t, S3Options{}), CacheOptions{}); return c }},
	{"s3 with a prefix", func(t *testing.T) Store { return openS3(t, S3Options{Prefix: "team/crates"}) }},
}

func openShared(t *testing.T, dir string) *Filesystem {
	t.Helper()
	f, err := OpenSharedFilesystem(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	})
	return f
}

var (
	theServer struct {
		mu sync.Mutex
		*s3.Server
	}
	serverDir string
)

// TestMain ends the S3 server that the tests share.
func TestMain(m *testing.M) {
	var err error
	if serverDir, err = os.MkdirTemp("", "crateyard-s3-"); err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	code := m.Run()
	if theServer.Server != nil {
		if err := theServer.Stop(); err != nil {
			fmt.Println(err)
			code = 1
		}
	}
	_ = os.RemoveAll(serverDir) // in the temporary folder
	os.Exit(code)
}

// s3Server gives the S3 server that the tests share.
func s3Server(t *testing.T) *s3.Server {
	t.Helper()
	theServer.mu.Lock()
	defer theServer.mu.Unlock()
	if theServer.Server == nil {
		s, err := s3.Start(serverDir)
		if err != nil {
			t.Fatal(err)
		}
		theServer.Server = s
	}
	return theServer.Server
}

// openS3 fills in what o leaves out: the shared server, and a new bucket there.
func openS3(t *testing.T, o S3Options) *S3 {
	t.Helper()
	s := s3Server(t)
	if o.Endpoint == "" {
		o.Endpoint = s.Endpoint
	}
	if o.Bucket == "" {
		o.Bucket = newBucket(t, s)
	}
	if o.CredentialsDir == "" {
		o.CredentialsDir = t.TempDir()
		if err := s.WriteCredentials(o.CredentialsDir); err != nil {
			t.Fatal(err)
		}
	}
	if o.SpoolDir == "" {
		o.SpoolDir = t.TempDir()
	}
	o.ForcePathStyle = true
	store, err := OpenS3(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := store.Close(); err != nil {
			t.Error(err)
		}
		if left, err := filepath.Glob(filepath.Join(o.SpoolDir, "*")); err != nil || len(left) > 0 {
			t.Errorf("left in the folder for uploads: %v %v", left, err)
		}
		for end := time.Now().Add(time.Minute); len(store.spools.free) < spoolMemoryMost; time.Sleep(10 * time.Millisecond) {
			if time.Now().After(end) {
				t.Errorf("%d uploads have not given their memory back", spoolMemoryMost-len(store.spools.free))
				return
			}
		}
	})
	return store
}

func newBucket(t *testing.T, s *s3.Server) string {
	t.Helper()
	theServer.mu.Lock()
	defer theServer.mu.Unlock()
	name, err := s.Bucket(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return name
}

func pemOf(c *x509.Certificate) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})
}
