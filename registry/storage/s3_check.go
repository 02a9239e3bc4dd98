package storage

import (
	"context"
	"errors"
	"io/fs"
	"net/http"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/s3"
)

// probeEvery is how often Check writes: it is called every few seconds, and each request to S3 costs money.
const probeEvery = 5 * time.Minute

// metaDir holds what is ours and no blob, such as whose the store is (see Claim). List leaves it out.
const metaDir = ".crateyard/"

// checkPrefix begins the keys of what Check writes: where archives lie, since a policy may let keys write elsewhere and not there. List leaves it out.
const checkPrefix = "crates/.crateyard-check-"

// Check lists one key, which tells whether the bucket is there. Every few minutes, and after a write that failed or a read that was refused until
// it goes well, it also writes, looks up, reads and deletes a small object: keys that may list may be forbidden to read, and so may those without the
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
		s.probe.noteProbe(err)
	}
	return err
}

// reach asks for as little as tells the state of the bucket in an answer with a body, which a HEAD does not have.
func (s *S3) reach(ctx context.Context) error {
	_, err := s.page(ctx, &sdk.ListObjectsV2Input{Bucket: &s.options.Bucket, Prefix: aws.String(s.prefix + metaDir), MaxKeys: aws.Int32(1)})
	return err
}

// tryWrite writes, looks up, reads and deletes. The key is the process's own, so that a crash leaves one object, and no two servers meet.
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
	if err == nil {
		if _, err = s.Stat(ctx, s.probe.key); errors.Is(err, fs.ErrNotExist) {
			err = nil
		}
	}
	return errors.Join(err, s.Delete(ctx, s.probe.key))
}

// writeProbe remembers whether the bucket is known to do all that it must.
type writeProbe struct {
	key string

	mu     sync.Mutex
	good   time.Time // the last write that went well
	doubts bool      // something failed or was refused since, and only a probe that goes well ends that: what fails may be one kind of request alone
}

// noteWrite takes in how a write went.
func (p *writeProbe) noteWrite(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err != nil {
		p.doubts = true
	} else {
		p.good = time.Now()
	}
}

// noteRead takes in how a request went that writes nothing: only that it was refused says something.
func (p *writeProbe) noteRead(err error) {
	if statusOf(err) == http.StatusForbidden {
		p.noteWrite(err)
	}
}

// noteProbe takes in how a probe went.
func (p *writeProbe) noteProbe(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.doubts = err != nil; !p.doubts {
		p.good = time.Now()
	}
}

func (p *writeProbe) due() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.doubts || time.Since(p.good) >= probeEvery
}
