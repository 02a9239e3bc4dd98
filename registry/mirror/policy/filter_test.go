package policy

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/crateyard/crateyard/registry/crate"
	"github.com/crateyard/crateyard/registry/index"
	"github.com/crateyard/crateyard/registry/mirror/advisory"
	"github.com/crateyard/crateyard/registry/wire"
)

var now = time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC)

const (
	hour = wire.Duration(time.Hour)
	day  = 24 * hour
)

// ago is a pubtime.
func ago(d wire.Duration) string {
	return now.Add(-time.Duration(d)).Format(index.PubTimeLayout)
}

// lineOf is a line as crates.io writes it, with what could be mistaken for its own keys; rest stands behind the features.
func lineOf(name, vers, rest string) string {
	return fmt.Sprintf(`{"name":%q,"vers":%q,"deps":[{"name":"d","req":"^1","features":["yanked"],"optional":false,"default_features":true,"target":"cfg(target_os = \"linux\")","kind":"normal"}],"cksum":"%064x","features":{"default":["std"],"yanked":[],"a\"yanked":["\"yanked\":false"]}%s}`,
		name, vers, len(vers), rest)
}

func old(name, vers string) string {
	return lineOf(name, vers, `,"yanked":false,"pubtime":"2020-01-01T00:00:00Z"`)
}

// ofDenials says what was denied: "version rule, version rule".
func ofDenials(list []Denial) string {
	var b []string
	for _, d := range list {
		b = append(b, d.Version+" "+d.Rule)
	}
	return strings.Join(b, ", ")
}

// TestYank holds each way in which a line can say that it is not yanked against what the same line is when it is denied.
func TestYank(t *testing.T) {
	deny := compile(t, wire.MirrorPolicy{Allow: []string{"a", "b"}, Deny: []string{"a@1"}})
	for in, want := range map[string]string{
		`{"name":"a","vers":"1.0.0","yanked":false}`:                                  `{"name":"a","vers":"1.0.0","yanked":true}`,
		`{"name":"a","vers":"1.0.0","yanked":false,"links":"z"}`:                      `{"name":"a","vers":"1.0.0","yanked":true,"links":"z"}`,
		`{"yanked":false,"name":"a","vers":"1.0.0"}`:                                  `{"yanked":true,"name":"a","vers":"1.0.0"}`,
		`{"name":"a","vers":"1.0.0","yanked":null}`:                                   `{"name":"a","vers":"1.0.0","yanked":true}`,
		`{"name":"a","vers":"1.0.0"}`:                                                 `{"name":"a","vers":"1.0.0","yanked":true}`,
		`{ "name" : "a" , "vers" : "1.0.0" }`:                                         `{ "name" : "a" , "vers" : "1.0.0","yanked":true }`,
		`{"name":"a","vers":"1.0.0","yanked" : false }`:                               `{"name":"a","vers":"1.0.0","yanked" : true }`,
		"{\"name\":\"a\",\"vers\":\"1.0.0\",\"yanked\":\tfalse}\r":                    "{\"name\":\"a\",\"vers\":\"1.0.0\",\"yanked\":\ttrue}\r",
		`  {"name":"a","vers":"1.0.0","deps":[]}  `:                                   `  {"name":"a","vers":"1.0.0","deps":[],"yanked":true}  `,
		`{"name":"a","vers":"1.0.0","features":{"yanked":[]},"yanked":false}`:         `{"name":"a","vers":"1.0.0","features":{"yanked":[]},"yanked":true}`,
		`{"name":"a","vers":"1.0.0","x":{"yanked":false}}`:                            `{"name":"a","vers":"1.0.0","x":{"yanked":false},"yanked":true}`,
		`{"name":"a","vers":"1.0.0","x":"\"yanked\":false","yanked":false}`:           `{"name":"a","vers":"1.0.0","x":"\"yanked\":false","yanked":true}`,
		`{"name":"a","vers":"1.0.0","x":"\\","yanked":false}`:                         `{"name":"a","vers":"1.0.0","x":"\\","yanked":true}`,
		`{"name":"a","vers":"1.0.0","x\"yanked":false}`:                               `{"name":"a","vers":"1.0.0","x\"yanked":false,"yanked":true}`,
		`{"name":"a","vers":"1.0.0","y\u0061nked":false}`:                             `{"name":"a","vers":"1.0.0","y\u0061nked":true}`,
		`{"n\u0061me":"\u0061","vers":"1.0\u002e0","yanked":false}`:                   `{"n\u0061me":"\u0061","vers":"1.0\u002e0","yanked":true}`,
		`{"name":"a","vers":"1.0.0","yanked":false,"yanked":false}`:                   `{"name":"a","vers":"1.0.0","yanked":false,"yanked":true}`,
		`{"vers":"1.0.0","deps":[{"x":["]}"]}],"name":"a","yanked":false}`:            `{"vers":"1.0.0","deps":[{"x":["]}"]}],"name":"a","yanked":true}`,
		`{"name":"a","vers":"1.0.0","yanked":true}`:                                   ``,
		`{"name":"a","vers":"1.0.0", "yanked" : true}`:                                ``,
		`{"name":"a","vers":"2.0.0","yanked":false}`:                                  ``, // not denied
		`{"name":"b","vers":"1.0.0","yanked":false}`:                                  ``,
		`{"name":"a","vers":"1.0.0","yanked":"false"}`:                                ``, // what cargo does not take stays
		`{"name":"a","vers":"1.0.0","yanked":0}`:                                      ``,
		`{"name":"a","vers":1,"yanked":false}`:                                        ``,
		`{"name":"a","vers":"one","yanked":false}`:                                    `{"name":"a","vers":"one","yanked":true}`,
		`{"name":"a","vers":"1 .0","yanked":false}`:                                   ``,
		`{"name":"a","yanked":false}`:                                                 ``,
		`{"vers":"1.0.0","yanked":false}`:                                             ``,
		`["name":"a","vers":"1.0.0","yanked":false}`:                                  `#"name":"a","vers":"1.0.0","yanked":false}`,
		`{"x":{"name":"a","vers":"1.0.0"},"yanked":false}`:                            ``,
		`{"name":"a","vers":"1.0.0","yanked":false`:                                   ``,
		`{"name":"a","vers":"1.0.0","yanked":false},`:                                 ``,
		`{"name":"a","vers":"1.0.0" "yanked":false}`:                                  ``,
		`{"name":"a","vers":"1.0.0","yanked":false,}`:                                 ``,
		`{"name":"a","vers":"1.0.0",,"yanked":false}`:                                 `{"name":"a","vers":"1.0.0",,"yanked":true}`, // cargo does not take it as it is, either
		`{"name":"a","vers":"1.0.0","yanked"}`:                                        ``,
		`{"name":"a","vers":"1.0.0","yanked":}`:                                       ``,
		`{"name":"c","vers":"1.0.0","yanked":false}`:                                  `{"name":"c","vers":"1.0.0","yanked":true}`,
		`{"name":"c d","vers":"1.0.0","yanked":false}`:                                ``,
		`{"name":null,"vers":"1.0.0","yanked":false}`:                                 ``,
		`{"name":"a","vers":"1.0.0","yanked":false,"x":1.5E+3,"y":-0.1e-2}`:           `{"name":"a","vers":"1.0.0","yanked":true,"x":1.5E+3,"y":-0.1e-2}`,
		`{"x":1.5E+3,"y":-0.1e-2,"name":"a","vers":"1.0.0","yanked":false}`:           `{"x":1.5E+3,"y":-0.1e-2,"name":"a","vers":"1.0.0","yanked":true}`,
		`{"name":"a","vers":"1.0.0","yanked":false,"x":"\\\"\\\\"}`:                   `{"name":"a","vers":"1.0.0","yanked":true,"x":"\\\"\\\\"}`,
		`["a","1.0.0",[],{},null,"x",false]`:                                          `#"a","1.0.0",[],{},null,"x",false]`,
		" [1]":                                                                        " #1]",
		`{}`:                                                                          ``,
		`null`:                                                                        ``,
		`x`:                                                                           ``,
		"\ufeff" + `{"name":"a","vers":"1.0.0","yanked":false}`:                       ``,
		`{"name":"a","vers":"1.0.` + strings.Repeat("0", 200) + `","yanked":false}`:   `{"name":"a","vers":"1.0.` + strings.Repeat("0", 200) + `","yanked":true}`,
		`{"name":"a","vers":"1.0.0","deps":` + strings.Repeat("[", 3000) + `}`:        ``,
		`{"name":"a","vers":"1.0.0","x":1.5E+3,"y":-0,"yanked":false,"v":2,"z":null}`: `{"name":"a","vers":"1.0.0","x":1.5E+3,"y":-0,"yanked":true,"v":2,"z":null}`,
	} {
		if want == "" {
			want = in
		}
		for _, around := range [][2]string{{"", ""}, {"", "\n"}, {"\n\n", "\n\n"}, {old("b", "9.9.9") + "\n", "\n" + old("b", "9.9.10") + "\n"}, {"junk\n", "\njunk"}} {
			file := []byte(around[0] + in + around[1])
			before := string(file)
			res := deny.Filter(file, Options{Now: now})
			if got := string(res.File); got != around[0]+want+around[1] {
				t.Errorf("%q\n gives %q\n want %q", file, got, want)
			}
			if string(file) != before {
				t.Errorf("%q was changed", before)
			}
			if want == in && len(file) > 0 && &res.File[0] != &file[0] {
				t.Errorf("%q was copied", file)
			}
		}
	}
}

func TestRules(t *testing.T) {
	files := map[string]string{
		"a": strings.Join([]string{
			lineOf("a", "0.1.0", `,"yanked":false,"pubtime":"2020-01-01T00:00:00Z"`),
			lineOf("a", "0.2.0", `,"yanked":true,"pubtime":"2020-01-01T00:00:00Z"`),
			lineOf("a", "1.0.0-rc.1", `,"yanked":false,"pubtime":"2020-01-01T00:00:00Z"`),
			lineOf("a", "1.0.0", `,"yanked":false,"pubtime":"`+ago(72*hour)+`"`),
			lineOf("a", "1.1.0", `,"yanked":false,"pubtime":"`+ago(71*hour)+`"`),
			lineOf("a", "1.2.0", `,"yanked":false,"pubtime":"`+ago(hour)+`"`),
			lineOf("a", "1.3.0", `,"yanked":false`),
		}, "\n"),
	}
	facts := func(v string) (Facts, bool) {
		f, ok := map[string]Facts{
			"0.1.0": {License: "MIT/Apache-2.0", Size: 10}, "0.2.0": {License: "GPL-3.0-only", Size: 100}, "1.0.0": {}, "1.1.0": {}, "1.2.0": {License: "MIT or", Size: 11},
		}[v]
		return f, ok
	}
	db, problems := advisory.LoadFiles(map[string][]byte{
		"crates/a/LOW.md":  []byte("```toml\n[advisory]\nid = \"LOW\"\npackage = \"a\"\naliases=[\"CVE-1\"]\ncvss = \"CVSS:3.1/AV:P/AC:H/PR:H/UI:R/S:U/C:L/I:N/A:N\"\n[versions]\npatched = [\">= 1.0.0\"]\n```\n# Little\n"),
		"crates/a/CRIT.md": []byte("```toml\n[advisory]\nid = \"CRIT\"\npackage = \"a\"\ncvss = \"CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:C/C:H/I:H/A:H\"\n[versions]\npatched = [\">= 0.2.0\"]\n```\n# Much\n"),
		"crates/a/NONE.md": []byte("```toml\n[advisory]\nid = \"NONE\"\npackage = \"a\"\n[versions]\nunaffected = [\"< 1.2.0\"]\npatched = [\"> 1.2.0\"]\n```\n# Something\n"),
		"crates/a/INFO.md": []byte("```toml\n[advisory]\nid = \"INFO\"\npackage = \"a\"\ninformational = \"unmaintained\"\n[versions]\npatched = []\nunaffected = [\"< 1.3.0\"]\n```\n# Old\n"),
	})
	if problems != nil {
		t.Fatal(problems)
	}
	cached := func(v, sum string) bool { return v == "1.0.0" && sum == fmt.Sprintf("%064x", 5) }
	advisories := func(change func(*wire.MirrorAdvisories)) wire.MirrorPolicy {
		a := &wire.MirrorAdvisories{Source: "/db"}
		change(a)
		return wire.MirrorPolicy{Advisories: a}
	}
	for name, tc := range map[string]struct {
		policy wire.MirrorPolicy
		pinned bool
		want   string // denials
		warned string
		until  wire.Duration // from now; 0: never
	}{
		"nothing":                 {},
		"deny":                    {policy: wire.MirrorPolicy{Deny: []string{"A@<1"}}, want: "0.1.0 deny, 0.2.0 deny, 1.0.0-rc.1 deny"},
		"deny one":                {policy: wire.MirrorPolicy{Deny: []string{"a@=1.0.0-rc.1", "b"}}, want: "1.0.0-rc.1 deny"},
		"deny crate":              {policy: wire.MirrorPolicy{Deny: []string{"a*"}, MinimumAge: day}, want: "0.1.0 deny, 0.2.0 deny, 1.0.0-rc.1 deny, 1.0.0 deny, 1.1.0 deny, 1.2.0 deny, 1.3.0 deny"},
		"allow other":             {policy: wire.MirrorPolicy{Allow: []string{"b*"}}, want: "0.1.0 allow, 0.2.0 allow, 1.0.0-rc.1 allow, 1.0.0 allow, 1.1.0 allow, 1.2.0 allow, 1.3.0 allow"},
		"allow":                   {policy: wire.MirrorPolicy{Allow: []string{"b*", "a"}}},
		"allow some":              {policy: wire.MirrorPolicy{Allow: []string{"a@1.1", "a@0.1"}}, want: "0.2.0 allow, 1.0.0-rc.1 allow, 1.0.0 allow"},
		"allow all releases":      {policy: wire.MirrorPolicy{Allow: []string{"*@*"}}, want: "1.0.0-rc.1 allow"},
		"allow some and all":      {policy: wire.MirrorPolicy{Allow: []string{"a@1.1", "*"}}},
		"deny wins":               {policy: wire.MirrorPolicy{Allow: []string{"a@>=1"}, Deny: []string{"a@>=1.2", "a@=0.1.0"}}, want: "0.1.0 deny, 0.2.0 allow, 1.0.0-rc.1 allow, 1.2.0 deny, 1.3.0 deny"},
		"yanked":                  {policy: wire.MirrorPolicy{Yanked: "Deny"}, want: "0.2.0 yanked"},
		"yanked kept":             {policy: wire.MirrorPolicy{Yanked: "Keep"}},
		"minimum age":             {policy: wire.MirrorPolicy{MinimumAge: 72 * hour}, want: "1.1.0 minimum-age, 1.2.0 minimum-age, 1.3.0 minimum-age", until: hour},
		"minimum age, shorter":    {policy: wire.MirrorPolicy{MinimumAge: 2 * hour}, want: "1.2.0 minimum-age, 1.3.0 minimum-age", until: hour},
		"minimum age, exceptions": {policy: wire.MirrorPolicy{MinimumAge: 72 * hour, MinimumAgeExceptions: []string{"a@=1.1", "b"}}, want: "1.2.0 minimum-age, 1.3.0 minimum-age", until: 71 * hour},
		"minimum age, excepted":   {policy: wire.MirrorPolicy{MinimumAge: 72 * hour, MinimumAgeExceptions: []string{"a@=1.1", "*"}}},
		"minimum age behind deny": {policy: wire.MirrorPolicy{MinimumAge: 72 * hour, Deny: []string{"a@>=1.1"}}, want: "1.1.0 deny, 1.2.0 deny, 1.3.0 deny"},
		"license":                 {policy: wire.MirrorPolicy{Licenses: []string{"MIT"}}, want: "0.2.0 license, 1.0.0 license, 1.1.0 license, 1.2.0 license"},
		"license, all needed":     {policy: wire.MirrorPolicy{Licenses: []string{"GPL-3.0-or-later"}}, want: "0.1.0 license, 0.2.0 license, 1.0.0 license, 1.1.0 license, 1.2.0 license"},
		"license, exceptions":     {policy: wire.MirrorPolicy{Licenses: []string{"MIT"}, LicenseExceptions: []string{"a@1.0", "a@=0.2"}}, want: ""},
		"license, one exception":  {policy: wire.MirrorPolicy{Licenses: []string{"MIT"}, LicenseExceptions: []string{"a@=1.0"}}, want: "0.2.0 license, 1.1.0 license, 1.2.0 license"},
		"license, excepted":       {policy: wire.MirrorPolicy{Licenses: []string{"MIT"}, LicenseExceptions: []string{"a"}}},
		"size":                    {policy: wire.MirrorPolicy{MaxCrateSize: 10}, want: "0.2.0 max-size, 1.2.0 max-size"},
		"license before size":     {policy: wire.MirrorPolicy{MaxCrateSize: 10, Licenses: []string{"MIT", "GPL-3.0"}}, want: "0.2.0 max-size, 1.0.0 license, 1.1.0 license, 1.2.0 license"},
		"size, license excepted":  {policy: wire.MirrorPolicy{MaxCrateSize: 10, Licenses: []string{"MIT"}, LicenseExceptions: []string{"*"}}, want: "0.2.0 max-size, 1.2.0 max-size"},
		"pinned":                  {pinned: true, want: "0.1.0 pinned, 0.2.0 pinned, 1.0.0-rc.1 pinned, 1.1.0 pinned, 1.2.0 pinned, 1.3.0 pinned"},
		"pinned before age":       {policy: wire.MirrorPolicy{MinimumAge: 73 * hour}, pinned: true, want: "0.1.0 pinned, 0.2.0 pinned, 1.0.0-rc.1 pinned, 1.0.0 minimum-age, 1.1.0 pinned, 1.2.0 pinned, 1.3.0 pinned", until: hour},
		"advisories":              {policy: advisories(func(*wire.MirrorAdvisories) {}), want: "0.1.0 advisory, 0.2.0 advisory, 1.0.0-rc.1 advisory, 1.2.0 advisory"},
		"advisories, all":         {policy: advisories(func(a *wire.MirrorAdvisories) { a.Informational = true }), want: "0.1.0 advisory, 0.2.0 advisory, 1.0.0-rc.1 advisory, 1.2.0 advisory, 1.3.0 advisory"},
		"advisories, medium":      {policy: advisories(func(a *wire.MirrorAdvisories) { a.MinimumSeverity = "Medium" }), want: "0.1.0 advisory, 1.2.0 advisory"},
		"advisories, high":        {policy: advisories(func(a *wire.MirrorAdvisories) { a.MinimumSeverity = "High" }), want: "0.1.0 advisory, 1.2.0 advisory"},
		"advisories, critical":    {policy: advisories(func(a *wire.MirrorAdvisories) { a.MinimumSeverity = "Critical" }), want: "0.1.0 advisory"},
		"informational, critical": {policy: advisories(func(a *wire.MirrorAdvisories) { a.MinimumSeverity, a.Informational = "Critical", true }), want: "0.1.0 advisory, 1.3.0 advisory"},
		"advisories, warn":        {policy: advisories(func(a *wire.MirrorAdvisories) { a.Action = "Warn" }), warned: "0.1.0 advisory, 0.2.0 advisory, 1.0.0-rc.1 advisory, 1.2.0 advisory"},
		"advisories, excepted": {policy: advisories(func(a *wire.MirrorAdvisories) {
			a.Exceptions = []wire.MirrorException{{ID: "cve-1", Reason: "r"}, {ID: "NONE", Reason: "r"}}
		}), want: "0.1.0 advisory"},
		"yanked before advisory":   {policy: wire.MirrorPolicy{Yanked: "Deny", Advisories: &wire.MirrorAdvisories{Source: "/db"}}, want: "0.1.0 advisory, 0.2.0 yanked, 1.0.0-rc.1 advisory, 1.2.0 advisory"},
		"warned and denied":        {policy: wire.MirrorPolicy{MinimumAge: 72 * hour, Advisories: &wire.MirrorAdvisories{Source: "/db", Action: "Warn"}}, want: "1.1.0 minimum-age, 1.2.0 minimum-age, 1.3.0 minimum-age", warned: "0.1.0 advisory, 0.2.0 advisory, 1.0.0-rc.1 advisory", until: hour},
		"advisory before the rest": {policy: wire.MirrorPolicy{MinimumAge: 72 * hour, Licenses: []string{"Zlib"}, MaxCrateSize: 1, Advisories: &wire.MirrorAdvisories{Source: "/db"}}, pinned: true, want: "0.1.0 advisory, 0.2.0 advisory, 1.0.0-rc.1 advisory, 1.0.0 license, 1.1.0 license, 1.2.0 advisory, 1.3.0 pinned"},
	} {
		t.Run(name, func(t *testing.T) {
			p, o := compile(t, tc.policy), Options{Now: now, Facts: facts, Advisories: db}
			if tc.pinned {
				o.Cached = cached
			}
			res := p.Filter([]byte(files["a"]), o)
			if got := ofDenials(res.Denied); got != tc.want {
				t.Errorf("denied %s\n want %s", got, tc.want)
			}
			if got := ofDenials(res.Warned); got != tc.warned {
				t.Errorf("warned %s\n want %s", got, tc.warned)
			}
			want := time.Time{}
			if tc.until != 0 {
				want = now.Add(time.Duration(tc.until))
			}
			if !res.Until.Equal(want) || res.Versions != 7 {
				t.Errorf("until %v, want %v; %d versions", res.Until, want, res.Versions)
			}
			// Each line by itself is judged alike, and served accordingly.
			out := strings.Split(string(res.File), "\n")
			for i, in := range strings.Split(files["a"], "\n") {
				l, ok := read([]byte(in), fieldName|fieldVers)
				if !ok {
					t.Fatal(in)
				}
				at := slices.IndexFunc(res.Denied, func(d Denial) bool { return d.Version == string(l.vers) })
				d := p.Version([]byte(in+"\n"), o)
				if (d == nil) != (at < 0) || d != nil && *d != res.Denied[at] {
					t.Errorf("version %s alone: %v", l.vers, d)
				}
				if at < 0 && out[i] != in || at >= 0 && out[i] != strings.Replace(in, `,"yanked":false`, `,"yanked":true`, 1) {
					t.Errorf("line %s", out[i])
				}
			}
			// Nothing is left to wait for at that time, and all was there to wait for before.
			if !want.IsZero() {
				for at, changes := range map[time.Time]bool{want.Add(-time.Second): false, want: true} {
					o.Now = at
					if again := p.Filter([]byte(files["a"]), o); (string(again.File) != string(res.File)) != changes {
						t.Errorf("at %v the file changes: %v", at, !changes)
					}
				}
			}
		})
	}
	t.Run("without facts", func(t *testing.T) {
		p := compile(t, wire.MirrorPolicy{Licenses: []string{"MIT"}, MaxCrateSize: 1})
		if res := p.Filter([]byte(files["a"]), Options{Now: now, Advisories: db}); res.Denied != nil || !p.NeedsFacts() {
			t.Error(res.Denied)
		}
	})
	t.Run("without database", func(t *testing.T) {
		if res := compile(t, advisories(func(*wire.MirrorAdvisories) {})).Filter([]byte(files["a"]), Options{Now: now}); res.Denied != nil {
			t.Error(res.Denied)
		}
	})
}

// Versions of too many characters are no versions for us, and may be for cargo.
func TestUnknownVersion(t *testing.T) {
	long := "1.0.0-" + strings.Repeat("a", crate.MaxVersionLen)
	file := []byte(old("a", long))
	db, _ := advisory.LoadFiles(map[string][]byte{"crates/a/X.md": []byte("```toml\n[advisory]\nid = \"X\"\npackage = \"a\"\n[versions]\npatched = [\">= 0.1\"]\n```\n# T\n")})
	for want, p := range map[string]wire.MirrorPolicy{
		"deny": {Deny: []string{"a@9"}}, "allow": {Allow: []string{"a@1"}}, "advisory": {Advisories: &wire.MirrorAdvisories{Source: "/db"}},
		"minimum-age": {MinimumAge: 36500 * day, MinimumAgeExceptions: []string{"a@1"}},
		"":            {MinimumAge: 36500 * day, MinimumAgeExceptions: []string{"a"}, Allow: []string{"a"}},
	} {
		got := compile(t, p).Filter(file, Options{Now: now, Advisories: db})
		if want == "" && got.Denied != nil || want != "" && (len(got.Denied) != 1 || got.Denied[0].Rule != want) {
			t.Errorf("%q: %v", want, got.Denied)
		}
	}
}

// What people read names the version, the rule's cause, and what can be done or waited for.
func TestReasons(t *testing.T) {
	db, _ := advisory.LoadFiles(map[string][]byte{
		"crates/foo/A.md": []byte("```toml\n[advisory]\nid = \"RUSTSEC-2026-0001\"\npackage = \"foo\"\ncvss = \"CVSS:3.1/AV:L/AC:L/PR:N/UI:N/S:U/C:N/I:N/A:H\"\n[versions]\npatched = [\">= 0.2.23\", \"^0.1.9\"]\n```\n# Potential segfault in foo\n"),
		"crates/foo/B.md": []byte("```toml\n[advisory]\nid = \"RUSTSEC-2026-0002\"\npackage = \"foo\"\ninformational = \"unmaintained\"\n[versions]\npatched = []\n```\n# foo is unmaintained\n"),
		"crates/bar/C.md": []byte("```toml\n[advisory]\nid = \"RUSTSEC-2026-0003\"\npackage = \"bar\"\ninformational = \"unsound\"\n[versions]\npatched = []\n```\n# bar is unsound\n"),
		"crates/baz/D.md": []byte("```toml\n[advisory]\nid = \"RUSTSEC-2026-0004\"\npackage = \"baz\"\n[versions]\npatched = []\n```\nno title\n"),
	})
	all := &wire.MirrorAdvisories{Source: "/db", Informational: true}
	young := lineOf("foo", "1.2.3", `,"yanked":false,"pubtime":"2026-11-28T10:00:00Z"`)
	for _, tc := range []struct {
		policy wire.MirrorPolicy
		line   string
		facts  Facts
		want   string
	}{
		{wire.MirrorPolicy{MinimumAge: 72 * hour}, young, Facts{}, "minimum-age: version 1.2.3 of foo was published 2026-11-28T10:00:00Z, less than 72h ago; the mirror's policy admits it from 2026-12-01T10:00:00Z on"},
		{wire.MirrorPolicy{MinimumAge: day}, lineOf("foo", "1.2.3", ""), Facts{}, "minimum-age: upstream does not say when version 1.2.3 of foo was published, and the mirror's policy admits what was published 24h ago or earlier"},
		{wire.MirrorPolicy{Deny: []string{"Foo@>=1"}}, young, Facts{}, `deny: the mirror's policy denies version 1.2.3 of foo (deny "Foo@>=1")`},
		{wire.MirrorPolicy{Allow: []string{"foo@^0.1"}}, young, Facts{}, `allow: version 1.2.3 of foo is not among what the mirror's policy allows (allow "foo@^0.1")`},
		{wire.MirrorPolicy{Yanked: "Deny"}, lineOf("foo", "1.2.3", `,"yanked":true`), Facts{}, "yanked: version 1.2.3 of foo is yanked, and the mirror's policy denies what is yanked"},
		{wire.MirrorPolicy{Licenses: []string{"MIT"}}, young, Facts{License: "GPL-3.0"}, `license: version 1.2.3 of foo is licensed "GPL-3.0", which the mirror's policy does not admit`},
		{wire.MirrorPolicy{Licenses: []string{"MIT"}}, young, Facts{License: "MIT or X"}, `license: version 1.2.3 of foo is licensed "MIT or X", which is no SPDX expression ("or" stands where AND or OR is expected); the mirror's policy admits such crates as license_exceptions only`},
		{wire.MirrorPolicy{Licenses: []string{"MIT"}}, young, Facts{}, `license: version 1.2.3 of foo has no license expression, and a license file alone is none; the mirror's policy admits such crates as license_exceptions only`},
		{wire.MirrorPolicy{MaxCrateSize: 1000}, young, Facts{Size: 1001}, `max-size: version 1.2.3 of foo has 1001 bytes, more than the 1000 that the mirror's policy admits`},
		{wire.MirrorPolicy{Advisories: all}, old("foo", "0.2.0"), Facts{}, `advisory: version 0.2.0 of foo has a security advisory, RUSTSEC-2026-0001 (Medium, CVSS 6.2): Potential segfault in foo; patched are >= 0.2.23 or ^0.1.9; and RUSTSEC-2026-0002`},
		{wire.MirrorPolicy{Advisories: all}, old("bar", "0.2.0"), Facts{}, `advisory: version 0.2.0 of bar has a security advisory, RUSTSEC-2026-0003 (unsound): bar is unsound; no version is patched`},
		{wire.MirrorPolicy{Advisories: all}, old("baz", "0.2.0"), Facts{}, `advisory: version 0.2.0 of baz has a security advisory, RUSTSEC-2026-0004; no version is patched`},
		{wire.MirrorPolicy{}, "<html>", Facts{}, "allow: upstream's index line of this version cannot be read"},
		{wire.MirrorPolicy{}, young, Facts{}, ""},
	} {
		o := Options{Now: now, Advisories: db, Facts: func(string) (Facts, bool) { return tc.facts, true }}
		got := ""
		if d := compile(t, tc.policy).Version([]byte(tc.line), o); d != nil {
			got = d.String()
		}
		if got != tc.want {
			t.Errorf("%s\n want %s", got, tc.want)
		}
	}
	o := Options{Now: now, Cached: func(string, string) bool { return false }}
	if got, want := compile(t, wire.MirrorPolicy{}).Version([]byte(young), o).String(), "pinned: version 1.2.3 of foo is not cached, and the mirror serves only what is (mode Pinned)"; got != want {
		t.Errorf("%s\n want %s", got, want)
	}
}

// Times are those that cargo reads; others are none.
func TestPubtime(t *testing.T) {
	p := compile(t, wire.MirrorPolicy{MinimumAge: hour})
	for pubtime, old := range map[string]bool{
		`"2026-11-29T11:00:00Z"`: true, `"2026-11-29T11:00:01Z"`: false, `"2026-11-29T10:00:00.5Z"`: false, `"2026-11-29T10:00:00+00:00"`: false, `"2026-11-29 10:00:00Z"`: false,
		`"2026-02-30T10:00:00Z"`: false, `"2000-13-01T10:00:00Z"`: false, `""`: false, `null`: false, `0`: false, `["2020-01-01T00:00:00Z"]`: false, `"9999-12-31T23:59:59Z"`: false, `"0000-01-01T00:00:00Z"`: true, `"20\u0032\u0030-01-01T00:00:00Z"`: true,
	} {
		for _, line := range []string{lineOf("a", "1.0.0", `,"yanked":false,"pubtime":`+pubtime), lineOf("a", "1.0.0", `,"pubtime":`+pubtime+`,"yanked":false`), `{"pubtime":` + pubtime + `,"name":"a","vers":"1.0.0"}`} {
			if res := p.Filter([]byte(line), Options{Now: now}); (len(res.Denied) == 0) != old {
				t.Errorf("%s: %v", pubtime, res.Denied)
			}
		}
	}
}
