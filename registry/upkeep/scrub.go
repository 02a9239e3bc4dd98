package upkeep

import (
	"context"
	"io"
	"slices"
	"time"

	"golang.org/x/time/rate"

	"github.com/crateyard/crateyard/registry/storage"
)

// scrubEvery is the least time from the beginning of one pass to the next: to read a small registry all day finds nothing more.
const scrubEvery = 24 * time.Hour

// Scrubber reads all blobs again and again, slowly, and reports what no longer has its digest.
type Scrubber struct {
	Catalog Catalog
	Store   storage.Store
	Rate    int64 // bytes a second
	// Found is called for each damage, once a pass.
	Found func(Finding)
	// Passed is called at the end of each pass. Progress is called now and then.
	Passed, Progress func(*Report)
	Every            time.Duration // least time between the beginnings of two passes; 0: a day

	suspected func() []string // what others found damaged since the last pass; nil: nothing
}

// Run scrubs until ctx ends. Where a pass cannot go on, it waits and goes on from there.
func (s *Scrubber) Run(ctx context.Context) error {
	every := s.Every
	if every == 0 {
		every = scrubEvery
	}
	for {
		begin := time.Now()
		report := &Report{}
		if err := s.pass(ctx, report); err != nil {
			return err
		}
		if s.Passed != nil {
			s.Passed(report)
		}
		if err := sleep(ctx, every-time.Since(begin)); err != nil {
			return err
		}
	}
}

// scrubRetry is how long to wait when storage or catalog fails.
const scrubRetry = time.Minute

func (s *Scrubber) pass(ctx context.Context, report *Report) error {
	reported := 0
	c := Checker{Catalog: s.Catalog, Store: s.Store, Workers: 1, Through: Limit(ctx, s.Rate), Progress: func(r *Report) {
		for _, f := range r.Findings[min(reported, len(r.Findings)):] {
			if f.Kind.Damage() && s.Found != nil {
				s.Found(f)
			}
		}
		reported = len(r.Findings)
		if s.Progress != nil {
			s.Progress(r)
		}
	}}
	for {
		err := c.Run(ctx, report)
		if err == nil || ctx.Err() != nil {
			c.forgetMended(ctx, report)
			if s.suspected != nil {
				c.addSuspected(ctx, report, s.suspected())
			}
			return ctx.Err()
		}
		if err := sleep(ctx, scrubRetry); err != nil {
			return err
		}
	}
}

// forgetMended looks again at what a pass found damaged, which may have been days ago, and counts as repaired what is right by now.
func (c *Checker) forgetMended(ctx context.Context, report *Report) {
	for i := range report.Findings {
		f := &report.Findings[i]
		if !f.Kind.Damage() || f.Repaired != "" {
			continue
		}
		found, err := c.lookAt(ctx, f.Key)
		if err == nil && !slices.ContainsFunc(found, func(still Finding) bool { return still.Kind.Damage() }) {
			f.Repaired = "meanwhile"
			report.Repaired++
		}
	}
}

// addSuspected looks again at what others found damaged while a pass went on, which may have read it before it was.
func (c *Checker) addSuspected(ctx context.Context, report *Report, keys []string) {
	for _, key := range keys {
		if slices.ContainsFunc(report.Findings, func(f Finding) bool { return f.Key == key }) {
			continue
		}
		found, err := c.lookAt(ctx, key)
		if err != nil {
			continue // a download of it tells again
		}
		for _, f := range found {
			if f.Kind.Damage() && f.Kind != Unreadable {
				report.add(f)
			}
		}
	}
}

// Limit gives readers that together read so many bytes a second.
func Limit(ctx context.Context, bytesPerSecond int64) func(io.Reader) io.Reader {
	if bytesPerSecond <= 0 {
		return nil
	}
	const most = 64 << 10 // of one read, see storage.Digest
	l := rate.NewLimiter(rate.Limit(bytesPerSecond), most)
	return func(r io.Reader) io.Reader { return limited{ctx, r, l} }
}

type limited struct {
	ctx context.Context
	r   io.Reader
	l   *rate.Limiter
}

func (r limited) Read(p []byte) (int, error) {
	p = p[:min(len(p), r.l.Burst())]
	n, err := r.r.Read(p)
	if werr := r.l.WaitN(r.ctx, n); werr != nil && err == nil {
		err = werr
	}
	return n, err
}

func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(max(d, 0))
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}
