package crate

import (
	"bufio"
	"bytes"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sync/errgroup"
)

var update = flag.Bool("update", false, "ask the real cargo and write testdata/requirements.golden anew")

const goldenRequirements = "testdata/requirements.golden"

// sampleVersions are the versions of the one crate that the real cargo was asked about. No two differ in build metadata alone.
var sampleVersions = strings.Fields(`0.0.0 0.0.1-alpha 0.0.1 0.0.2 0.0.3-rc.1 0.0.3 0.1.0-alpha.1 0.1.0 0.1.1 0.1.2-beta 0.2.0 0.2.3 0.10.0
	1.0.0-0 1.0.0-alpha 1.0.0-alpha.1 1.0.0-alpha.beta 1.0.0-beta.2 1.0.0-beta.11 1.0.0-rc.1 1.0.0 1.0.1 1.1.0 1.2.0-pre 1.2.0 1.2.3-alpha.1
	1.2.3-alpha.2 1.2.3 1.2.4-rc.1 1.2.4+build.7 1.3.0-rc 1.3.0 1.10.0 2.0.0-alpha 2.0.0-x.7.z.92 2.0.0 2.1.0 3.0.0-1+meta 3.0.0-10
	3.0.0-9a 10.20.30 18446744073709551615.0.0`)

// sampleRequirements are what the real cargo was asked: every operator over every shape of version, and what is no requirement.
func sampleRequirements() []string {
	var list []string
	for _, op := range []string{"", "^", "~", "=", ">", ">=", "<", "<="} {
		for _, v := range strings.Fields("0 1 0.0 0.1 1.2 0.0.0 0.0.1 0.0.3-rc.1 0.1.2 0.1.2-alpha 1.0.0 1.0.0-alpha.1 1.0.0-beta.3 1.2.3 1.2.3-alpha.1 1.2.4-rc.0 2.0.0-alpha 3.0.0-9 1.2.* 0.*") {
			list = append(list, op+v)
		}
	}
	list = append(list, "*", "x", "X", " * ", "1.*", "1.x", "1.X", "1.*.*", "1.x.X", "0.0.*", "1.2.3+meta", "=1.2.4", "=1.2.4+other", "=1.2.4+build.7",
		">=1, <2", ">=1,<2", " >= 1.0 , < 2 ", ">1.0.0-alpha, <1.0.0", ">=1.0.0-alpha, <2", "^1, >=1.0.0-alpha", "~1.0, >=1.0.0-alpha", "1, >=1.2.3-alpha.2",
		"<1, >=1.0.0-alpha", "<=1, >=1.0.0-alpha", ">0, <=1.0.0-rc.1", "1.*, >=1.2.3-alpha.1", "=1, =1.2", "=1, =2", "^1.2.3-alpha.1, <1.3.0-zzz", ">=1.2, <1.2.3-alpha.2, >=1.2.3-alpha.1",
		"18446744073709551615", ">18446744073709551614", "=18446744073709551615.0.0", "^10.20.30", "3.0.0-1", "3.0.0-1+other", ">= 3.0.0-9, < 3.0.0", "~ 1", "^  1.2", "=  1.2.3",
		strings.Repeat("^1,", 31)+"^1", strings.Repeat("^1,", 32)+"^1",
		"", " ", ",", "1,", ",1", "1,,2", "1 || 2", "1 2", "1.2 - 1.4", "!=1", ">=1 <2", "v1", "=v1", "01", "1.02", "1.2.03", "1.2.3-01", "1.2.3-0a", "1.2.3.4", "*.1", "1.*.3", "x.1",
		"*, 1", "1, *", "^*", "=*", ">=*", "~x", "**", "1.**", "1-rc", "1.2-rc", "1.2+b", "1.*-rc", "1.2.*-rc", "1.2.3-", "1.2.3+", "1.2.3-a..b", "1.2.3-a.", "1.2.3+a..b", "1.2.3-a_b", "1.2.3-é",
		"=", ">", "^", "==1", "=>1", "> =1", "~>1", "~^1", "1.", ".1", "1..2", "a", "latest", "1.a", "18446744073709551616", "1.2.3-18446744073709551616", "-1", "+1", "1 .2", "1. 2", "1.2.3 -rc", "\t1", "1\t", "１",
		"^1.2.3 ,<1.2.4", "1.2.3,", ">1.x", "<1.*", ">=1.2.*", "<=1.2.x", "=1.*", "~1.*", "^1.2.x", "^0.x", "~0", "^0", "^0.0", "1.2.3-alpha.1 , 1.2.3")
	return list
}

// Each line of the golden file is a requirement and what the real cargo made of it: the versions that it takes, the one that
// it prefers first, or that it is invalid.
func TestRequirementsAreCargos(t *testing.T) {
	if *update {
		askCargo(t)
	}
	data, err := os.ReadFile(goldenRequirements)
	if err != nil {
		t.Fatal(err)
	}
	lines := 0
	for s := bufio.NewScanner(bytes.NewReader(data)); s.Scan(); lines++ {
		quoted, want, ok := strings.Cut(s.Text(), " => ")
		req, err := strconv.Unquote(quoted)
		if !ok || err != nil {
			t.Fatalf("line %q: %v", s.Text(), err)
		}
		if got := answer(t, req); got != want {
			t.Errorf("%q\n gives %s\n cargo %s", req, got, want)
		}
	}
	if want := len(sampleRequirements()); lines != want {
		t.Errorf("%d lines for %d requirements; run go test ./registry/crate -run Cargos -update", lines, want)
	}
}

// answer is what we make of a requirement, in the form of the golden file.
func answer(t *testing.T, req string) string {
	r, err := ParseRequirement(req)
	if err != nil {
		return "invalid"
	}
	var taken []Version
	for _, s := range sampleVersions {
		if v := mustVersion(t, s); r.Matches(v) {
			taken = append(taken, v)
		}
	}
	slices.SortFunc(taken, func(a, b Version) int { return b.Compare(a) })
	return strings.Trim(fmt.Sprint(taken), "[]")
}

func askCargo(t *testing.T) {
	requirements := sampleRequirements()
	lines := make([]string, len(requirements))
	var g errgroup.Group
	g.SetLimit(runtime.NumCPU())
	for i, req := range requirements {
		dir := t.TempDir()
		g.Go(func() error {
			said, err := cargoAnswer(dir, req)
			lines[i] = fmt.Sprintf("%q => %s\n", req, said)
			return err
		})
	}
	if err := g.Wait(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(goldenRequirements, []byte(strings.Join(lines, "")), 0o644); err != nil {
		t.Fatal(err)
	}
}

// cargoAnswer asks cargo for a lock file again and again, each time without the version that it chose before.
func cargoAnswer(dir, req string) (string, error) {
	if err := writeFiles(dir, map[string]string{
		"Cargo.toml":         fmt.Sprintf("[package]\nname = \"asks\"\nversion = \"0.0.0\"\nedition = \"2021\"\n[dependencies]\nsample = %q\n", req),
		"src/lib.rs":         "",
		".cargo/config.toml": "[source.crates-io]\nreplace-with = \"here\"\n[source.here]\nlocal-registry = \"registry\"\n",
	}); err != nil {
		return "", err
	}
	left, chosen := slices.Clone(sampleVersions), []string{}
	for {
		var index strings.Builder
		for _, v := range left {
			fmt.Fprintf(&index, `{"name":"sample","vers":%q,"deps":[],"cksum":"%064d","features":{},"yanked":false}`+"\n", v, 0)
		}
		if err := writeFiles(dir, map[string]string{"registry/index/sa/mp/sample": index.String()}); err != nil {
			return "", err
		}
		if err := os.Remove(filepath.Join(dir, "Cargo.lock")); err != nil && !errors.Is(err, os.ErrNotExist) {
			return "", err
		}
		cmd := exec.Command("cargo", "generate-lockfile", "--offline")
		cmd.Dir = dir
		out, err := cmd.CombinedOutput()
		switch text := string(out); {
		case err != nil && (strings.Contains(text, "failed to parse the version requirement") || strings.Contains(text, "as a semver version requirement")):
			return "invalid", nil
		case err != nil && (strings.Contains(text, "failed to select a version") || strings.Contains(text, "no matching package")):
			return strings.Join(chosen, " "), nil
		case err != nil:
			return "", fmt.Errorf("%q: %w: %s", req, err, text)
		}
		lock, err := os.ReadFile(filepath.Join(dir, "Cargo.lock"))
		if err != nil {
			return "", err
		}
		_, rest, _ := strings.Cut(string(lock), "name = \"sample\"\nversion = \"")
		v, _, _ := strings.Cut(rest, `"`)
		at := slices.Index(left, v)
		if at < 0 {
			return "", fmt.Errorf("%q: a lock file without sample:\n%s", req, lock)
		}
		left, chosen = slices.Delete(left, at, at+1), append(chosen, v)
	}
}

func writeFiles(dir string, files map[string]string) error {
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// Covers takes all that Matches takes, and of versions that are no pre-releases nothing else.
func TestCovers(t *testing.T) {
	for _, s := range sampleRequirements() {
		r, err := ParseRequirement(s)
		if err != nil {
			continue
		}
		for _, v := range sampleVersions {
			v := mustVersion(t, v)
			if m, c := r.Matches(v), r.Covers(v); m && !c || v.Pre == "" && m != c {
				t.Errorf("%q and %s: matches %v, covers %v", s, v, m, c)
			}
		}
	}
	for s, versions := range map[string][2]string{ // what is covered, what is not
		"<1.2.3":         {"1.2.3-rc.1 1.2.2-a 0.0.0-0", "1.2.3 1.2.4-a"},
		"<1.2":           {"1.2.0-rc.1 1.1.9-a", "1.2.1-rc.1 1.2.0"},
		"<=1.2":          {"1.2.0-rc.1 1.2.9-a", "1.3.0-a"},
		"<=1.2.3":        {"1.2.3-rc.1", "1.2.4-a"},
		">=1.2":          {"1.2.0-rc.1 1.2.1-a", "1.1.9-a"},
		">=1.2.0":        {"1.2.1-a", "1.2.0-rc.1"},
		">1.2":           {"1.3.0-a", "1.2.0-a 1.2.9-a"},
		">1.2.3":         {"1.2.4-a", "1.2.3-a"},
		"=1.2":           {"1.2.0-a 1.2.7-a", "1.3.0-a"},
		"1.2.*":          {"1.2.0-a 1.2.7-a", "1.3.0-a"},
		"=1.2.3":         {"1.2.3+b", "1.2.3-a"},
		"^1.2.3":         {"1.2.4-a 1.9.0-a", "1.2.3-a 2.0.0-a"},
		"^1":             {"1.0.0-a", "2.0.0-a"},
		"0.1":            {"0.1.0-a 0.1.5-a", "0.2.0-a 0.0.9-a"},
		"~1.2.3":         {"1.2.4-a", "1.3.0-a 1.2.3-a"},
		"~1.2":           {"1.2.0-a", "1.3.0-a"},
		"*":              {"0.0.0-0 1.0.0-a 1.0.0", ""},
		">=1.2, <1.2.3":  {"1.2.0-a 1.2.3-a", "1.2.3 1.1.0-a"},
		">=1.2.3-b, <2":  {"1.2.3-c 2.0.0-a", "1.2.3-a 2.0.1-a"},
		"<1.0.0-alpha.2": {"1.0.0-alpha.1", "1.0.0-alpha.2 1.0.0"},
	} {
		r, err := ParseRequirement(s)
		if err != nil {
			t.Fatal(err)
		}
		for i, want := range []bool{true, false} {
			for _, v := range strings.Fields(versions[i]) {
				if got := r.Covers(mustVersion(t, v)); got != want {
					t.Errorf("%q covers %s: %v", s, v, got)
				}
			}
		}
	}
}

// Samples stand for all: where some requirements agree on all of them, they agree on any version.
func TestSamples(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	pick := func(from ...string) string { return from[rnd.IntN(len(from))] }
	number := func() string { return pick("0", "1", "2") }
	version := func() string {
		v := number() + "." + number() + "." + number()
		if rnd.IntN(3) == 0 {
			v += "-" + pick("0", "a", "a.0", "a.1", "b", "1")
		}
		return v
	}
	comparator := func() string {
		text := pick("", "=", ">", ">=", "<", "<=", "~", "^")
		switch rnd.IntN(4) {
		case 0:
			return text + number()
		case 1:
			return text + number() + "." + number()
		}
		return text + version()
	}
	for range 3000 {
		var all []Requirement
		var texts []string
		for range 1 + rnd.IntN(3) {
			text := comparator()
			if rnd.IntN(2) == 0 {
				text += ", " + comparator()
			}
			r, err := ParseRequirement(text)
			if err != nil {
				t.Fatal(text, err)
			}
			all, texts = append(all, r), append(texts, text)
		}
		says := func(v Version) (s string) {
			for _, r := range all {
				s += fmt.Sprint(r.Matches(v), r.Covers(v))
			}
			return s
		}
		known := map[string]bool{}
		for _, v := range Samples(all...) {
			known[says(v)] = true
		}
		for range 50 {
			v, err := ParseVersion(version())
			if err != nil {
				t.Fatal(err)
			}
			if !known[says(v)] {
				t.Fatalf("%q of %s: no sample is like it", texts, v)
			}
		}
	}
}
