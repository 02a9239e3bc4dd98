package plan

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sync/errgroup"

	"github.com/crateyard/crateyard/registry/index"
	"github.com/crateyard/crateyard/registry/mirror/lockfile"
)

var (
	graphs    = flag.Int("graphs", 30, "how many random registries the real cargo resolves in")
	fromGraph = flag.Int("from-graph", 0, "the number of the first of them")
)

// graph is a random registry, a crate of it that is listed, and with which requirement.
type graph struct {
	entries []index.Entry
	listed  string
	req     string
}

var graphVersions = strings.Fields("0.0.1 0.0.2 0.1.0 0.1.1 0.2.0 1.0.0 1.0.1 1.1.0 1.2.0 1.3.0-rc.1 1.3.0 2.0.0 2.1.0 3.0.0-beta")

// randomGraph makes a registry full of conflicts: few versions, tight requirements, here and there a feature that is missing. The same
// seed gives the same one.
func randomGraph(seed int) graph {
	r := random{rand.New(rand.NewPCG(uint64(seed), 0))}
	names := strings.Fields("a b c d e f g h")[:4+r.IntN(5)]
	versions := map[string][]string{}
	for _, n := range names {
		all := slices.Clone(graphVersions)
		r.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
		versions[n] = all[:2+r.IntN(6)]
	}
	g := graph{listed: names[0], req: r.req(versions[names[0]])}
	for i, n := range names {
		for _, v := range versions[n] {
			e := index.Entry{Name: n, Vers: v, Cksum: sumOf(n, v), Deps: []index.Dependency{}, Features: map[string][]string{}, PubTime: "2026-01-02T03:04:05Z"}
			e.Yanked = r.often(5)
			if r.often(30) {
				e.RustVersion = r.one("1.50", "1.70.1", "1.90")
			}
			if r.often(5) {
				e.Links = r.one("x", "y")
			}
			for _, to := range names {
				if to > n && r.often(75-8*i) || r.often(1) {
					e.Deps = append(e.Deps, r.dependency(to, versions[to]))
				}
			}
			for _, f := range []string{"default", "one", "two"} {
				if r.often(90) {
					e.Features[f] = r.values(e.Deps)
				}
			}
			g.entries = append(g.entries, e)
		}
	}
	return g
}

type random struct{ *rand.Rand }

func (r random) often(percent int) bool  { return r.IntN(100) < percent }
func (r random) one(of ...string) string { return of[r.IntN(len(of))] }
func (r random) req(versions []string) string {
	v := r.one(versions...)
	switch op := r.one("^", "^", "^", "=", "~", "~", ">=", "<=", "*", "range", "range", "wide"); op {
	case "*":
		return op
	case "range":
		return ">=0.0.1, <=" + v
	case "wide":
		return ">=0.0.1"
	default:
		return op + v
	}
}

func (r random) dependency(to string, versions []string) index.Dependency {
	d := index.Dependency{Name: to, Req: r.req(versions), Features: []string{}, Kind: r.one("normal", "normal", "normal", "build", "dev")}
	d.DefaultFeatures = r.often(70)
	d.Optional = d.Kind != "dev" && r.often(30)
	if r.often(10) {
		d.Name, d.Package = "the_"+to, to
	}
	if r.often(10) {
		target := r.one("cfg(windows)", "x86_64-unknown-linux-gnu")
		d.Target = &target
	}
	if r.often(15) {
		d.Features = append(d.Features, r.one("one", "two"))
	}
	return d
}

// values makes the values of a feature that cargo takes.
func (r random) values(deps []index.Dependency) []string {
	values := []string{}
	for _, d := range deps {
		switch {
		case !r.often(40):
		case d.Optional && r.often(20):
			values = append(values, d.Name+"?/one")
		case r.often(20):
			values = append(values, d.Name+"/two")
		case d.Optional:
			values = append(values, d.Name) // the feature that cargo makes of it
		}
	}
	return values
}

func (g graph) files() files {
	f := files{}
	for _, e := range g.entries {
		f[e.Name] += string(e.Line())
	}
	return f
}

// What the real cargo chooses for a package that depends on a listed crate is what we choose, and is in the plan: with all features, with
// the default ones, and for an old Rust. Where cargo finds no way, we find none.
func TestResolvesAsCargo(t *testing.T) {
	old, _ := parseRust("1.70")
	for name, tc := range map[string]struct {
		head     string
		features func(graph, *testing.T, preference) []string
		prefer   preference
		opts     Options
	}{
		"all features":     {"", graph.allFeatures, preference{}, Options{}},
		"default features": {"", func(graph, *testing.T, preference) []string { return []string{} }, preference{}, Options{}},
		"old Rust":         {"rust-version = \"1.70\"\nresolver = \"3\"\n", graph.allFeatures, preference{&old}, Options{Rust: "1.70"}},
	} {
		t.Run(name, func(t *testing.T) {
			var solved, beyond int
			for i, s := range askCargos(t, func(g graph, t *testing.T) string {
				return fmt.Sprintf("[package]\nname = \"asks\"\nversion = \"0.0.0\"\nedition = \"2021\"\n%s[dependencies]\n%s = { version = %q, features = %s }\n",
					tc.head, g.listed, g.req, asJSON(t, tc.features(g, t, tc.prefer)))
			}) {
				k, rec, candidates := s.work(t)
				steps, ok, err := k.resolve(t.Context(), tc.prefer, rec, tc.prefer.order(rec, candidates), tc.features(s.graph, t, tc.prefer))
				if err != nil {
					t.Fatal(err)
				}
				if s.chosen == nil {
					if ok && !s.cyclic {
						t.Errorf("graph %d: we choose %q, cargo finds no way for %s %s", *fromGraph+i, labels(steps), s.listed, s.req)
					}
					continue
				}
				if solved++; !ok || !slices.Equal(labels(steps), s.chosen) {
					t.Errorf("graph %d: %v\n we    %q\n cargo %q\nfor %s %s", *fromGraph+i, ok, labels(steps), s.chosen, s.listed, s.req)
				}
				if s.inPlan(t, *fromGraph+i, tc.opts) {
					beyond++
				}
			}
			enough(t, solved, beyond)
		})
	}
}

// What the real cargo chooses for a listed crate as a workspace member, with its development dependencies, is in the plan of All.
func TestMembersAsCargo(t *testing.T) {
	var solved, beyond int
	for i, s := range askCargos(t, graph.member) {
		if s.chosen == nil {
			continue
		}
		if solved++; s.inPlan(t, *fromGraph+i, Options{Dependencies: All}) {
			beyond++
		}
	}
	enough(t, solved, beyond)
}

// inPlan checks that the plan has what cargo chose. beyond says that the newest of everything would not have had it.
func (s seen) inPlan(t *testing.T, i int, opts Options) (beyond bool) {
	plan := walk(t, s.files(), listed(s.listed+" "+s.req), opts)
	k, rec, candidates := s.work(t)
	newest, _, err := k.closure(t.Context(), []step{{node: rec.node(candidates[0]), from: fromCrates}}, preference{}, 1)
	if err != nil {
		t.Fatal(err)
	}
	plain := labels(newest)
	for _, v := range s.chosen {
		if !plan.has(v) {
			t.Errorf("graph %d: cargo chooses %q for %s %s, and %s is not in the plan, which has %s", i, s.chosen, s.listed, s.req, v, plan.text())
		}
		beyond = beyond || !slices.Contains(plain, v)
	}
	return beyond
}

func enough(t *testing.T, solved, beyond int) {
	t.Logf("cargo found a way in %d of %d registries, and in %d of them one that is not the newest of everything", solved, *graphs, beyond)
	if *graphs >= 30 && (solved < *graphs/3 || beyond == 0) {
		t.Error("the registries are too easy or too hard to tell anything")
	}
}

// work is a job on the listed crate, its record, and what its requirement takes.
func (g graph) work(t *testing.T) (*work, *record, []int) {
	k := &work{walker: &walker{}, result: &result{}, added: map[id]bool{}}
	if err := k.set(g.files(), Options{Dependencies: All}); err != nil {
		t.Fatal(err)
	}
	req, err := k.loader.requirement(g.req)
	if err != nil {
		t.Fatal(err)
	}
	rec, err := k.loader.load(t.Context(), g.listed)
	if err != nil {
		t.Fatal(err)
	}
	return k, rec, rec.matching(req, nil, -1)
}

func labels(steps []step) []string {
	all := []string{}
	for _, s := range steps {
		all = append(all, s.label())
	}
	slices.Sort(all)
	return all
}

// member is the manifest of the newest listed version itself; empty when there is none.
func (g graph) member(t *testing.T) string {
	_, rec, candidates := g.work(t)
	if len(candidates) == 0 {
		return ""
	}
	v := rec.versions[candidates[0]].String()
	e := g.entries[slices.IndexFunc(g.entries, func(e index.Entry) bool { return e.Name == g.listed && e.Vers == v })]
	var b strings.Builder
	fmt.Fprintf(&b, "[package]\nname = %q\nversion = %q\nedition = \"2021\"\n", e.Name, e.Vers)
	if e.Links != "" {
		fmt.Fprintf(&b, "links = %q\nbuild = \"src/lib.rs\"\n", e.Links)
	}
	fmt.Fprintf(&b, "[features]\n")
	for f, values := range e.Features {
		fmt.Fprintf(&b, "%s = %s\n", f, asJSON(t, values))
	}
	for _, d := range e.Deps {
		table := map[string]string{"normal": "dependencies", "build": "build-dependencies", "dev": "dev-dependencies"}[d.Kind]
		if d.Target != nil {
			table = "target.'" + *d.Target + "'." + table
		}
		fmt.Fprintf(&b, "[%s.%s]\nversion = %q\noptional = %v\ndefault-features = %v\nfeatures = %s\n", table, d.Name, d.Req, d.Optional, d.DefaultFeatures, asJSON(t, d.Features))
		if d.Package != "" {
			fmt.Fprintf(&b, "package = %q\n", d.Package)
		}
	}
	return b.String()
}

// seen is a registry and what cargo chose in it: "NAME VERSION", sorted; nil when there is no way.
type seen struct {
	graph
	chosen []string
	cyclic bool // there would be one, if crates could depend on each other
}

// askCargos has the real cargo write a lock file in random registries, for a package with the manifest that is made for each. What cargo
// says where it finds no way is looked at: nothing else may have gone wrong.
func askCargos(t *testing.T, manifest func(graph, *testing.T) string) []seen {
	list := make([]seen, *graphs)
	var server http.ServeMux
	for i := range list {
		list[i].graph = randomGraph(*fromGraph + i)
		for name, text := range list[i].files() {
			server.HandleFunc(fmt.Sprintf("/%d/%s", i, index.Path(name)), func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, text) })
		}
	}
	s := httptest.NewServer(&server)
	t.Cleanup(s.Close)
	server.HandleFunc("/{n}/config.json", func(w http.ResponseWriter, _ *http.Request) { w.Write(index.NewConfig(s.URL, false).JSON()) })
	var group errgroup.Group
	group.SetLimit(runtime.NumCPU())
	for i := range list {
		dir, text := t.TempDir(), manifest(list[i].graph, t)
		if text == "" {
			continue
		}
		group.Go(func() (err error) {
			if list[i].chosen, list[i].cyclic, err = cargoChooses(dir, text, fmt.Sprintf("%s/%d/", s.URL, i)); err != nil {
				err = fmt.Errorf("graph %d: %w\n%s", i, err, text)
			}
			return err
		})
	}
	if err := group.Wait(); err != nil {
		t.Fatal(err)
	}
	return list
}

func cargoChooses(dir, manifest, registry string) (chosen []string, cyclic bool, err error) {
	for name, text := range map[string]string{"Cargo.toml": manifest, "src/lib.rs": "", ".cargo/config.toml": fmt.Sprintf("[source.crates-io]\nreplace-with = \"here\"\n[source.here]\nregistry = \"sparse+%s\"\n", registry)} {
		file := filepath.Join(dir, "project", name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o755), os.WriteFile(file, []byte(text), 0o644)); err != nil {
			return nil, false, err
		}
	}
	cmd := exec.Command("cargo", "generate-lockfile")
	cmd.Dir = filepath.Join(dir, "project")
	cmd.Env = append(os.Environ(), "CARGO_HOME="+filepath.Join(dir, "home"), "CARGO_NET_RETRY=0", "CARGO_TERM_COLOR=never")
	if out, err := cmd.CombinedOutput(); err != nil {
		for _, s := range []string{"failed to select a version", "no matching package", "cyclic package dependency"} {
			if bytes.Contains(out, []byte(s)) {
				return nil, strings.HasPrefix(s, "cyclic"), nil
			}
		}
		return nil, false, fmt.Errorf("cargo: %w: %s", err, out)
	}
	lock, err := os.ReadFile(filepath.Join(dir, "project", "Cargo.lock"))
	if err != nil {
		return nil, false, err
	}
	parsed, err := lockfile.Parse(lock, lockfile.Sources{lockfile.CratesIO})
	chosen = []string{}
	for _, p := range parsed.Packages {
		if p.SHA256 != sumOf(p.Name, p.Version) {
			err = fmt.Errorf("checksum of %s %s is %s", p.Name, p.Version, p.SHA256)
		}
		chosen = append(chosen, p.Name+" "+p.Version)
	}
	slices.Sort(chosen)
	return chosen, false, err
}

// allFeatures are those of the version that is preferred of those that are listed.
func (g graph) allFeatures(t *testing.T, p preference) []string {
	if _, rec, candidates := g.work(t); len(candidates) > 0 {
		return rec.versions[p.order(rec, candidates)[0]].featureNames()
	}
	return []string{}
}

func (g gathered) has(version string) bool {
	return slices.ContainsFunc(g.versions, func(v Version) bool { return v.Crate+" "+v.Num == version })
}
