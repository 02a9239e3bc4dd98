package storage

import (
	"strings"
	"testing"

	"github.com/crateyard/crateyard/test/s3"
)

// Keys that may list and write, and not read, are told of from the first read that is refused on, until reads go well.
func TestCheckReads(t *testing.T) {
	proxy := s3.NewProxy(t, s3Server(t))
	s := openS3(t, S3Options{Endpoint: proxy.Endpoint})
	key, data := blobOf("reads", "1.0.0", 100)
	mustStore(t, s, key, data)
	if err := s.Check(t.Context()); err != nil {
		t.Fatal(err)
	}
	proxy.Fail(0, s3.NoReads)
	if _, err := s.Open(t.Context(), key); err == nil {
		t.Fatal("a read went well that is refused")
	}
	for range 2 {
		if err := s.Check(t.Context()); err == nil || !strings.Contains(err.Error(), "may not read its bucket") {
			t.Errorf("reads are refused: %v", err)
		}
	}
	proxy.Fail(0, "")
	if err := s.Check(t.Context()); err != nil {
		t.Errorf("reads are allowed again: %v", err)
	}
	mustHold(t, s, key, data)
	if _, there, err := s.mark(t.Context(), s.probe.key); err != nil || there {
		t.Errorf("what a check wrote is still there: %v, %v", there, err)
	}
}
