package plan

import (
	"context"
	"strings"
	"sync"

	"github.com/crateyard/crateyard/registry/fault"
	"github.com/crateyard/crateyard/registry/mirror/lockfile"
)

// Wants is what a mirror is told to keep.
type Wants struct {
	Lockfiles []Lockfile
	Crates    []Crate
}

// Lockfile is what a Cargo.lock pins.
type Lockfile struct {
	Name     string
	Packages []lockfile.Package
}

// Crate is a crate that is listed.
type Crate struct {
	Name        string
	Requirement string // as in Cargo.toml; empty: *
	Latest      int    // how many of the newest versions that it takes; less than 1: 1
}

// Dependencies says which dependencies of the listed crates are followed.
type Dependencies string

// The dependencies that can be followed.
const (
	None   Dependencies = "None"
	Normal Dependencies = "Normal" // normal and build dependencies, of all targets and features
	All    Dependencies = "All"    // and the development dependencies of the listed crates
)

// Options say how far a plan goes. The zero value is what a mirror has by default.
type Options struct {
	Dependencies       Dependencies               // empty: Normal
	DependencyVersions int                        // how many of the newest for each dependency; less than 1: 1
	Rust               string                     // a toolchain, such as 1.85: what cargo prefers for it is kept beside the newest; empty: the newest alone
	Concurrency        int                        // how many index files are asked for at once, and how many listed crates are in work; less than 1: 8
	IsUpstream         func(registry string) bool // whether a registry that an index line names is upstream itself; nil: none is
}

// Version is one version to keep.
type Version struct {
	Crate  string
	Num    string
	SHA256 string // by the index, lower-case hex
	From   string // who wants it first: "lockfile NAME", "crates", or "CRATE VERSION", which depends on it
	Pinned bool   // a lockfile names it
}

// Failure is something wanted that cannot be kept.
type Failure struct {
	Crate   string
	Version string // a version, or a requirement
	From    string // as in Version
	Reason  string // for people
	Err     error  // for the log: what the index answered, if that is the reason; may be nil
}

// Counts says how far a walk is.
type Counts struct {
	IndexFiles int64 // that were asked for, again where they had been dropped
	Wants      int   // listed crates, and crates of lockfiles
	Done       int   // of Wants
	Versions   int64 // told
	Pinned     int64 // of them, by lockfiles
	Failures   int64 // told
	Foreign    int64 // dependencies on other registries, which are none of the mirror's
	Unresolved int64 // listed versions for which cargo itself would find no set of dependencies, or which took too long to resolve
}

// Out is what a walk tells, from one goroutine. An error of Version or Failure ends the walk, which returns it.
type Out struct {
	Version  func(Version) error
	Failure  func(Failure) error
	Progress func(Counts) // nil: not wanted. After each want
}

// Walk tells which versions are to be kept, each once: first those of lockfiles, then of the listed crates, in their order. The same
// wants and index give the same answers in the same order. An error is that of out, of the context, ErrStop, or a *fault.Error for
// options that make no sense; whatever else is wrong is a Failure.
func Walk(ctx context.Context, index Index, wants Wants, opts Options, out Out) (Counts, error) {
	w := newWalker(out)
	if err := w.set(index, opts); err != nil {
		return Counts{}, err
	}
	jobs := append(w.pins(wants.Lockfiles), w.listed(wants.Crates)...)
	w.counts.Wants = len(jobs)
	err := w.run(ctx, jobs)
	w.counts.IndexFiles = w.loader.asked.Load()
	return w.counts, err
}

type walker struct {
	loader *loader
	opts   Options
	prefer []preference
	out    Out
	counts Counts
	told   map[id]bool
	failed map[string]bool // crate, version and the lockfile that wants it
}

func newWalker(out Out) *walker {
	return &walker{out: out, told: map[id]bool{}, failed: map[string]bool{}}
}

func (w *walker) set(index Index, opts Options) error {
	switch opts.Dependencies {
	case "":
		opts.Dependencies = Normal
	case None, Normal, All:
	default:
		return fault.New(fault.Invalid, "dependencies are None, Normal or All, not %q", opts.Dependencies)
	}
	if opts.DependencyVersions < 1 {
		opts.DependencyVersions = 1
	}
	if opts.Concurrency < 1 {
		opts.Concurrency = 8
	}
	if opts.IsUpstream == nil {
		opts.IsUpstream = func(string) bool { return false }
	}
	w.prefer = []preference{{}}
	if opts.Rust != "" {
		r, ok := parseRust(opts.Rust)
		if !ok {
			return fault.New(fault.Invalid, "%q is no version of Rust, which has one to three numbers, such as 1.85", opts.Rust)
		}
		w.prefer = append(w.prefer, preference{rust: &r})
	}
	w.opts, w.loader = opts, newLoader(index, opts)
	return nil
}

// job finds what one want needs.
type job func(ctx context.Context) (*result, error)

// result is what a job found.
type result struct {
	versions   []step
	failures   []Failure
	unresolved int64
}

func (r *result) fail(crate, version, from, reason string, err error) {
	r.failures = append(r.failures, Failure{Crate: crate, Version: version, From: from, Reason: reason, Err: err})
}

// The beginnings of From.
const (
	fromCrates   = "crates"
	fromLockfile = "lockfile "
)

// run works on several jobs at once and tells what they find in their order.
func (w *walker) run(ctx context.Context, jobs []job) error {
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	type answer struct {
		*result
		err error
	}
	answers := make(chan chan answer, w.opts.Concurrency-1) // with the one that is waited for, as many as are in work
	wg.Go(func() {
		defer close(answers)
		for _, j := range jobs {
			one := make(chan answer, 1)
			select {
			case answers <- one:
			case <-ctx.Done():
				return
			}
			wg.Go(func() {
				r, err := j(ctx)
				one <- answer{r, err}
			})
		}
	})
	for one := range answers {
		a := <-one
		if a.err != nil {
			return a.err
		}
		if err := w.tell(a.result); err != nil {
			return err
		}
	}
	return ctx.Err()
}

// tell passes on what is new.
func (w *walker) tell(r *result) error {
	for _, s := range r.versions {
		if w.told[s.id()] {
			continue
		}
		w.told[s.id()] = true
		w.counts.Versions++
		w.counts.Foreign += int64(s.foreign)
		if s.pinned {
			w.counts.Pinned++
		}
		if err := w.out.Version(Version{Crate: s.crate, Num: s.String(), SHA256: s.sha256(), From: s.from, Pinned: s.pinned}); err != nil {
			return err
		}
	}
	for _, f := range r.failures {
		if key := f.key(); !w.failed[key] {
			w.failed[key] = true
			w.counts.Failures++
			if err := w.out.Failure(f); err != nil {
				return err
			}
		}
	}
	w.counts.Done++
	w.counts.Unresolved += r.unresolved
	w.counts.IndexFiles = w.loader.asked.Load()
	if w.out.Progress != nil {
		w.out.Progress(w.counts)
	}
	return nil
}

// key tells failures apart: a dependency that many versions have in common fails once.
func (f Failure) key() string {
	from := f.From
	if from != fromCrates && !strings.HasPrefix(from, fromLockfile) {
		from = ""
	}
	return f.Crate + "\n" + f.Version + "\n" + from
}
