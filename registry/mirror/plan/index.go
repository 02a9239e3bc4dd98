package plan

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sync/singleflight"

	"github.com/crateyard/crateyard/registry/crate"
	"github.com/crateyard/crateyard/registry/fault"
)

// ErrNoCrate is what an Index says of a crate that upstream does not have.
var ErrNoCrate = errors.New("no such crate")

// ErrStop ends a walk when an Index returns it, alone or wrapped: upstream is away, say, and each further question would wait in vain.
var ErrStop = errors.New("the index cannot be read any further")

// Index is upstream's index, or as much of it as the mirror's policy lets through.
type Index interface {
	// Versions gives the entries of a crate, in any order; ParseIndex makes them of a file. It is called from several goroutines at
	// once, and again for a crate when it was long ago. An error that is ErrNoCrate, and any other but ErrStop, costs what depends on
	// the crate; people read the Detail of a *fault.Error.
	Versions(ctx context.Context, crate string) ([]Entry, error)
}

// maxKept bounds the memory that records take, in bytes: some 3,000 crates of the usual size.
const maxKept = 16 << 20

// loader asks the index, at most a few questions at a time and no two for one crate, and keeps the answers.
type loader struct {
	index      Index
	dev        bool
	isUpstream func(string) bool
	asking     chan struct{}
	asked      atomic.Int64
	kept       *kept
	flight     singleflight.Group
	reqs       sync.Map // text to *requirement, or to error
}

func newLoader(index Index, opts Options) *loader {
	return &loader{
		index: index, dev: opts.Dependencies == All, isUpstream: opts.IsUpstream,
		asking: make(chan struct{}, opts.Concurrency),
		kept:   newKept(maxKept),
	}
}

// load gives the record of a crate. The only errors are those that end the walk.
func (l *loader) load(ctx context.Context, name string) (*record, error) {
	if r := l.kept.get(name); r != nil {
		return r, nil
	}
	v, err, _ := l.flight.Do(name, func() (any, error) {
		if r := l.kept.get(name); r != nil { // come just now
			return r, nil
		}
		r, err := l.ask(ctx, name)
		if err == nil {
			r.size = r.measure()
			l.kept.put(r)
		}
		return r, err
	})
	return v.(*record), err
}

func (l *loader) ask(ctx context.Context, name string) (*record, error) {
	if crate.CheckDependencyName(name) != nil {
		return &record{name: name, problem: "no crate can have this name"}, nil
	}
	select {
	case l.asking <- struct{}{}:
		defer func() { <-l.asking }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	l.asked.Add(1)
	entries, err := l.index.Versions(ctx, name)
	switch {
	case err == nil || errors.Is(err, ErrNoCrate):
		return newRecord(name, entries, l.dev, l.isUpstream, l.requirement), nil
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case errors.Is(err, ErrStop):
		return nil, err
	}
	r := &record{name: name, problem: "its index file could not be read", err: err}
	if fe, ok := errors.AsType[*fault.Error](err); ok {
		r.problem += ": " + fe.Detail
		if fe.Kind == fault.Forbidden { // by the mirror's policy: nobody tried to read it
			r.problem = fe.Detail
		}
	}
	return r, nil
}

// requirement parses a requirement once.
func (l *loader) requirement(text string) (*requirement, error) {
	if known, ok := l.reqs.Load(text); ok {
		if err, bad := known.(error); bad {
			return nil, err
		}
		return known.(*requirement), nil
	}
	text = intern(text)
	parsed, err := crate.ParseRequirement(text)
	if err != nil {
		l.reqs.LoadOrStore(text, err)
		return nil, err
	}
	first, _ := l.reqs.LoadOrStore(text, &requirement{text, parsed})
	return first.(*requirement), nil
}

// loadAll gives the records of crates by name, asking for several at once.
func (l *loader) loadAll(ctx context.Context, names []string) (map[string]*record, error) {
	records := map[string]*record{}
	return records, l.addAll(ctx, records, names)
}

// addAll loads what is not among records.
func (l *loader) addAll(ctx context.Context, records map[string]*record, names []string) error {
	var missing []string
	for _, n := range names {
		if _, ok := records[n]; !ok {
			records[n] = nil
			missing = append(missing, n)
		}
	}
	if len(missing) == 0 {
		return nil
	}
	found := make([]*record, len(missing))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(cap(l.asking))
	for i, n := range missing {
		group.Go(func() (err error) {
			found[i], err = l.load(ctx, n)
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	for i, n := range missing {
		records[n] = found[i]
	}
	return nil
}
