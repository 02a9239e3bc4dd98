package storage

import (
	"slices"
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

// A bucket that refuses one kind of request alone is told of from the first one on, however many of the others go well, until that is allowed again.
func TestCheckOfOneRefusal(t *testing.T) {
	proxy := s3.NewProxy(t, s3Server(t))
	for fault, says := range map[s3.Fault]string{s3.NoCrates: "may not write to its bucket", s3.NoHeads: "may not read its bucket"} {
		t.Run(string(fault), func(t *testing.T) {
			s := openS3(t, S3Options{Endpoint: proxy.Endpoint})
			key, data := blobOf("refusal", "1.0.0", 100)
			mustStore(t, s, key, data)
			if err := s.Check(t.Context()); err != nil {
				t.Fatal(err)
			}
			proxy.Fail(0, fault)
			if fault == s3.NoHeads {
				if _, err := s.Stat(t.Context(), key); err == nil || !strings.Contains(err.Error(), says) {
					t.Fatal(err)
				}
				if err := store(t.Context(), s, key, data); err == nil || !strings.Contains(err.Error(), says) { // it is there, and so is looked up
					t.Fatal(err)
				}
				other, data := blobOf("refusal", "1.1.0", 100)
				mustStore(t, s, other, data) // which needs none
			} else if err := store(t.Context(), s, key, data); err == nil || !strings.Contains(err.Error(), says) {
				t.Fatal(err)
			}
			for range 2 {
				if err := s.Check(t.Context()); err == nil || !strings.Contains(err.Error(), says) {
					t.Errorf("while it is refused: %v", err)
				}
			}
			if fresh := openS3(t, S3Options{Endpoint: proxy.Endpoint}).Check(t.Context()); fresh == nil || !strings.Contains(fresh.Error(), says) {
				t.Errorf("before anybody needed it: %v", fresh)
			}
			proxy.Fail(0, "")
			if err := s.Check(t.Context()); err != nil {
				t.Errorf("when it is allowed again: %v", err)
			}
			if found := keys(t, s, "", ""); slices.ContainsFunc(found, func(k string) bool { return !strings.HasPrefix(k, "crates/refusal/") }) {
				t.Errorf("what a check wrote is there: %v", found)
			}
		})
	}
}

// What a check left, as by a crash, is no blob.
func TestListLeavesChecksOut(t *testing.T) {
	s := openS3(t, S3Options{})
	key, data := blobOf("beside", "1.0.0", 100)
	mustStore(t, s, key, data)
	mustStore(t, s, s.probe.key, []byte("check\n"))
	if found := keys(t, s, "crates/", ""); len(found) != 1 || found[0] != key {
		t.Error(found)
	}
}
