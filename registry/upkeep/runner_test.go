package upkeep_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/crateyard/crateyard/registry/upkeep"
	"github.com/crateyard/crateyard/registry/upkeep/upkeeptest"
	"github.com/crateyard/crateyard/test/process"
)

func TestClean(t *testing.T) {
	for in, want := range map[string]string{
		`dial postgresql://user:pa:ss@db:5432/x?sslmode=disable: refused`:                     `dial postgresql://user:…@db:5432/x?sslmode=disable: refused`,
		`cannot parse "host=db password=geheim user=x"`:                                       `cannot parse "host=db password=… user=x"`,
		`GET https://s3.example.com/b/k?X-Amz-Credential=AK%2F1&X-Amz-Signature=abc&x=1: 403`: `GET https://s3.example.com/b/k?X-Amz-Credential=…&X-Amz-Signature=…&x=1: 403`,
		`header Authorization: cy_abc`:                                                        `header Authorization: …`,
		`disk full`:                                                                           `disk full`,
	} {
		if got := upkeep.Clean(errors.New(in)); got != want {
			t.Errorf("%s\nbecame %s\nwant   %s", in, got, want)
		}
	}
	if got := upkeep.Clean(errors.New(strings.Repeat("x", 5000))); len(got) > 1100 {
		t.Errorf("%d bytes", len(got))
	}
}

// Of three replicas one does what is due, and one alone; what fails is told without its secrets.
func TestRunner(t *testing.T) { upkeeptest.Each(t, testRunner) }

func testRunner(t *testing.T, y *upkeeptest.Yard) {
	c := y.Catalog
	ctx, cancel := context.WithCancel(t.Context())
	var runs, bad atomic.Int64
	var logs process.Log
	var replicas []*upkeep.Runner
	var wg sync.WaitGroup
	for i := range 3 {
		r := &upkeep.Runner{Leases: c, Holder: fmt.Sprint("replica-", i), Log: slog.New(slog.NewTextHandler(&logs, nil)), Tasks: []upkeep.Task{
			{Name: "good", Next: upkeep.Every(time.Hour), First: 10 * time.Millisecond, Run: func(context.Context) (upkeep.Outcome, error) {
				runs.Add(1)
				time.Sleep(50 * time.Millisecond)
				return upkeep.Outcome{Items: 7, Bytes: 8, Text: "done"}, nil
			}},
			{Name: "bad", Next: upkeep.Every(time.Hour), First: 10 * time.Millisecond, Run: func(context.Context) (upkeep.Outcome, error) {
				bad.Add(1)
				return upkeep.Outcome{}, upkeep.Final(errors.New("postgresql://u:secret@h/ is away"))
			}},
			{Name: "never", Next: upkeep.Every(0), Run: func(context.Context) (upkeep.Outcome, error) { panic("never") }},
		}}
		replicas = append(replicas, r)
		wg.Go(func() { r.Run(ctx) })
	}
	known := func() (succeeded, failed int) {
		for _, r := range replicas {
			s := r.Status()
			if len(s) != 3 || s[0].Name != "good" || s[1].Name != "bad" {
				t.Fatalf("%+v", s)
			}
			if !s[0].LastSucceeded.IsZero() && s[0].Last == (upkeep.Outcome{Items: 7, Bytes: 8, Text: "done"}) && s[0].LastDuration > 0 && !s[0].Running {
				succeeded++
			}
			if s[1].LastError == "postgresql://u:…@h/ is away" && s[1].Failures == 1 {
				failed++
			}
		}
		return succeeded, failed
	}
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		if succeeded, failed := known(); succeeded > 0 && failed > 0 {
			break
		}
	}
	time.Sleep(500 * time.Millisecond) // in which another replica would do it again
	cancel()
	wg.Wait()
	if runs.Load() != 1 || bad.Load() != 1 {
		t.Errorf("done %d and %d times", runs.Load(), bad.Load())
	}
	if succeeded, failed := known(); succeeded != 1 || failed != 1 {
		t.Errorf("%d and %d replicas know of it", succeeded, failed)
	}
	if strings.Contains(logs.String(), "secret") || !strings.Contains(logs.String(), "is away") {
		t.Errorf("log: %s", logs.String())
	}
}

// A scrub finds what is damaged, once a pass, and keeps to its rate.
func TestScrub(t *testing.T) {
	y := upkeeptest.Small(t)
	c := y.Catalog
	var all int64
	for i := range 6 {
		r := y.Publish("demo", fmt.Sprintf("1.%d.0", i))
		all += r.Size
		if i == 3 {
			y.Replace(upkeeptest.Key(r), flip)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	var found []upkeep.Finding
	passes := 0
	begin := time.Now()
	s := &upkeep.Scrubber{Catalog: c, Store: y.Store, Rate: 1 << 20, Every: time.Millisecond, Found: func(f upkeep.Finding) { found = append(found, f) },
		Passed: func(r *upkeep.Report) {
			if r.Blobs != 6 || r.Damaged() != 1 || r.ReadBytes < all {
				t.Errorf("%+v", r)
			}
			if passes++; passes == 3 {
				cancel()
			}
		}}
	if err := s.Run(ctx); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	if len(found) != 3 || found[0].Kind != upkeep.WrongDigest || found[0].Version != "1.3.0" {
		t.Errorf("found %+v in %s", found, time.Since(begin))
	}
}

// What was repaired after a pass had found it is not told as damaged at its end, which may come days later.
func TestScrubOfWhatIsRepairedMeanwhile(t *testing.T) {
	y := upkeeptest.Small(t)
	mended, damaged := upkeeptest.Key(y.Publish("mended", "1.0.0")), upkeeptest.Key(y.Publish("damaged", "1.0.0"))
	y.Replace(mended, flip)
	y.Replace(damaged, flip)
	ctx, cancel := context.WithCancel(t.Context())
	told := []string{}
	s := &upkeep.Scrubber{Catalog: y.Catalog, Store: y.Store, Rate: 1 << 20, Found: func(f upkeep.Finding) {
		if told = append(told, f.Crate); f.Crate == "mended" {
			y.Replace(mended, flip)
		}
	}, Passed: func(r *upkeep.Report) {
		if r.Damaged() != 1 || len(r.Findings) != 2 {
			t.Errorf("%+v", r)
		}
		cancel()
	}}
	if err := s.Run(ctx); !errors.Is(err, context.Canceled) || len(told) != 2 {
		t.Errorf("%v, told of %q", err, told)
	}
}

// What is damaged while a pass goes on is damaged at its end: a blob that it had read by then, and one that is missing now and had wrong bytes before.
func TestScrubOfWhatIsDamagedMeanwhile(t *testing.T) {
	y := upkeeptest.Small(t)
	read, damaged := upkeeptest.Key(y.Publish("a-read", "1.0.0")), upkeeptest.Key(y.Publish("b-damaged", "1.0.0"))
	y.Replace(damaged, flip)
	r := &upkeep.Runner{Log: slog.New(slog.DiscardHandler), Tasks: []upkeep.Task{{Name: upkeep.ScrubName}}}
	ctx, cancel := context.WithCancel(t.Context())
	task := upkeep.ScrubTask(upkeep.Scrubber{Catalog: y.Catalog, Store: y.Store, Found: func(f upkeep.Finding) {
		if f.Key != damaged {
			return
		}
		if err := y.Store.Delete(ctx, damaged); err != nil {
			t.Error(err)
		}
		y.Replace(read, flip)
		r.Damaged(upkeep.Finding{Kind: upkeep.WrongDigest, Key: read, Crate: "a-read", Version: "1.0.0"}) // as of a download
	}, Passed: func(*upkeep.Report) { cancel() }}, r)
	if _, err := task.Run(ctx); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	if st := r.Status(); len(st) != 1 || st[0].Last.Problems != 2 {
		t.Errorf("%+v", st)
	}
}

func TestLimit(t *testing.T) {
	data := bytes.Repeat([]byte("x"), 300<<10)
	begin := time.Now()
	r := upkeep.Limit(t.Context(), 512<<10)(bytes.NewReader(data))
	var out bytes.Buffer
	if n, err := out.ReadFrom(r); err != nil || n != int64(len(data)) {
		t.Fatal(n, err)
	}
	if took := time.Since(begin); took < 400*time.Millisecond { // 300 KiB less the first 64 KiB
		t.Errorf("300 KiB at 512 KiB/s took %s", took)
	}
}

// What another replica did last counts, and so does what this one did before it was started again; what it did later stays.
func TestRunnerLearns(t *testing.T) {
	r := &upkeep.Runner{Tasks: []upkeep.Task{{Name: "scrub"}, {Name: "sweep"}}}
	at := time.Now()
	learn := func(ago time.Duration, problems int64) {
		r.Learn(map[string]upkeep.Status{
			"scrub": {Name: "scrub", LastSucceeded: at.Add(-ago), Runs: 7, LastFailed: at, LastError: "theirs", Last: upkeep.Outcome{Problems: problems}},
			"other": {Name: "other", LastSucceeded: at},
			"sweep": {Name: "sweep", Runs: 3},
		})
	}
	want := func(ago time.Duration, problems int64) {
		t.Helper()
		st := r.Status()
		if len(st) != 2 || !st[0].LastSucceeded.Equal(at.Add(-ago)) || st[0].Last.Problems != problems || st[0].Runs != 0 || st[0].LastError != "" ||
			st[1] != (upkeep.Status{Name: "sweep"}) {
			t.Errorf("%+v", st)
		}
	}
	learn(time.Hour, 2)
	want(time.Hour, 2)
	learn(2*time.Hour, 5) // told late
	want(time.Hour, 2)
	learn(time.Minute, 0) // mended
	want(time.Minute, 0)
}

// A clock that was ahead stops no work when it is set right: neither by a lease that it left behind, nor by the time for which a task was put off.
func TestRunnerAfterClockWasAhead(t *testing.T) { upkeeptest.Each(t, testRunnerAfterClockWasAhead) }

func testRunnerAfterClockWasAhead(t *testing.T, y *upkeeptest.Yard) {
	defer upkeep.SetLongest(upkeep.SetLongest(10 * time.Millisecond))
	const year = 365 * 24 * time.Hour
	for _, name := range []string{"task/sweep", "task/backup", upkeep.BlobsLease} {
		if has, err := y.Catalog.Lease(t.Context(), name, "a server that is gone", year); err != nil || !has {
			t.Fatal(has, err)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	var left sync.WaitGroup
	left.Add(2)
	var once [2]sync.Once
	hold := func(i int) (upkeep.Outcome, error) {
		err := upkeep.Hold(ctx, y.Catalog, upkeep.BlobsLease, fmt.Sprint("task", i), func(context.Context) error { return nil })
		if err == nil || !errors.Is(err, upkeep.ErrHeld) {
			once[i].Do(left.Done)
		}
		return upkeep.Outcome{}, err
	}
	reckoned := 0
	r := &upkeep.Runner{Leases: y.Catalog, Holder: "test", Log: slog.New(slog.DiscardHandler), Tasks: []upkeep.Task{
		{Name: "sweep", Next: upkeep.Every(time.Hour), First: time.Millisecond, Run: func(context.Context) (upkeep.Outcome, error) { return hold(0) }},
		{Name: "backup", Next: func(last time.Time) time.Time {
			if reckoned++; reckoned == 1 {
				return time.Now().Add(year) // of a clock that was ahead by as much
			}
			return last.Add(300 * time.Millisecond)
		}, Run: func(context.Context) (upkeep.Outcome, error) { return hold(1) }},
	}}
	var wg sync.WaitGroup
	wg.Go(func() { r.Run(ctx) })
	done := make(chan struct{})
	go func() { left.Wait(); close(done) }()
	select {
	case <-done:
	case <-ctx.Done():
		t.Error("the work waits for the end of a year")
	}
	cancel()
	wg.Wait()
}
