package linear

import (
	"fmt"
	"path/filepath"
	"testing"

	"github.com/crateyard/crateyard/test/postgres"
	"github.com/crateyard/crateyard/test/s3"
	"github.com/crateyard/crateyard/test/serve"
)

// Three servers share PostgreSQL and S3.
func TestReplicas(t *testing.T) {
	pg, err := postgres.Start(postgres.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := pg.Close(); err != nil {
			t.Error(err)
		}
	})
	shared, err := serve.NewShared(pg, s3.New(t), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	var clients []*serve.Client
	for i := range 3 {
		s, err := serve.StartWith(shared.Options(filepath.Join(t.TempDir(), fmt.Sprint(i))))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := s.Stop(); err != nil {
				t.Error(err)
			}
			if t.Failed() {
				t.Logf("server %d:\n%s", i, s.Logs())
			}
		})
		clients = append(clients, serve.NewClient(s.URL, s.AdminToken))
	}
	check(t, clients...)
}
