package plan

import (
	"context"
	"slices"
	"strings"

	"github.com/crateyard/crateyard/registry/crate"
)

// node is one version of a crate. It keeps no record alive.
type node struct {
	crate string
	version
}

// id tells nodes apart.
type id struct {
	crate string
	crate.Version
}

func (r *record) node(i int) node { return node{r.name, r.versions[i]} }
func (n node) id() id             { return id{n.crate, n.Version} }
func (n node) label() string      { return n.crate + " " + n.String() }

// light is the node without its dependencies and features.
func (n node) light() node {
	if n.links == "" && n.foreign == 0 {
		n.detail = nothing
	} else {
		n.detail = &detail{links: n.links, foreign: n.foreign}
	}
	return n
}

var nothing = &detail{}

// step is a node, and who wants it.
type step struct {
	node
	from   string
	pinned bool
}

// work is a job on one listed crate.
type work struct {
	*walker
	*result
	added map[id]bool
}

// listed makes a job of each listed crate.
func (w *walker) listed(crates []Crate) []job {
	jobs := make([]job, len(crates))
	for i, c := range crates {
		jobs[i] = func(ctx context.Context) (*result, error) {
			k := &work{walker: w, result: &result{}, added: map[id]bool{}}
			return k.result, k.crate(ctx, c)
		}
	}
	return jobs
}

// crate finds what a listed crate needs.
func (k *work) crate(ctx context.Context, c Crate) error {
	if c.Requirement == "" {
		c.Requirement = "*"
	}
	req, err := k.loader.requirement(c.Requirement)
	if err != nil {
		k.fail(c.Name, c.Requirement, fromCrates, err.Error()+"; write it as in Cargo.toml, such as ^1.2", nil)
		return nil
	}
	rec, err := k.loader.load(ctx, c.Name)
	if err != nil {
		return err
	}
	if len(rec.matching(req, nil, 1)) == 0 {
		k.fail(c.Name, c.Requirement, fromCrates, rec.noMatch(req, nil), rec.err)
		return nil
	}
	var chosen []int
	for _, p := range k.prefer {
		all := p.order(rec, rec.matching(req, nil, -1))
		for _, i := range all[:min(max(c.Latest, 1), len(all))] {
			if k.add(step{node: rec.node(i), from: fromCrates}) {
				chosen = append(chosen, i)
			}
		}
	}
	if k.opts.Dependencies == None {
		return nil
	}
	for _, p := range k.prefer {
		all := p.order(rec, rec.matching(req, nil, -1))
		for _, i := range chosen {
			candidates := []int{i}
			if i == all[0] {
				candidates = all // cargo takes the first, unless it finds no way with it
			}
			if err := k.follow(ctx, rec, candidates, p); err != nil {
				return err
			}
		}
	}
	return nil
}

// follow adds the closure of a listed version, the first of candidates. The rest is what cargo falls back to when it finds no way with it.
func (k *work) follow(ctx context.Context, rec *record, candidates []int, p preference) error {
	start := []step{{node: rec.node(candidates[0]), from: fromCrates}}
	steps, conflict, err := k.closure(ctx, start, p, 1)
	if err != nil {
		return err
	}
	k.addAll(steps)
	if k.opts.DependencyVersions > 1 {
		more, _, err := k.closure(ctx, start, p, k.opts.DependencyVersions)
		if err != nil {
			return err
		}
		k.addAll(more)
	}
	if !conflict {
		return nil
	}
	chosen, err := k.resolveListed(ctx, rec, candidates, p)
	if err != nil {
		return err
	}
	steps, _, err = k.closure(ctx, chosen, p, 1)
	k.addAll(steps)
	return err
}

// closure follows all dependencies from start, and takes the n newest versions for each. Development dependencies are followed of
// listed crates alone. conflict says that cargo might choose otherwise.
func (k *work) closure(ctx context.Context, start []step, p preference, n int) (steps []step, conflict bool, err error) {
	in := map[id]bool{}
	put := func(s step) {
		if !in[s.id()] {
			in[s.id()] = true
			steps = append(steps, s)
		}
	}
	for _, s := range start {
		put(s)
	}
	for done := 0; done < len(steps); {
		wave := slices.Clone(steps[done:min(len(steps), done+maxWave)])
		var names []string
		for _, s := range wave {
			for d := range s.dependencies() {
				names = append(names, d.crate)
			}
		}
		records, err := k.loader.loadAll(ctx, names)
		if err != nil {
			return nil, false, err
		}
		for _, s := range wave {
			steps[done].node = s.light() // what is done needs no more memory than it must
			done++
			from := s.label()
			for d := range s.dependencies() {
				rec := records[d.crate]
				candidates := rec.best(d, p, n)
				if len(candidates) == 0 {
					conflict = true
					k.fail(d.crate, d.req.text, from, rec.noMatch(d.req, d.features), rec.err)
					continue
				}
				conflict = conflict || !s.turnsOn(d, &rec.versions[candidates[0]])
				for _, i := range candidates {
					put(step{node: rec.node(i), from: from})
				}
			}
		}
	}
	return steps, conflict || clash(steps), nil
}

// maxWave is how many versions are followed at a time, so that a wide graph does not hold the records of all that it needs.
const maxWave = 64

// dependencies are those that are followed of a step.
func (s step) dependencies() func(yield func(*dependency) bool) {
	return func(yield func(*dependency) bool) {
		deps := s.deps
		for i := range deps {
			if (deps[i].kind != kindDev || s.from == fromCrates) && !yield(&deps[i]) {
				return
			}
		}
	}
}

// turnsOn reports whether what is chosen for a dependency has the features that any feature of the dependent turns on in it.
func (s step) turnsOn(d *dependency, chosen *version) bool {
	for _, f := range s.features {
		for _, v := range f.values {
			if alias, feature, ok := strings.Cut(v, "/"); ok && strings.TrimSuffix(alias, "?") == d.alias && !chosen.has([]string{feature}) {
				return false
			}
		}
	}
	return true
}

// clash reports whether versions cannot all be in one build: two of one range, or of one links.
func clash(steps []step) bool {
	ranges, links := map[place]bool{}, map[string]bool{}
	for _, s := range steps {
		if ranges[s.place()] || s.links != "" && links[s.links] {
			return true
		}
		ranges[s.place()], links[s.links] = true, true
	}
	return false
}

// matching gives up to n versions that cargo may choose for a requirement with features, the newest first; all of them for n < 0.
func (r *record) matching(req *requirement, features []string, n int) (candidates []int) {
	for i := range r.versions {
		if len(candidates) == n {
			break
		}
		if v := &r.versions[i]; v.choosable() && req.Matches(v.Version) && v.has(features) {
			candidates = append(candidates, i)
		}
	}
	return candidates
}

// best gives the n versions that cargo prefers for a dependency.
func (r *record) best(d *dependency, p preference, n int) []int {
	if p.rust == nil {
		return r.matching(d.req, d.features, n)
	}
	all := p.order(r, r.matching(d.req, d.features, -1))
	return all[:min(n, len(all))]
}

// add adds a version to what the job found, unless it is there.
func (k *work) add(s step) bool {
	if k.added[s.id()] {
		return false
	}
	k.added[s.id()] = true
	s.node = s.light()
	k.versions = append(k.versions, s)
	return true
}

func (k *work) addAll(steps []step) {
	for _, s := range steps {
		k.add(s)
	}
}
