package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"runtime/debug"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/crateyard/crateyard/registry/storage"
	"github.com/crateyard/crateyard/test/s3"
)

// The object of these measurements, and how many readers share the memory that is measured.
const (
	s3Object  = 10 << 20 // bytes
	s3Readers = 100
	s3Key     = "crates/bench/1.0.0-bench.crate"
)

// withS3 runs work with a store on an S3 server that holds one object, and with an address at which anybody may get it.
func withS3(ctx context.Context, b *bench, work func(s *storage.S3, direct string) (result, error)) (_ result, err error) {
	dir := filepath.Join(b.dir, "s3")
	keys := filepath.Join(dir, "keys")
	data := filepath.Join(dir, "data")
	if err := errors.Join(os.MkdirAll(keys, 0o755), os.MkdirAll(data, 0o755)); err != nil {
		return result{}, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	server, err := s3.Start(data)
	if err != nil {
		return result{}, err
	}
	defer func() { err = errors.Join(err, server.Stop()) }()
	bucket, err := server.Bucket(ctx)
	if err != nil {
		return result{}, err
	}
	if err := server.WriteCredentials(keys); err != nil {
		return result{}, err
	}
	s, err := storage.OpenS3(ctx, storage.S3Options{Endpoint: server.Endpoint, Bucket: bucket, ForcePathStyle: true, CredentialsDir: keys, SpoolDir: dir})
	if err != nil {
		return result{}, err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	noise := make([]byte, s3Object)
	if _, err := rand.Read(noise); err != nil {
		return result{}, err
	}
	w, err := s.Create(ctx)
	if err != nil {
		return result{}, err
	}
	if _, err := w.Write(noise); err != nil {
		return result{}, errors.Join(err, w.Cancel())
	}
	durable, err := w.Commit(ctx, s3Key)
	if err != nil {
		return result{}, err
	}
	if err := durable(); err != nil {
		return result{}, err
	}
	direct, err := s.Presign(ctx, s3Key, 10*time.Minute)
	if err != nil {
		return result{}, err
	}
	return work(s, direct)
}

// measureS3Read reads an object through the store, in turns with a plain GET of the same object.
func measureS3Read(ctx context.Context, b *bench) (result, error) {
	return withS3(ctx, b, func(s *storage.S3, direct string) (result, error) {
		const reads = 30
		buf := make([]byte, 32<<10)
		var ours, theirs, ratios []float64
		for range b.rounds {
			var o, t time.Duration
			for range reads { // in turns, one by one: a read takes some ten milliseconds, in which a neighbour may be noisy
				start := time.Now()
				if err := readBlob(ctx, s, discard{}, buf, s3Object); err != nil {
					return result{}, err
				}
				o += time.Since(start)
				start = time.Now()
				if err := readDirect(ctx, direct, buf); err != nil {
					return result{}, err
				}
				t += time.Since(start)
			}
			ours, theirs, ratios = append(ours, reads/o.Seconds()), append(theirs, reads/t.Seconds()), append(ratios, t.Seconds()/o.Seconds())
		}
		return result{"read of 10 MiB from S3 through the store", perSec(median(ours)), "plain GET: " + perSec(median(theirs)),
			fmt.Sprintf("%.2f", median(ratios)), "0.80", atLeast("the ratio", median(ratios), 0.8)}, nil
	})
}

// readBlob reads so many bytes, as http.ServeContent does.
func readBlob(ctx context.Context, s *storage.S3, w io.Writer, buf []byte, size int64) error {
	blob, err := s.Open(ctx, s3Key)
	if err != nil {
		return err
	}
	n, err := io.CopyBuffer(w, io.LimitReader(blob, size), buf)
	if err == nil && n != size {
		err = fmt.Errorf("%d bytes of %d", n, size)
	}
	return errors.Join(err, blob.Close())
}

func readDirect(ctx context.Context, url string, buf []byte) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	n, err := io.CopyBuffer(discard{}, resp.Body, buf)
	if err == nil && (n != s3Object || resp.StatusCode != http.StatusOK) {
		err = fmt.Errorf("%s, %d bytes", resp.Status, n)
	}
	return errors.Join(err, resp.Body.Close())
}

// measureS3Memory has many readers take an object at the same speed, and compares this process's memory when each takes the first
// megabyte with that when each takes all ten. It is the client's side alone: a server adds what its own connections take.
func measureS3Memory(ctx context.Context, b *bench) (result, error) {
	return withS3(ctx, b, func(s *storage.S3, _ string) (result, error) {
		debug.FreeOSMemory() // what the object took when it was made
		var most [2]float64
		for i, size := range []int64{1 << 20, s3Object} {
			var g errgroup.Group
			for range s3Readers {
				g.Go(func() error { return readBlob(ctx, s, slowly(size), make([]byte, 32<<10), size) })
			}
			var err error
			if most[i], err = mostOf("self", g.Wait); err != nil {
				return result{}, err
			}
		}
		return result{"resident memory, 100 reads of 10 MiB from S3 at once", fmt.Sprintf("%.0f MiB", most[1]),
			fmt.Sprintf("of their first MiB: %.0f MiB", most[0]), fmt.Sprintf("%+.1f MiB", most[1]-most[0]), "at most +5 MiB", atMost("memory", most[1]-most[0], 5)}, nil
	})
}

// discard is io.Discard, which brings a smaller buffer of its own.
type discard struct{}

// Write implements io.Writer.
func (discard) Write(p []byte) (int, error) { return len(p), nil }

// slowly takes so many bytes in two seconds, so that all readers are at work at the same time.
type slowly int64

// Write implements io.Writer.
func (s slowly) Write(p []byte) (int, error) {
	time.Sleep(2 * time.Second * time.Duration(len(p)) / time.Duration(s))
	return len(p), nil
}
