package storage

import (
	"context"
	"errors"
	"io/fs"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/s3"
)

// probeEvery is how often Check writes: it is called every few seconds, and each request to S3 costs money.
const probeEvery = 5 * time.Minute

// metaDir holds what is ours and no blob: whose the store is (see Claim), and what Check writes. List leaves it out.
const metaDir = ".crateyard/"

// Check lists one key, which tells whether the bucket is there. Every few minutes, and after a write that failed or a read that was refused until
// it goes well, it also writes, reads and deletes a small object: keys that may list may be forbidden to read, and so may those without the
// key of an encryption.
func (s *S3) Check(ctx context.Context) error {
	ctx, cancel := bounded(ctx)
	defer cancel()
	if err := s.reach(ctx); err != nil {
		return err
	}
	if !s.probe.due() {
		return nil
	}
	err := s.tryWrite(ctx)
	if err == nil || ctx.Err() == nil { // a prober that gave up says nothing of the bucket
		s.probe.noteWrite(err)
	}
	return err
}

// reach asks for as little as tells the state of the bucket in an answer with a body, which a HEAD does not have.
func (s *S3) reach(ctx context.Context) error {
	_, err := s.page(ctx, &sdk.ListObjectsV2Input{Bucket: &s.options.Bucket, Prefix: aws.String(s.prefix + metaDir), MaxKeys: aws.Int32(1)})
	return err
}

// tryWrite writes, reads and deletes. The key is the process's own, so that a crash leaves one object, and no two servers meet.
func (s *S3) tryWrite(ctx context.Context) error {
	sp := s.spools.open()
	defer func() { _ = sp.close() }() // it is in memory
	if _, err := sp.Write([]byte("check\n")); err != nil {
		return err
	}
	if err := s.put(ctx, aws.String(s.prefix+s.probe.key), sp, false); err != nil {
		return s.failed(ctx, "PutObject", s.probe.key, err)
	}
	b, err := s.Open(ctx, s.probe.key)
	if err == nil {
		err = b.Close()
	} else if errors.Is(err, fs.ErrNotExist) { // a server that shows later what it has
		err = nil
	}
	return errors.Join(err, s.Delete(ctx, s.probe.key))
}

// writeProbe remembers whether writes are known to work.
type writeProbe struct {
	key string

	mu   sync.Mutex
	good time.Time // the last write that went well and was not followed by one that did not
}

func (p *writeProbe) noteWrite(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err != nil {
		p.good = time.Time{}
	} else {
		p.good = time.Now()
	}
}

func (p *writeProbe) due() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return time.Since(p.good) >= probeEvery
}
