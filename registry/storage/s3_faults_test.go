package storage

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"testing"
	"time"

	"github.com/crateyard/crateyard/registry/fault"
	"github.com/crateyard/crateyard/test/s3"
)

// s3Work is what a registry does with a store, a step after the other. Each step may fail; after a failure it is done again.
var s3Work = []struct {
	name string
	do   func(ctx context.Context, s Store, key string, data []byte) error
}{
	{"claim", func(ctx context.Context, s Store, _ string, _ []byte) error { return Claim(ctx, s, "ours", false) }},
	{"check", func(ctx context.Context, s Store, _ string, _ []byte) error { return s.Check(ctx) }},
	{"store", func(ctx context.Context, s Store, key string, data []byte) error { return store(ctx, s, key, data) }},
	{"store again", func(ctx context.Context, s Store, key string, data []byte) error { return store(ctx, s, key, data) }},
	{"read", func(ctx context.Context, s Store, key string, data []byte) error {
		got, err := read(ctx, s, key)
		if err == nil && !bytes.Equal(got, data) {
			return fmt.Errorf("%w: %d bytes, want %d", errWrongBytes, len(got), len(data))
		}
		return err
	}},
	{"stat", func(ctx context.Context, s Store, key string, data []byte) error {
		info, err := s.Stat(ctx, key)
		if err == nil && info.Size != int64(len(data)) {
			return fmt.Errorf("%w: size %d", errWrongBytes, info.Size)
		}
		return err
	}},
	{"list", func(ctx context.Context, s Store, key string, _ []byte) error {
		for info, err := range s.List(ctx, "crates/", "") {
			if err != nil {
				return err
			}
			if info.Key == key {
				return nil
			}
		}
		return fmt.Errorf("%w: not listed", errWrongBytes)
	}},
	{"delete", func(ctx context.Context, s Store, key string, _ []byte) error { return s.Delete(ctx, key) }},
	{"gone", func(ctx context.Context, s Store, key string, _ []byte) error {
		if _, err := s.Stat(ctx, key); !errors.Is(err, fs.ErrNotExist) {
			return errors.Join(err, ctx.Err())
		}
		return nil
	}},
}

var errWrongBytes = errors.New("not what was stored")

// TestS3Faults has each request of the work fail in each way, once. The store mends that by itself; where it does not, it says so in a
// fault and the same step goes well the second time. What it said to be durable is whole. So it is behind a cache.
func TestS3Faults(t *testing.T) {
	server := s3Server(t)
	for i := range 2 * len(s3.Faults) {
		f, cached := s3.Faults[i/2], i%2 == 1
		t.Run(fmt.Sprintf("%s, cached %v", f, cached), func(t *testing.T) {
			t.Parallel()
			proxy := s3.NewProxy(t, server)
			behind := openS3(t, S3Options{})
			s := openS3(t, S3Options{Endpoint: proxy.Endpoint, Bucket: behind.options.Bucket, stall: 200 * time.Millisecond, headers: 250 * time.Millisecond, backoff: 20 * time.Millisecond})
			var work Store = s
			if cached {
				work, _ = openCached(t, s, CacheOptions{})
			}
			for nth := 1; ; nth++ {
				key, data := blobOf("faults", fmt.Sprint(nth), 400_000)
				again := 0
				s.probe.noteWrite(errors.New("unknown")) // so that Check writes
				if err := errors.Join(behind.Delete(t.Context(), ownerKey)); err != nil {
					t.Fatal(err)
				}
				proxy.Fail(nth, f)
				for _, step := range s3Work {
					err := step.do(t.Context(), work, key, data)
					if errors.Is(err, errWrongBytes) {
						t.Fatalf("request %d, %s: %v", nth, step.name, err)
					}
					if err != nil {
						again++
						if fault.KindOf(err) != fault.Unavailable {
							t.Errorf("request %d, %s: no fault for the client: %v", nth, step.name, err)
						}
						// The second time, as a rule: a busy machine may be later than this store waits.
						for range 20 {
							if err = step.do(t.Context(), work, key, data); fault.KindOf(err) != fault.Unavailable {
								break
							}
						}
						if err != nil {
							t.Fatalf("request %d, %s, again and again: %v", nth, step.name, err)
						}
					}
					if step.name == "store" || step.name == "store again" {
						mustHold(t, behind, key, data)
					}
				}
				if again > 0 {
					t.Logf("request %d: a step was done twice", nth)
				}
				if proxy.Requests() < nth {
					if nth < len(s3Work)+4 {
						t.Errorf("the work made %d requests", nth)
					}
					return
				}
			}
		})
	}
}

// TestS3AllFails has every request fail in each way: each step ends, with a fault, and nothing is left behind.
func TestS3AllFails(t *testing.T) {
	server := s3Server(t)
	for _, f := range append([]s3.Fault{s3.Teapot}, s3.Faults...) {
		if f == s3.Slow {
			continue // too late each time is StillRequest; a little late is no failure
		}
		t.Run(string(f), func(t *testing.T) {
			t.Parallel()
			proxy := s3.NewProxy(t, server)
			behind := openS3(t, S3Options{})
			s := openS3(t, S3Options{Endpoint: proxy.Endpoint, Bucket: behind.options.Bucket, stall: 200 * time.Millisecond, headers: 250 * time.Millisecond, backoff: 20 * time.Millisecond})
			key, data := blobOf("all-fails", "1.0.0", 400_000)
			proxy.Fail(0, f)
			for _, step := range s3Work {
				if step.name == "gone" {
					continue
				}
				err := step.do(t.Context(), s, key, data)
				if f == s3.Damaged && step.name != "store" && step.name != "store again" && step.name != "check" && step.name != "claim" {
					continue // it has no body that could be damaged
				}
				if err == nil {
					if step.name == "store" {
						mustHold(t, behind, key, data) // a cut answer to a PUT has no body to be cut
						continue
					}
					if f == s3.CutAnswer || f == s3.StillAnswer {
						continue
					}
					t.Errorf("%s went well", step.name)
				} else if fault.KindOf(err) != fault.Unavailable && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, errWrongBytes) {
					t.Errorf("%s: %v", step.name, err)
				}
			}
			proxy.Fail(0, "")
			for range 20 { // the first time, as a rule: a busy machine may be later than this store waits
				if err := store(t.Context(), s, key, data); err == nil {
					break
				}
			}
			mustStore(t, s, key, data)
			mustHold(t, behind, key, data)
		})
	}
}

// TestS3Servers stores and reads on servers that know less than versitygw.
func TestS3Servers(t *testing.T) {
	server := s3Server(t)
	for _, f := range []s3.Fault{s3.NoConditions, s3.Ignorant, s3.NoRanges, s3.NoSums} {
		t.Run(string(f), func(t *testing.T) {
			proxy := s3.NewProxy(t, server)
			proxy.Fail(0, f)
			s := openS3(t, S3Options{Endpoint: proxy.Endpoint})
			for name, test := range map[string]func(*testing.T, Store){"twice": testTwice, "at once": testAtOnce, "seeks": testSeeks, "ranges": testRanges} {
				t.Run(name, func(t *testing.T) { test(t, s) })
			}
			if err := Claim(t.Context(), s, "ours", false); err != nil {
				t.Error(err)
			}
			var foreign *ForeignError
			if err := Claim(t.Context(), s, "theirs", false); !errors.As(err, &foreign) {
				t.Errorf("claimed by two: %v", err)
			}
		})
	}
}

// An outage ends with the server's return: nothing has to be opened anew.
func TestS3Outage(t *testing.T) {
	server := s3.New(t)
	bucket := newBucket(t, server)
	s := openS3(t, S3Options{Endpoint: server.Endpoint, Bucket: bucket})
	key, data := blobOf("outage", "1.0.0", 3<<20)
	mustStore(t, s, key, data)
	b, err := s.Open(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	if err := server.Stop(); err != nil {
		t.Fatal(err)
	}
	for _, step := range s3Work[:3] {
		if err := step.do(t.Context(), s, key, data); fault.KindOf(err) != fault.Unavailable {
			t.Errorf("%s without a server: %v", step.name, err)
		}
	}
	if err := server.Resume(); err != nil {
		t.Fatal(err)
	}
	var got bytes.Buffer // a download that began before goes on
	if _, err := got.ReadFrom(b); err != nil || !bytes.Equal(got.Bytes(), data) {
		t.Errorf("%d bytes, %v", got.Len(), err)
	}
	if err := b.Close(); err != nil {
		t.Error(err)
	}
	for _, step := range s3Work {
		if err := step.do(t.Context(), s, key, data); err != nil {
			t.Errorf("%s after the outage: %v", step.name, err)
		}
	}
}
