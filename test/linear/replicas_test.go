package linear

import (
	"testing"

	"github.com/crateyard/crateyard/test/postgres"
	"github.com/crateyard/crateyard/test/s3"
	"github.com/crateyard/crateyard/test/serve"
)

// Three servers share PostgreSQL and S3.
func TestReplicas(t *testing.T) {
	pg := postgres.StartTest(t, postgres.Options{})
	shared, err := serve.NewShared(pg, s3.New(t), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	clients, _ := startReplicas(t, shared, 3)
	r := check(t, clients...)
	sameEverywhere(t, clients, r.took)
}
