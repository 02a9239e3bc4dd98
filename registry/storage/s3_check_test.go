package storage

import (
	"context"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

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

// hasty gives up on a check in its middle.
type hasty struct {
	giveUp atomic.Pointer[context.CancelFunc]
}

func (h *hasty) Request(operation, _ string, _ time.Duration, _ bool) {
	if cancel := h.giveUp.Load(); cancel != nil && operation == "PutObject" {
		(*cancel)()
	}
}

func (*hasty) Bytes(int, int) {}

// Whoever asks and has less time than a slow bucket needs is told all the same, a while later, that it refuses something, and that it does no more.
func TestCheckOutlivesItsCaller(t *testing.T) {
	proxy := s3.NewProxy(t, s3Server(t))
	caller := &hasty{}
	s := openS3(t, S3Options{Endpoint: proxy.Endpoint, Observer: caller})
	until := func(what string, is func(error) bool) {
		t.Helper()
		for end := time.Now().Add(5 * time.Minute); ; time.Sleep(time.Millisecond) {
			ctx, cancel := context.WithCancel(t.Context())
			caller.giveUp.Store(&cancel)
			err := s.Check(ctx)
			caller.giveUp.Store(nil)
			cancel()
			if is(err) {
				return
			}
			if time.Now().After(end) {
				t.Fatalf("%s: not told; the last was %v", what, err)
			}
		}
	}
	well := func(err error) bool { return err == nil && !s.probe.due() }
	until("in the beginning", well)
	key, data := blobOf("hasty", "1.0.0", 100)
	proxy.Fail(0, s3.NoCrates)
	if err := store(t.Context(), s, key, data); err == nil {
		t.Fatal("a write went well that is refused")
	}
	until("writes are refused", func(err error) bool {
		return err != nil && strings.Contains(err.Error(), "may not write to its bucket")
	})
	proxy.Fail(0, "")
	until("writes are allowed again", well)
	if _, there, err := s.mark(t.Context(), s.probe.key); err != nil || there {
		t.Errorf("what a check wrote is still there: %v, %v", there, err)
	}
}

// What a process left that crashed in the middle of a check, the next one removes, and nothing else.
func TestCheckRemovesWhatOthersLeft(t *testing.T) {
	s := openS3(t, S3Options{Prefix: "yard"})
	key, data := blobOf("left", "1.0.0", 100)
	mustStore(t, s, key, data)
	left := []string{checkPrefix + "one", checkPrefix + "two"}
	for _, k := range left {
		mustStore(t, s, k, []byte("check\n"))
	}
	s.probe.noteWrite(context.Canceled) // so that Check writes
	if err := s.Check(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, k := range left {
		if _, there, err := s.mark(t.Context(), k); err != nil || there {
			t.Errorf("%s: %v, %v", k, there, err)
		}
	}
	mustHold(t, s, key, data)
}

// A bucket that lists and does nothing else is not told to be well while a probe hangs there, once something failed. One that is only slow is.
func TestCheckOfBucketThatStandsStill(t *testing.T) {
	s := openS3(t, S3Options{})
	hangs := make(chan struct{})
	ended := s.probe.begin(func(context.Context) error {
		<-hangs
		return nil
	})
	since := func(d time.Duration) {
		s.probe.mu.Lock()
		defer s.probe.mu.Unlock()
		s.probe.begun = time.Now().Add(d)
	}
	since(-time.Hour)
	if s.probe.standsStill() {
		t.Error("before anything failed")
	}
	s.probe.noteWrite(context.DeadlineExceeded)
	since(time.Hour)
	if s.probe.standsStill() {
		t.Error("it may be slow")
	}
	since(-time.Hour)
	if err := s.Check(t.Context()); err == nil || !strings.Contains(err.Error(), "too slow, or stands still") {
		t.Error(err)
	}
	close(hangs)
	<-ended
	if err := s.Check(t.Context()); err != nil { // a probe of its own
		t.Error(err)
	}
}
