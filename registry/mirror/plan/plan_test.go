package plan

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/crateyard/crateyard/registry/fault"
	"github.com/crateyard/crateyard/registry/index"
	"github.com/crateyard/crateyard/registry/mirror/lockfile"
)

func TestPlan(t *testing.T) {
	for name, tc := range map[string]struct {
		index  string
		crates Wants
		opts   Options
		want   string // versions
		failed string
	}{
		"newest":                      {"a 1.0.0\n a 1.2.0\n a 1.10.0\n a 2.0.0-rc.1\n a 0.9.0", listed("a"), Options{}, "a 1.10.0", ""},
		"latest":                      {"a 1.0.0\n a 1.2.0\n a 1.10.0\n a 2.0.0\n a 1.11.0 yanked", Wants{Crates: []Crate{{"a", "^1", 2}}}, Options{}, "a 1.10.0, a 1.2.0", ""},
		"latest, more than there are": {"a 1.0.0\n a 1.2.0", Wants{Crates: []Crate{{"a", "", 9}}}, Options{}, "a 1.0.0, a 1.2.0", ""},
		"pre-release":                 {"a 1.0.0\n a 2.0.0-rc.1\n a 2.0.0-rc.2", listed("a ^2.0.0-rc.1"), Options{}, "a 2.0.0-rc.2", ""},
		"each once":                   {"a 1.0.0: c ^1\n b 1.0.0: c ^1\n c 1.0.0", listed("a", "b", "c", "a ^1"), Options{}, "a 1.0.0, b 1.0.0, c 1.0.0", ""},
		"kinds": {"a 1.0.0: n ^1; build b ^1; dev d ^1; o ^1 optional; w ^1 target=cfg(windows); x=r ^1\n n 1.0.0: dev e *\n b 1.0.0\n o 1.0.0\n w 1.0.0\n r 1.0.0: p *\n p 0.1.0\n p 0.2.0",
			listed("a"), Options{}, "a 1.0.0, b 1.0.0, n 1.0.0, o 1.0.0, p 0.2.0, r 1.0.0, w 1.0.0", ""},
		"none": {"a 1.0.0: n ^1", listed("a"), Options{Dependencies: None}, "a 1.0.0", ""},
		"development dependencies of what is listed": {"a 1.0.0: n ^1; dev d ^1\n n 1.0.0: dev gone ^1\n d 1.0.0: dev gone ^1; e ^1\n e 1.0.0", listed("a"), Options{Dependencies: All}, "a 1.0.0, d 1.0.0, e 1.0.0, n 1.0.0", ""},
		"cycle":                    {"a 1.0.0: b ^1\n b 1.0.0: c ^1\n c 1.0.0: a ^1; c *", listed("a"), Options{}, "a 1.0.0, b 1.0.0, c 1.0.0", ""},
		"versions of dependencies": {"a 1.0.0: b ^1\n b 1.0.0: c *\n b 1.1.0\n b 1.2.0: d *\n c 1.0.0\n c 1.1.0\n c 2.0.0\n d 1.0.0", listed("a"), Options{DependencyVersions: 3}, "a 1.0.0, b 1.0.0, b 1.1.0, b 1.2.0, c 1.0.0, c 1.1.0, c 2.0.0, d 1.0.0", ""},
		"one range, one version":   {"a 1.0.0: b ^1; c ^1\n b 1.0.0: x ^1.2\n c 1.0.0: x >=1.0, <1.5\n x 1.4.0\n x 1.9.0\n x 1.3.0", listed("a"), Options{}, "a 1.0.0, b 1.0.0, c 1.0.0, x 1.4.0, x 1.9.0", ""},
		// b wants x 1.3 at least and c has only what is below: one of them must be older.
		"an older dependent": {"a 1.0.0: b ^1; c ^1\n b 1.0.0: x ^1.2\n b 1.1.0: x ^1.3\n c 1.0.0: x ~1.2\n x 1.2.0\n x 1.3.0", listed("a"), Options{}, "a 1.0.0, b 1.0.0, b 1.1.0, c 1.0.0, x 1.2.0, x 1.3.0", ""},
		// with b, x 2.3 is chosen; x 2.1 may not stand beside it, so c gets one of another range.
		"an older range":                       {"a 1.0.0: b ^1; c ^1\n b 1.0.0: x =2.3.0\n c 1.0.0: x >=1, <2.2\n x 2.3.0\n x 2.1.0\n x 1.9.0: y ^1\n y 1.0.0", listed("a"), Options{}, "a 1.0.0, b 1.0.0, c 1.0.0, x 1.9.0, x 2.1.0, x 2.3.0, y 1.0.0", ""},
		"an older range for a member":          {"a 1.0.0: b ^1; dev c ^1\n b 1.0.0: x =2.3.0\n c 1.0.0: x >=1, <2.2\n x 2.3.0\n x 2.1.0\n x 1.9.0", listed("a"), Options{Dependencies: All}, "a 1.0.0, b 1.0.0, c 1.0.0, x 1.9.0, x 2.1.0, x 2.3.0", ""},
		"links":                                {"a 1.0.0: l ^1; m ^1\n l 1.0.0\n l 1.1.0 links=z\n m 1.0.0 links=z", listed("a"), Options{}, "a 1.0.0, l 1.0.0, l 1.1.0, m 1.0.0", ""},
		"a feature that is gone":               {"a 1.0.0: f ^1 features=x\n f 1.0.0 x=\n f 1.1.0", listed("a"), Options{}, "a 1.0.0, f 1.0.0", ""},
		"a feature that is turned on and gone": {"a 1.0.0 on=f/x: f ^1\n f 1.0.0 x=\n f 1.1.0", listed("a"), Options{}, "a 1.0.0, f 1.0.0, f 1.1.0", ""},
		"an old Rust":                          {"a 1.0.0: b ^1\n b 1.0.0 rust=1.60\n b 1.1.0 rust=1.85.1\n b 1.2.0 rust=1.90", listed("a"), Options{Rust: "1.86"}, "a 1.0.0, b 1.1.0, b 1.2.0", ""},
		"nothing builds":                       {"a 1.0.0: b ^1\n b 1.1.0 rust=1.85.1\n b 1.2.0 rust=1.90", listed("a"), Options{Rust: "1.85"}, "a 1.0.0, b 1.2.0", ""},
		"other registries": {"a 1.0.0: b ^1 registry=https://other.example/index; x=c ^1 registry=sparse+https://own.example/; dev b * registry=https://other.example/index\n c 1.0.0", listed("a"),
			Options{IsUpstream: lockfile.Sources{"sparse+https://own.example/"}.Has}, "a 1.0.0, c 1.0.0", ""},

		"no such crate":           {"a 1.0.0", listed("b", "a"), Options{}, "a 1.0.0", "b * (crates): upstream has no such crate"},
		"another spelling":        {"A_b 1.0.0", listed("a_b"), Options{}, "", `a_b * (crates): upstream has no such crate; it has "A_b", and names must be spelled alike`},
		"no name":                 {"a 1.0.0", listed("../a", "a"), Options{}, "a 1.0.0", "../a * (crates): no crate can have this name"},
		"no requirement":          {"a 1.0.0", listed("a 1..2", "a"), Options{}, "a 1.0.0", `a 1..2 (crates): invalid version requirement "1..2": "" is not a number; write it as in Cargo.toml, such as ^1.2`},
		"nothing matches":         {"a 1.0.0\n a 1.1.0", listed("a ^2"), Options{}, "", "a ^2 (crates): ^2 takes no version; upstream has 1.1.0, 1.0.0"},
		"nothing of many":         {"a 1.0.0\n a 1.1.0\n a 1.2.0\n a 1.3.0\n a 1.4.0\n a 1.5.0\n a 1.6.0", listed("a ^2"), Options{}, "", "a ^2 (crates): ^2 takes no version; upstream has 1.6.0, 1.5.0, 1.4.0, 1.3.0, 1.2.0 and 2 more"},
		"only yanked":             {"a 1.0.0\n a 2.0.0 yanked", listed("a ^2"), Options{}, "", "a ^2 (crates): ^2 takes only what is yanked: 2.0.0; a lockfile can still pin it"},
		"all yanked":              {"a 1.0.0 yanked", listed("a ^2"), Options{}, "", "a ^2 (crates): ^2 takes no version; all that upstream has is yanked"},
		"only pre-releases":       {"a 1.0.0-rc.1\n a 1.0.0-rc.2", listed("a"), Options{}, "", "a * (crates): * takes no version; upstream has only pre-releases, 1.0.0-rc.2, 1.0.0-rc.1, and a requirement takes one when it names one, such as 1.0.0-rc.2"},
		"a feature nobody has":    {"a 1.0.0: b ^1 features=x\n b 1.0.0", listed("a"), Options{}, "a 1.0.0", "b ^1 (a 1.0.0): no version that ^1 takes has the features x"},
		"unreadable":              {"a 1.0.0: b ^1\n b 1.0.0 x=nothing", listed("a"), Options{}, "a 1.0.0", "b ^1 (a 1.0.0): ^1 takes only what cargo cannot read in the index: 1.0.0"},
		"a dependency fails once": {"a 1.0.0: gone ^1; c ^1\n b 1.0.0: gone ^1; gone ^2\n c 1.0.0: gone ^1", listed("a", "b"), Options{}, "a 1.0.0, b 1.0.0, c 1.0.0", "gone ^1 (a 1.0.0): upstream has no such crate\ngone ^2 (b 1.0.0): upstream has no such crate"},
	} {
		t.Run(name, func(t *testing.T) {
			g := walk(t, indexOf(t, tc.index), tc.crates, tc.opts)
			if got := g.text(); got != tc.want {
				t.Errorf("versions\n got  %s\n want %s", got, tc.want)
			}
			if got := g.failed(); got != tc.failed {
				t.Errorf("failures\n got  %s\n want %s", got, tc.failed)
			}
			for _, v := range g.versions {
				if v.SHA256 != sumOf(v.Crate, v.Num) || v.Pinned || v.From == "" {
					t.Errorf("%+v", v)
				}
			}
		})
	}
}

func TestForeignAreCounted(t *testing.T) {
	i := indexOf(t, "a 1.0.0: b ^1 registry=https://o.example/; build c ^1 registry=https://o.example/; dev d ^1 registry=https://o.example/\n e 1.0.0: a ^1")
	if g := walk(t, i, listed("a", "e"), Options{}); g.counts.Foreign != 2 || len(g.failures) != 0 {
		t.Errorf("%+v %v", g.counts, g.failures)
	}
}

// A graph in which cargo finds no way is no failure of the mirror's, but it is counted, and the newest of everything is there.
func TestNoWay(t *testing.T) {
	i := indexOf(t, "a 1.0.0: b ^1; c ^1\n b 1.0.0: x =1.0.0\n c 1.0.0: x =1.1.0\n x 1.0.0\n x 1.1.0")
	g := walk(t, i, listed("a"), Options{})
	if g.text() != "a 1.0.0, b 1.0.0, c 1.0.0, x 1.0.0, x 1.1.0" || g.counts.Unresolved != 1 || len(g.failures) != 0 {
		t.Errorf("%s: %+v", g.text(), g.counts)
	}
	// Where an older one of the listed crate has a way, cargo takes it.
	older := indexOf(t, "a 0.9.0\n a 1.0.0: b ^1; c ^1\n b 1.0.0: x =1.0.0\n c 1.0.0: x =1.1.0\n x 1.0.0\n x 1.1.0")
	if g := walk(t, older, listed("a"), Options{}); g.text() != "a 0.9.0, a 1.0.0, b 1.0.0, c 1.0.0, x 1.0.0, x 1.1.0" || g.counts.Unresolved != 0 {
		t.Errorf("%s: %+v", g.text(), g.counts)
	}
}

// A graph that is hard for every resolver, eleven pigeons in ten holes, ends, too, and what is newest is there.
func TestHardGraph(t *testing.T) {
	const holes = 10
	var b strings.Builder
	b.WriteString("a 1.0.0:")
	for p := range holes + 1 {
		fmt.Fprintf(&b, "; p%d ^1", p)
	}
	for p := range holes + 1 {
		for h := range holes {
			fmt.Fprintf(&b, "\np%d 1.%d.0: h%d =1.%d.0\nh%d 1.%d.0", p, h, h, p, h, p)
		}
	}
	g := walk(t, indexOf(t, b.String()), listed("a"), Options{})
	if len(g.versions) != 1+(holes+1)*2 || g.counts.Unresolved != 1 || len(g.failures) != 0 {
		t.Errorf("%s: %+v", g.text(), g.counts)
	}
}

func TestLockfiles(t *testing.T) {
	i := indexOf(t, "a 1.0.0: gone ^1\n a 1.1.0 yanked\n a 1.2.0: b *\n b 1.0.0+x.1\n b 1.0.0-rc.1\n c 1.0.0 x=nothing\n d 1.0.0")
	i["d"] = strings.Replace(i["d"], sumOf("d", "1.0.0"), "none", 1)
	pin := func(name, vers, sum string) lockfile.Package {
		return lockfile.Package{Name: name, Version: vers, SHA256: sum}
	}
	wants := Wants{
		Crates: []Crate{{Name: "a"}},
		Lockfiles: []Lockfile{
			{"app", []lockfile.Package{pin("a", "1.0.0", sumOf("a", "1.0.0")), pin("a", "1.1.0", ""), pin("b", "1.0.0+x.1", ""), pin("c", "1.0.0", sumOf("c", "1.0.0"))}},
			{"tool", []lockfile.Package{pin("a", "1.2.0", strings.Repeat("9", 64)), pin("a", "1.0.0", ""), pin("a", "3.0.0", ""), pin("b", "1.0.0", ""), pin("nope", "1.0.0", ""), pin("b", "1", ""), pin("d", "1.0.0", "")}},
		},
	}
	g := walk(t, i, wants, Options{})
	want := []Version{
		{"a", "1.0.0", sumOf("a", "1.0.0"), "lockfile app", true}, {"a", "1.1.0", sumOf("a", "1.1.0"), "lockfile app", true},
		{"b", "1.0.0+x.1", sumOf("b", "1.0.0+x.1"), "lockfile app", true}, {"c", "1.0.0", sumOf("c", "1.0.0"), "lockfile app", true},
		{"a", "1.2.0", sumOf("a", "1.2.0"), "crates", false}, // b is there already
	}
	if diff := cmp.Diff(want, g.versions); diff != "" {
		t.Error(diff)
	}
	wantFailed := "a 1.2.0 (lockfile tool): the lockfile has the checksum " + strings.Repeat("9", 64) + ", the index " + sumOf("a", "1.2.0") + "; one of them is wrong, or upstream has replaced the archive\n" +
		"a 3.0.0 (lockfile tool): upstream has no such version; it has 1.2.0, 1.1.0, 1.0.0\n" +
		"b 1.0.0 (lockfile tool): upstream has no such version; it has 1.0.0+x.1, 1.0.0-rc.1\n" +
		`b 1 (lockfile tool): invalid version "1": a version is MAJOR.MINOR.PATCH, such as 1.0.0` + "\n" +
		"d 1.0.0 (lockfile tool): the index has no valid checksum for it\n" +
		"nope 1.0.0 (lockfile tool): upstream has no such crate"
	got := strings.Split(g.failed(), "\n")
	slices.Sort(got[len(got)-2:])
	if diff := cmp.Diff(strings.Split(wantFailed, "\n"), got); diff != "" {
		t.Error(diff)
	}
	if g.counts.Pinned != 4 || g.counts.Wants != 6 {
		t.Errorf("%+v", g.counts)
	}
}

// Who wants a version is told, and the order is that of the wants.
func TestFrom(t *testing.T) {
	i := indexOf(t, "z 1.0.0: b ^1\n a 1.0.0\n b 1.0.0: c *\n c 2.0.0")
	var got []string
	for _, v := range walk(t, i, listed("z", "a", "b"), Options{}).versions {
		got = append(got, v.Crate+" < "+v.From)
	}
	if diff := cmp.Diff([]string{"z < crates", "b < z 1.0.0", "c < b 1.0.0", "a < crates"}, got); diff != "" {
		t.Error(diff)
	}
}

// Whatever runs at once, what is told is the same in the same order; and of each version, the newest of each dependency is there.
func TestSameOrder(t *testing.T) {
	for seed := range 100 {
		g := randomGraph(seed)
		var wants Wants
		for _, e := range g.entries {
			wants.Crates = append(wants.Crates, Crate{Name: e.Name, Requirement: "<=" + e.Vers, Latest: 1 + seed%3})
		}
		wants.Lockfiles = []Lockfile{{"l", []lockfile.Package{{Name: g.entries[0].Name, Version: g.entries[0].Vers}, {Name: "gone", Version: "1.0.0"}}}}
		one := walk(t, g.files(), wants, Options{Concurrency: 1})
		many := walk(t, g.files(), wants, Options{Concurrency: 16})
		if !cmp.Equal(one.versions, many.versions) || !cmp.Equal(one.failures, many.failures) {
			t.Errorf("graph %d: %s", seed, cmp.Diff(one.versions, many.versions))
		}
		k, _, _ := g.work(t)
		told := map[string]bool{}
		for _, v := range one.versions {
			if key := v.Crate + " " + v.Num; told[key] {
				t.Errorf("graph %d: %s twice", seed, key)
			} else {
				told[key] = true
			}
		}
		for _, v := range one.versions {
			e := g.entries[slices.IndexFunc(g.entries, func(e index.Entry) bool { return e.Name == v.Crate && e.Vers == v.Num })]
			if e.Yanked && !v.Pinned {
				t.Errorf("graph %d: %s %s is yanked", seed, v.Crate, v.Num)
			}
			for _, d := range e.Deps {
				if d.Kind == "dev" || v.Pinned {
					continue
				}
				name := d.Name
				if d.Package != "" {
					name = d.Package
				}
				req, err := k.loader.requirement(d.Req)
				if err != nil {
					t.Fatal(err)
				}
				rec, err := k.loader.load(t.Context(), name)
				if err != nil {
					t.Fatal(err)
				}
				if newest := rec.matching(req, d.Features, 1); len(newest) > 0 && !told[rec.node(newest[0]).label()] {
					t.Errorf("graph %d: %s %s needs %s", seed, v.Crate, v.Num, rec.node(newest[0]).label())
				}
			}
		}
	}
}

// Index files are asked for several at once, but no more than that, and each once as long as there is room.
func TestAsksAtOnce(t *testing.T) {
	const most = 4
	text := indexOf(t, wide(40))
	var mu sync.Mutex
	asked, now := map[string]int{}, 0
	full := make(chan struct{}) // closed when as many questions are open as may be
	index := indexFunc(func(ctx context.Context, crate string) ([]Entry, error) {
		mu.Lock()
		asked[crate]++
		if now++; now > most {
			t.Errorf("%d questions at once", now)
		} else if now == most && asked[crate] == 1 {
			select {
			case <-full:
			default:
				close(full)
			}
		}
		mu.Unlock()
		if crate != "root" {
			<-full // for ever, if they came one by one
		}
		mu.Lock()
		now--
		mu.Unlock()
		return text.Versions(ctx, crate)
	})
	if g := walk(t, index, listed("root", "d1", "d2"), Options{Concurrency: most}); len(g.versions) != 41 || g.counts.IndexFiles != 41 {
		t.Errorf("%+v", g.counts)
	}
	for crate, n := range asked {
		if n != 1 {
			t.Errorf("%s is asked for %d times", crate, n)
		}
	}
}

func wide(n int) string {
	var b strings.Builder
	b.WriteString("root 1.0.0:")
	for i := range n {
		fmt.Fprintf(&b, "; d%d *", i)
	}
	for i := range n {
		fmt.Fprintf(&b, "\nd%d 1.0.0", i)
	}
	return b.String()
}

type indexFunc func(ctx context.Context, crate string) ([]Entry, error)

func (f indexFunc) Versions(ctx context.Context, crate string) ([]Entry, error) { return f(ctx, crate) }

func TestEnds(t *testing.T) {
	i := indexOf(t, wide(20))
	stop := errors.New("enough")
	for name, tc := range map[string]struct {
		index func(cancel func()) Index
		out   func(n *int, cancel func()) Out
		want  error
		told  int // versions at most
	}{
		"told to by a version": {func(func()) Index { return i }, func(n *int, _ func()) Out {
			return Out{Version: func(Version) error {
				if *n++; *n == 3 {
					return stop
				}
				return nil
			}}
		}, stop, 3},
		"told to by a failure": {func(func()) Index { return files{} }, func(*int, func()) Out { return Out{Failure: func(Failure) error { return stop }} }, stop, 0},
		"context": {func(func()) Index { return i }, func(n *int, cancel func()) Out {
			return Out{Version: func(Version) error { *n++; cancel(); return nil }}
		}, context.Canceled, 21},
		"context while asking": {func(cancel func()) Index {
			return indexFunc(func(ctx context.Context, crate string) ([]Entry, error) {
				if crate == "d7" {
					cancel()
					<-ctx.Done()
					return nil, ctx.Err()
				}
				return i.Versions(ctx, crate)
			})
		}, func(*int, func()) Out { return Out{} }, context.Canceled, 0},
		"the index cannot go on": {func(func()) Index {
			return indexFunc(func(ctx context.Context, crate string) ([]Entry, error) {
				if crate == "d7" {
					return nil, fmt.Errorf("upstream is away: %w", ErrStop)
				}
				return i.Versions(ctx, crate)
			})
		}, func(*int, func()) Out { return Out{} }, ErrStop, 0},
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			n := 0
			_, err := Walk(ctx, tc.index(cancel), listed("root", "d1"), Options{}, tc.out(&n, cancel))
			if !errors.Is(err, tc.want) || n > tc.told {
				t.Errorf("%v after %d versions", err, n)
			}
		})
	}
	for name, opts := range map[string]Options{"dependencies": {Dependencies: "Some"}, "Rust": {Rust: ">=1.80"}} {
		if _, err := Walk(t.Context(), i, listed("root"), opts, Out{}); fault.KindOf(err) != fault.Invalid {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// One index file that cannot be had costs what depends on it, and is not asked for again and again.
func TestIndexFails(t *testing.T) {
	good := indexOf(t, "a 1.0.0: b ^1; c ^1\n c 1.0.0: b ^1\n d 1.0.0: e ^1")
	secret := errors.New("dial 10.0.0.7: refused")
	asked := 0
	g := walk(t, indexFunc(func(ctx context.Context, crate string) ([]Entry, error) {
		switch crate {
		case "b":
			asked++
			return nil, secret
		case "e":
			return nil, fault.Wrap(fault.Unavailable, secret, "upstream answered 500")
		}
		return good.Versions(ctx, crate)
	}), listed("a", "d"), Options{Concurrency: 1})
	if g.text() != "a 1.0.0, c 1.0.0, d 1.0.0" || asked != 1 {
		t.Errorf("%s; asked %d times", g.text(), asked)
	}
	if got, want := g.failed(), "b ^1 (a 1.0.0): its index file could not be read\ne ^1 (d 1.0.0): its index file could not be read: upstream answered 500"; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	for _, f := range g.failures {
		if !errors.Is(f.Err, secret) {
			t.Errorf("%s: the log gets %v", f.Crate, f.Err)
		}
	}
}

func TestProgress(t *testing.T) {
	var seen []Counts
	out := new(gathered).out()
	out.Progress = func(c Counts) { seen = append(seen, c) }
	if _, err := Walk(t.Context(), indexOf(t, "a 1.0.0: b *\n b 1.0.0"), listed("a", "gone", "b"), Options{Concurrency: 1}, out); err != nil {
		t.Fatal(err)
	}
	want := []Counts{{IndexFiles: 2, Wants: 3, Done: 1, Versions: 2}, {IndexFiles: 3, Wants: 3, Done: 2, Versions: 2, Failures: 1}, {IndexFiles: 3, Wants: 3, Done: 3, Versions: 2, Failures: 1}}
	for i := range seen {
		seen[i].IndexFiles = min(seen[i].IndexFiles, want[i].IndexFiles) // the next one may be asked for already
	}
	if diff := cmp.Diff(want, seen); diff != "" {
		t.Error(diff)
	}
}

func TestBuildMetadata(t *testing.T) {
	for i, list := range [][]string{{"", "a"}, {"1", "a"}, {"2", "10"}, {"1", "01"}, {"a", "a.0"}, {"a.1", "a.2"}, {"a", "b"}} {
		if compareBuild(list[0], list[1]) >= 0 || compareBuild(list[1], list[0]) <= 0 || compareBuild(list[0], list[0]) != 0 {
			t.Errorf("%d: %q", i, list)
		}
	}
}

// large is an index of groups of 97 crates each, of which the first needs the others and many of 300 crates that all have in common. It
// makes files of some 30 versions as they are asked for.
func large(_ context.Context, name string) ([]Entry, error) {
	const common, group, versions, deps = 300, 97, 30, 10
	var n int
	if _, err := fmt.Sscanf(name, "crate-%d", &n); err != nil {
		return nil, ErrNoCrate
	}
	entries := make([]Entry, versions)
	for v := range entries {
		vers := fmt.Sprintf("1.%d.%d", v/3, v%3)
		e := Entry{Name: name, Vers: vers, SHA256: sumOf(name, vers), Features: map[string][]string{"default": {"std"}, "std": nil, fmt.Sprint("since-", v/5): {"std"}}}
		for d := range deps {
			to := (n*7 + d*31 + v/5) % common
			if first := common + (n-common)/group*group; n >= common && d < 4 {
				if to = n + (n-first)*2 + d + 1; to >= first+group {
					continue
				}
			} else if n < common && to <= n {
				continue
			}
			dep := fmt.Sprintf("crate-%d", to)
			e.Deps = append(e.Deps, Dependency{Name: dep, Alias: dep, Req: fmt.Sprintf("^1.%d", v/6), Kind: "normal", DefaultFeatures: true})
		}
		entries[v] = e
	}
	return entries, nil
}

// What a plan of 10,000 index files keeps at its end, which is when it keeps most, is less than 20 MiB; what waits for the
// garbage collector comes to as much again. And it rarely asks again for what it had.
func TestMemory(t *testing.T) {
	var wants Wants
	for n := range 100 {
		wants.Crates = append(wants.Crates, Crate{Name: fmt.Sprintf("crate-%d", 300+n*97), Latest: 3})
	}
	live := func() uint64 {
		var s runtime.MemStats
		runtime.GC()
		runtime.GC()
		runtime.ReadMemStats(&s)
		return s.HeapAlloc
	}
	before := live()
	w := newWalker(Out{
		Version: func(Version) error { return nil },
		Failure: func(f Failure) error { return fmt.Errorf("%+v", f) },
	})
	if err := w.set(indexFunc(large), Options{}); err != nil {
		t.Fatal(err)
	}
	if err := w.run(t.Context(), w.listed(wants.Crates)); err != nil || w.counts.Versions < 10_000 {
		t.Fatal(err, w.counts)
	}
	kept := live() - before
	t.Logf("%d MiB, for %+v", kept>>20, w.counts)
	if kept > 20<<20 || w.loader.asked.Load() > 12_000 {
		t.Errorf("that is too much; %d files were asked for", w.loader.asked.Load())
	}
	runtime.KeepAlive(w)
}
