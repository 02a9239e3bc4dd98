package storage

import (
	"context"
	"errors"
	"io/fs"
	"net/http"
	"strings"
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
// key of an encryption. That is a probe of its own, which goes on when the end of ctx comes first, since with a slow bucket it would else never come to its
// end; then what the one before it found is told, unless something failed since and this one takes long, as of a bucket that stands still.
func (s *S3) Check(ctx context.Context) error {
	ctx, cancel := bounded(ctx)
	defer cancel()
	if err := s.reach(ctx); err != nil {
		return err
	}
	ended := s.probe.begin(s.tryAll)
	if ended == nil {
		return nil
	}
	if s.probe.standsStill() {
		return s.failed(ctx, "PutObject", s.probe.key, errStalled) // whichever of its requests it is
	}
	select {
	case <-ended:
	case <-ctx.Done():
	}
	return s.probe.found()
}

// reach asks for as little as tells the state of the bucket in an answer with a body, which a HEAD does not have.
func (s *S3) reach(ctx context.Context) error {
	_, err := s.page(ctx, &sdk.ListObjectsV2Input{Bucket: &s.options.Bucket, Prefix: aws.String(s.prefix + metaDir), MaxKeys: aws.Int32(1)})
	return err
}

// tryAll is one probe. The first that goes well removes what those of other processes left, as by a crash. One that is at work does not need it any more,
// or writes it again.
func (s *S3) tryAll(ctx context.Context) error {
	if err := s.tryWrite(ctx); err != nil {
		return err
	}
	if s.probe.cleaned {
		return nil
	}
	page, err := s.page(ctx, &sdk.ListObjectsV2Input{Bucket: &s.options.Bucket, Prefix: aws.String(s.prefix + checkPrefix)})
	if err != nil {
		return err
	}
	for _, o := range page.Contents {
		if err := s.Delete(ctx, strings.TrimPrefix(aws.ToString(o.Key), s.prefix)); err != nil {
			return err
		}
	}
	s.probe.cleaned = true
	return nil
}

// tryWrite writes, looks up, reads and deletes. The key is the process's own, so that a crash leaves one object, and no two servers meet. What is not there
// after it was written is not yet shown, or was removed by another's tryAll.
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
	key     string
	cleaned bool // what others left is removed; only the probe that is at work looks at it

	life context.Context // of probes
	end  context.CancelFunc
	work sync.WaitGroup

	mu      sync.Mutex
	good    time.Time     // the last write that went well
	doubts  int64         // how often something failed or was refused
	settled int64         // as many of them as a probe found to be over, which alone can tell: what fails may be one kind of request
	last    error         // what the last probe found
	running chan struct{} // closed when the probe ends that is at work; nil: none is
	begun   time.Time     // when that one began
}

func (p *writeProbe) init(key string) {
	p.key = key
	p.life, p.end = context.WithCancel(context.Background())
}

// stop ends the probe that is at work, and lets none begin.
func (p *writeProbe) stop() {
	p.mu.Lock() // none is about to begin
	p.end()
	p.mu.Unlock()
	p.work.Wait()
}

// begin has a probe begin when one is due and none is at work, in the time of a call of its own, and gives what is closed at its end; nil: none is due.
func (p *writeProbe) begin(try func(context.Context) error) <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.running != nil {
		return p.running
	}
	if !p.isDue() || p.life.Err() != nil {
		return nil
	}
	ended, doubts := make(chan struct{}), p.doubts
	p.running, p.begun = ended, time.Now()
	p.work.Go(func() {
		ctx, cancel := bounded(p.life)
		defer cancel()
		p.noteProbe(try(ctx), doubts)
		close(ended)
	})
	return ended
}

// noteWrite takes in how a write went.
func (p *writeProbe) noteWrite(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err != nil {
		p.doubts++
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

// noteProbe takes in how a probe went that began when there were so many doubts.
func (p *writeProbe) noteProbe(err error, doubts int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.running = nil
	if p.life.Err() != nil {
		return // it was ended, which says nothing of the bucket
	}
	if p.last = err; err != nil {
		p.doubts++
		return
	}
	p.settled, p.good = doubts, time.Now()
}

// found is what the last probe found.
func (p *writeProbe) found() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.last
}

// standsStillAfter is how long a probe takes in a slow bucket that is to be called no more than that.
const standsStillAfter = 5 * time.Second

// standsStill reports whether something failed, and the probe that is to find out whether that is over does not come to its end.
func (p *writeProbe) standsStill() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.running != nil && p.doubts != p.settled && time.Since(p.begun) > standsStillAfter
}

func (p *writeProbe) due() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.isDue()
}

func (p *writeProbe) isDue() bool { return p.doubts != p.settled || time.Since(p.good) >= probeEvery }
