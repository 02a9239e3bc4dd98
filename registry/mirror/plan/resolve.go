package plan

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"strings"
)

// maxTries bounds the candidates that one resolution tries: some seconds. What cargo resolves at all, it mostly does with a try for
// each package; a graph that needs more is one that people have given up, too.
const maxTries = 100_000

// resolver chooses versions as cargo does. Source: activate_deps_loop of cargo, whose order of decisions has been the same since 2018:
//
//   - Next comes the dependency with the fewest versions that its requirement takes; of several, one of the package that was added first,
//     and in a package the one that its index line names first.
//   - Of these versions the first is taken, in the order of preference, that is compatible with all versions chosen, whose links nobody
//     has, which has the features asked for, and whose own dependencies are not known to fail beside what is chosen (see notes).
//   - Where none is left, the last decision that had a part in it takes its next version, and all after it are made anew.
//
// The second and third leave out parts of the search in which there can be nothing. What cargo leaves out is left out here, too, since it
// is not always right about features, and then leaves out something. For the same reason index files are read as cargo reads them: it
// resolves with those that it has, as if dependencies on other crates were not there; reads what was missing; and resolves anew with
// the notes that it took.
type resolver struct {
	prefer  preference
	records map[string]*record // that were read; as long as a resolution lasts, a crate is the same
	missing []string           // crates that this pass would have needed
	notes   notes
	tries   int // candidates, in all passes

	active  map[place]*activation
	links   map[string]*activation
	order   []step // what is active, as it came
	frames  []frame
	made    int // frames so far
	choices []choice
	undo    []func()
}

// place is a range of versions of a crate, of which one may be active.
type place struct {
	crate string
	compat
}

func (n node) place() place { return place{n.crate, n.compat()} }

// activation is a version that was chosen.
type activation struct {
	node
	choice   int             // by which choice: its number, from 1
	features map[string]bool // that are on
}

// frame holds the dependencies of a package that are still to be decided.
type frame struct {
	from   string
	parent *activation // nil: the package that all begins with
	deps   []open      // never changed; the fewest candidates first
	at     int
	number int
}

// open is a dependency to decide.
type open struct {
	*dependency
	rec        *record
	candidates []int
	features   []string
}

// choice is a decision, and how things stood before it.
type choice struct {
	open
	from    string
	parent  *activation
	next    int      // candidate
	blocked conflict // what ruled candidates out
	again   bool     // a candidate was taken, and did not work out
	frames  []frame
	made    int
	undo    int
}

// resolveListed gives what cargo chooses for a package that depends on the first of candidates, or on one of the others, if there is
// no way with it.
func (k *work) resolveListed(ctx context.Context, rec *record, candidates []int, p preference) (chosen []step, err error) {
	listed := rec.node(candidates[0])
	all := listed.featureNames()
	var solved bool
	for _, features := range [][]string{all, nil} {
		var steps []step
		if steps, solved, err = k.resolve(ctx, p, rec, candidates, features); err != nil {
			return nil, err
		}
		chosen = append(chosen, steps...)
	}
	if !solved {
		k.unresolved++
	}
	if k.opts.Dependencies == All {
		steps, err := k.resolveMember(ctx, listed, all, p)
		if err != nil {
			return nil, err
		}
		chosen = append(chosen, steps...)
	}
	return chosen, nil
}

// resolve decides one dependency, on one of the candidates with some features and the default ones, and all that follows from it.
func (k *work) resolve(ctx context.Context, p preference, rec *record, candidates []int, features []string) (steps []step, solved bool, err error) {
	r := &resolver{prefer: p, records: map[string]*record{rec.name: rec}, notes: notes{}}
	first := &dependency{crate: rec.name, alias: rec.name, features: features, defaults: true}
	return r.run(ctx, k.loader, func() {
		r.frames = []frame{{from: fromCrates, deps: []open{{first, rec, candidates, features}}}}
	})
}

// resolveMember decides the dependencies of a version that is built from its own sources, with development dependencies. Where these
// depend on the crate itself, that one is of the registry, and another package.
func (k *work) resolveMember(ctx context.Context, member node, features []string, p preference) ([]step, error) {
	inManifest := *member.detail
	inManifest.deps = slices.SortedStableFunc(slices.Values(inManifest.deps), asInManifest)
	on, ok := inManifest.turnOn(features, true)
	if !ok {
		return nil, nil
	}
	r := &resolver{prefer: p, records: map[string]*record{}, notes: notes{}}
	steps, _, err := r.run(ctx, k.loader, func() {
		r.frames = []frame{{from: member.label(), deps: r.open(on, true)}}
		if member.links != "" {
			r.links[member.links] = &activation{}
		}
	})
	return steps, err
}

// asInManifest orders dependencies as cargo reads them from a manifest. Source: to_real_manifest of cargo.
func asInManifest(a, b dependency) int {
	kinds := "ndb"
	if a.target != "" {
		kinds = "nbd"
	}
	return cmp.Or(cmp.Compare(a.target, b.target), cmp.Compare(strings.IndexByte(kinds, a.kind), strings.IndexByte(kinds, b.kind)), cmp.Compare(a.alias, b.alias))
}

func (d *detail) featureNames() []string {
	names := make([]string, len(d.features))
	for i, f := range d.features {
		names[i] = f.name
	}
	return names
}

// run decides all dependencies of what begin makes the beginning. solved is false where there is no way, or none was found in maxTries.
func (r *resolver) run(ctx context.Context, l *loader, begin func()) (chosen []step, solved bool, err error) {
	for {
		r.active, r.links, r.order, r.missing = map[place]*activation{}, map[string]*activation{}, nil, nil
		r.frames, r.made, r.choices, r.undo = nil, 0, nil, nil
		begin()
		if !r.pass(ctx) {
			return nil, false, ctx.Err()
		}
		if len(r.missing) == 0 {
			return r.order, true, nil
		}
		if err := l.addAll(ctx, r.records, r.missing); err != nil {
			return nil, false, err
		}
	}
}

// pass decides all dependencies on crates that were read.
func (r *resolver) pass(ctx context.Context) bool {
	for {
		f := r.mostConstrained()
		if f == nil {
			return true
		}
		d := f.deps[f.at]
		f.at++
		r.choices = append(r.choices, choice{open: d, from: f.from, parent: f.parent, blocked: conflict{}, frames: slices.Clone(r.frames), made: r.made, undo: len(r.undo)})
		for !r.choose() {
			if ctx.Err() != nil || r.tries > maxTries || !r.back() {
				return false
			}
		}
	}
}

// mostConstrained drops the frames that are done and gives the one whose next dependency has the fewest candidates.
func (r *resolver) mostConstrained() (least *frame) {
	r.frames = slices.DeleteFunc(r.frames, func(f frame) bool { return f.at == len(f.deps) })
	for i := range r.frames {
		f := &r.frames[i]
		if least == nil {
			least = f
			continue
		}
		if a, b := len(f.deps[f.at].candidates), len(least.deps[least.at].candidates); a < b || a == b && f.number < least.number {
			least = f
		}
	}
	return least
}

// choose activates the next candidate of the last choice that can be.
func (r *resolver) choose() bool {
	c := &r.choices[len(r.choices)-1]
	for c.next < len(c.candidates) {
		n := c.rec.node(c.candidates[c.next])
		c.next++
		if r.tries++; r.tries > maxTries {
			return false
		}
		here := r.active[n.place()]
		if here != nil && here.id() != n.id() {
			c.blocked.add(here)
			continue
		}
		if there := r.links[n.links]; there != nil && there.id() != n.id() {
			c.blocked.add(there)
			continue
		}
		on, ok := n.turnOn(c.features, c.defaults)
		if !ok {
			c.blocked.add(c.parent)
			continue
		}
		if here != nil && covers(here.features, on.features) {
			return true
		}
		deps, before := r.open(on, false), len(r.undo)
		here = r.activate(n, on, c.from)
		if known := r.knownToFail(here, deps); known != nil {
			c.blocked.addAll(known, here)
			r.undoTo(before)
			continue
		}
		r.made++
		r.frames = append(r.frames, frame{from: n.label(), parent: here, deps: deps, number: r.made})
		return true
	}
	return false
}

// activate makes a version one of those chosen, with features that are added to what it has.
func (r *resolver) activate(n node, on turned, from string) *activation {
	a := r.active[n.place()]
	if a == nil {
		a = &activation{node: n, choice: len(r.choices)}
		r.active[n.place()] = a
		r.order = append(r.order, step{node: n, from: from})
		if n.links != "" {
			r.links[n.links] = a
		}
		r.undo = append(r.undo, func() {
			delete(r.active, n.place())
			r.order = r.order[:len(r.order)-1]
			if n.links != "" {
				delete(r.links, n.links)
			}
		})
	}
	before := a.features
	a.features = map[string]bool{}
	maps.Copy(a.features, before)
	maps.Copy(a.features, on.features)
	r.undo = append(r.undo, func() { a.features = before })
	return a
}

func (r *resolver) undoTo(n int) {
	for len(r.undo) > n {
		r.undo[len(r.undo)-1]()
		r.undo = r.undo[:len(r.undo)-1]
	}
}

// covers reports whether all features that are wanted are on.
func covers(on, wanted map[string]bool) bool {
	for f := range wanted {
		if !on[f] {
			return false
		}
	}
	return true
}

// open lists the dependencies that features turn on.
func (r *resolver) open(on turned, dev bool) (deps []open) {
	for i := range on.of.deps {
		d := &on.of.deps[i]
		if _, is := on.deps[d.alias]; d.optional && !is || d.kind == kindDev && !dev {
			continue
		}
		rec := r.records[d.crate]
		if rec == nil {
			r.missing = append(r.missing, d.crate)
			continue
		}
		features := slices.Clone(d.features)
		for f := range on.deps[d.alias] {
			features = append(features, f)
		}
		deps = append(deps, open{d, rec, r.prefer.order(rec, rec.matching(d.req, nil, -1)), features})
	}
	slices.SortStableFunc(deps, func(a, b open) int { return len(a.candidates) - len(b.candidates) })
	return deps
}

// back goes to the last choice that had a part in what failed, and leaves it to choose again. Where a choice has failed before, only the
// last of the reasons is known, and it goes back by one.
func (r *resolver) back() bool {
	failed := &r.choices[len(r.choices)-1]
	last := len(r.choices) - 1
	if !failed.again {
		r.notes.add(failed.dependency, failed.blocked)
		last = failed.blocked.last()
		if failed.parent != nil {
			last = max(last, failed.parent.choice)
		}
	}
	if last == 0 {
		return false
	}
	r.choices = r.choices[:last]
	c := &r.choices[last-1]
	c.again = true
	r.frames, r.made = slices.Clone(c.frames), c.made
	r.undoTo(c.undo)
	return true
}
