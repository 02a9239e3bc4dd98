package plan

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/crateyard/crateyard/registry/index"
)

// files is an index: names of crates to index files.
type files map[string]string

func (f files) Versions(_ context.Context, crate string) ([]Entry, error) {
	text, ok := f[strings.ToLower(crate)]
	if !ok {
		return nil, fmt.Errorf("%w: %s", ErrNoCrate, crate)
	}
	return ParseIndex([]byte(text)), nil
}

// indexOf reads an index as these tests write it: a version a line,
//
//	NAME VERSION WORDS: DEPENDENCY; DEPENDENCY; …
//
// where a word is yanked, links=X, rust=X or FEATURE=VALUE,VALUE, and a dependency is [dev|build] [ALIAS=]NAME REQUIREMENT and words
// of its own: optional, nodefault, registry=X, features=F,F, target=T.
func indexOf(t testing.TB, text string) files {
	f := files{}
	for l := range strings.Lines(text) {
		if l = strings.TrimSpace(l); l == "" {
			continue
		}
		e := entryOf(t, l)
		f[strings.ToLower(e.Name)] += string(e.Line())
	}
	return f
}

func entryOf(t testing.TB, l string) index.Entry {
	head, deps, _ := strings.Cut(l, ":")
	words := strings.Fields(head)
	e := index.Entry{Name: words[0], Vers: words[1], Cksum: sumOf(words[0], words[1]), Deps: []index.Dependency{}, Features: map[string][]string{}, PubTime: "2026-01-02T03:04:05Z"}
	for _, w := range words[2:] {
		switch key, value, _ := strings.Cut(w, "="); key {
		case "yanked":
			e.Yanked = true
		case "links":
			e.Links = value
		case "rust":
			e.RustVersion = value
		default:
			e.Features[key] = strings.FieldsFunc(strings.ReplaceAll(value, "dep/", "dep:"), func(r rune) bool { return r == ',' })
		}
	}
	for d := range strings.SplitSeq(deps, ";") {
		if words := strings.Fields(d); len(words) > 0 {
			e.Deps = append(e.Deps, dependencyOf(t, words))
		}
	}
	return e
}

func dependencyOf(t testing.TB, words []string) index.Dependency {
	d := index.Dependency{Kind: "normal", DefaultFeatures: true, Features: []string{}}
	if words[0] == "dev" || words[0] == "build" {
		d.Kind, words = words[0], words[1:]
	}
	if alias, name, renamed := strings.Cut(words[0], "="); renamed {
		d.Name, d.Package = alias, name
	} else {
		d.Name = words[0]
	}
	for _, w := range words[1:] {
		switch key, value, _ := strings.Cut(w, "="); key {
		case "optional":
			d.Optional = true
		case "nodefault":
			d.DefaultFeatures = false
		case "registry":
			d.Registry = &value
		case "target":
			d.Target = &value
		case "features":
			d.Features = strings.Split(value, ",")
		default:
			d.Req += w
		}
	}
	if d.Req == "" {
		t.Fatalf("no requirement in %q", words)
	}
	return d
}

// sumOf is the checksum of a version in these tests.
func sumOf(name, vers string) string { return fmt.Sprintf("%064x", name+vers)[:64] }

// gathered is what a walk told.
type gathered struct {
	versions []Version
	failures []Failure
	counts   Counts
}

func walk(t testing.TB, i Index, wants Wants, opts Options) gathered {
	t.Helper()
	var g gathered
	counts, err := Walk(t.Context(), i, wants, opts, g.out())
	if err != nil {
		t.Fatal(err)
	}
	if g.counts = counts; counts.Done != counts.Wants || counts.Versions != int64(len(g.versions)) || counts.Failures != int64(len(g.failures)) {
		t.Errorf("counts are %+v for %d versions and %d failures", counts, len(g.versions), len(g.failures))
	}
	return g
}

func (g *gathered) out() Out {
	return Out{
		Version: func(v Version) error { g.versions = append(g.versions, v); return nil },
		Failure: func(f Failure) error { g.failures = append(g.failures, f); return nil },
	}
}

// text gives the versions in order, without who wants them.
func (g gathered) text() string {
	var all []string
	for _, v := range g.versions {
		all = append(all, v.Crate+" "+v.Num)
	}
	slices.Sort(all)
	return strings.Join(all, ", ")
}

func (g gathered) failed() string {
	var all []string
	for _, f := range g.failures {
		all = append(all, fmt.Sprintf("%s %s (%s): %s", f.Crate, f.Version, f.From, f.Reason))
	}
	return strings.Join(all, "\n")
}

func listed(words ...string) Wants {
	var w Wants
	for _, s := range words {
		name, req, _ := strings.Cut(s, " ")
		w.Crates = append(w.Crates, Crate{Name: name, Requirement: req})
	}
	return w
}

// What cargo cannot read it passes over, and we with it. Each of these was seen to be refused by cargo 1.95; see registry/index.
func TestParseIndex(t *testing.T) {
	good := `{"name":"a","vers":"1.0.0","deps":[{"name":"x","package":"b","req":"^1","features":["","f"],"optional":true,"default_features":true,"target":null,"kind":"build","registry":null}],"cksum":"` +
		sumOf("a", "1") + `","features":{"f":[]},"features2":{"g":["dep:x"]},"yanked":false,"links":null,"rust_version":"1.70","pubtime":"2026-01-02T03:04:05Z","v":2,"unknown":1}`
	entries := ParseIndex([]byte("\r\n" + good + "\r\nnonsense\n{}\n" + strings.Replace(good, "1.0.0", "1.0.1", 1)))
	if len(entries) != 2 || entries[1].Vers != "1.0.1" {
		t.Fatalf("%+v", entries)
	}
	want := Entry{Name: "a", Vers: "1.0.0", SHA256: sumOf("a", "1"), RustVersion: "1.70", Features: map[string][]string{"f": {}, "g": {"dep:x"}},
		Deps: []Dependency{{Name: "b", Alias: "x", Req: "^1", Features: []string{"f"}, Optional: true, DefaultFeatures: true, Kind: "build"}}}
	if fmt.Sprintf("%+v", entries[0]) != fmt.Sprintf("%+v", want) {
		t.Errorf("got  %+v\nwant %+v", entries[0], want)
	}
	chosen := func(line string) string {
		l := &loader{}
		r := newRecord("a", ParseIndex([]byte(line)), false, func(string) bool { return false }, l.requirement)
		any, _ := l.requirement("*")
		return fmt.Sprint(len(r.versions), r.matching(any, nil, -1))
	}
	if got := chosen(good); got != "1 [0]" {
		t.Errorf("%s", got)
	}
	for old, now := range map[string]string{
		`"deps":[`: `"deps":null,"x":[`, `"features":{"f":[]}`: `"features":null`, `"default_features":true`: `"default_features":null`, `"optional":true`: `"optional":null`, `["","f"]`: `null`,
		`"registry":null`: `"registry":""`, `"req":"^1"`: `"req":"^1 2"`, `"req":`: `"request":`, `"v":2`: `"v":3`, `"pubtime":"2026-01-02T03:04:05Z"`: `"pubtime":"2026-01-02T03:04:05.5Z"`,
		`"rust_version":"1.70"`: `"rust_version":">=1.70"`, `dep:x`: `dep:y`, `"g":["dep:x"]`: `"g":["nothing"]`, `"g":`: `"x":["f"],"g":["g?/f"],"h":`, sumOf("a", "1"): strings.ToUpper(sumOf("j", "1")),
	} {
		bad := strings.Replace(good, old, now, 1)
		if got := chosen(bad); bad == good || got != "1 []" {
			t.Errorf("%s is chosen: %s", bad, got)
		}
	}
	for old, now := range map[string]string{`"default_features":true,`: ``, `"yanked":false`: `"yanked":null`, `"v":2,`: ``, `"features":{"f":[]},`: ``, `"kind":"build"`: `"kind":null`, `"optional":true`: `"optional":false,"extra":[]`} {
		if now := strings.Replace(good, old, now, 1); old == `"optional":true` {
			now = strings.Replace(now, `,"features2":{"g":["dep:x"]}`, "", 1)
			if got := chosen(now); got != "1 [0]" {
				t.Errorf("%s: %s", now, got)
			}
		} else if got := chosen(now); now == good || got != "1 [0]" {
			t.Errorf("%s is not chosen: %s", now, got)
		}
	}
	var without Entry
	for _, e := range ParseIndex([]byte(strings.Replace(good, `"default_features":true,`, ``, 1))) {
		without = e
	}
	if !without.Deps[0].DefaultFeatures {
		t.Error("default_features that are not named are off")
	}
	if got := chosen(good + "\n" + strings.Replace(good, `"yanked":false`, `"yanked":true`, 1)); got != "1 [0]" {
		t.Errorf("twice: %s", got)
	}
}

// Whatever an index file holds, its record is sorted and nothing panics.
func FuzzParseIndex(f *testing.F) {
	f.Add([]byte(`{"name":"a","vers":"1.0.0","deps":[{"name":"x","req":"^1","kind":"dev","optional":true}],"cksum":"","features":{"a":["x?/b","dep:x","a"]},"v":2}`))
	f.Add([]byte("{\"name\":\"a\",\"vers\":\"1.0.0+1\",\"deps\":[]}\n{\"name\":\"a\",\"vers\":\"1.0.0+01.a\",\"deps\":null}\n{\"name\":\"b\",\"vers\":\"1.0.0-0\"}"))
	f.Fuzz(func(t *testing.T, data []byte) {
		l := &loader{}
		r := newRecord("a", ParseIndex(data), true, func(string) bool { return true }, l.requirement)
		for i := range r.versions {
			v := &r.versions[i]
			if i > 0 && r.versions[i-1].Compare(v.Version) < 0 {
				t.Errorf("%s stands before %s", r.versions[i-1], v)
			}
			v.turnOn(v.featureNames(), true)
			if v.sha256() == "" || v.yanked && v.choosable() {
				t.Errorf("%+v", v)
			}
		}
		if (r.problem == "") != (len(r.versions) > 0) || r.measure() == 0 {
			t.Errorf("%d versions, %q", len(r.versions), r.problem)
		}
	})
}

// counting is an index that says how it is asked.
type counting struct {
	files
	asked        sync.Map // crate to *atomic.Int64
	now, most    atomic.Int64
	several      chan struct{} // closed when two questions are open at once
	closeSeveral sync.Once
}

func (c *counting) Versions(ctx context.Context, crate string) ([]Entry, error) {
	n, _ := c.asked.LoadOrStore(crate, new(atomic.Int64))
	n.(*atomic.Int64).Add(1)
	now := c.now.Add(1)
	defer c.now.Add(-1)
	for most := c.most.Load(); now > most && !c.most.CompareAndSwap(most, now); most = c.most.Load() {
	}
	if now > 1 {
		c.closeSeveral.Do(func() { close(c.several) })
	}
	return c.files.Versions(ctx, crate)
}

func asJSON(t testing.TB, v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
