package policy

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/crateyard/crateyard/registry/wire"
)

func compile(t *testing.T, p wire.MirrorPolicy) *Policy {
	t.Helper()
	c, err := Compile(p)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestCompile(t *testing.T) {
	source := wire.MirrorAdvisories{Source: "/db"}
	with := func(change func(*wire.MirrorAdvisories)) wire.MirrorPolicy {
		a := source
		change(&a)
		return wire.MirrorPolicy{Advisories: &a}
	}
	except := func(e ...wire.MirrorException) wire.MirrorPolicy {
		return with(func(a *wire.MirrorAdvisories) { a.Exceptions = e })
	}
	day := wire.Duration(24 * time.Hour)
	for name, tc := range map[string]struct {
		policy wire.MirrorPolicy
		want   string // all problems, in their order; empty: none
	}{
		"nothing": {},
		"everything": {policy: wire.MirrorPolicy{
			Allow: []string{"serde*", "Time@>=0.2.23, <0.4", "*"}, Deny: []string{"openssl-*", "time@<0.2.23"}, MinimumAge: 3 * day, MinimumAgeExceptions: []string{"our-*"},
			Licenses: []string{"MIT", "Apache-2.0 WITH LLVM-exception"}, LicenseExceptions: []string{"ring@0.17"}, Yanked: "Deny", MaxCrateSize: 1,
			Advisories: &wire.MirrorAdvisories{Source: "https://github.com/rustsec/advisory-db", Action: "Warn", MinimumSeverity: "Critical", Informational: true,
				Exceptions: []wire.MirrorException{{ID: "RUSTSEC-2020-0071", Reason: "we do not call it"}, {ID: "CVE-2020-1", Reason: "neither"}}},
		}},
		"defaults by name": {policy: wire.MirrorPolicy{Yanked: "Keep", Advisories: &wire.MirrorAdvisories{Source: "/db", Action: "Deny", MinimumSeverity: "Low"}}},
		"patterns": {wire.MirrorPolicy{Allow: []string{"", "a b", "é", "a@", "a@b", "1a", "_a", "a/b", strings.Repeat("a", 65), "a?", "@1", "a@1@2"}},
			`allow[0] "": the name of a crate is missing|allow[1] "a b": a pattern has|allow[2] "é": a pattern has|allow[3] "a@": invalid version requirement|allow[4] "a@b": invalid version requirement|` +
				`allow[5] "1a": no crate's name begins with '1'|allow[6] "_a": no crate's name begins|allow[7] "a/b": a pattern has|allow[8] "aaaa|allow[9] "a?": a pattern has|allow[10] "@1": the name|allow[11] "a@1@2": invalid`},
		"percent":           {wire.MirrorPolicy{Deny: []string{"%s%d"}}, `deny[0] "%s%d": a pattern has`},
		"same in both":      {wire.MirrorPolicy{Allow: []string{"b", "Foo-bar"}, Deny: []string{"a", "foo_bar"}}, `allow[1] "Foo-bar": deny[1] "foo_bar" denies all of it`},
		"same requirement":  {wire.MirrorPolicy{Allow: []string{"a@^1.2"}, Deny: []string{"a@1.2"}}, `allow[0] "a@^1.2": deny[0] "a@1.2" denies all of it`},
		"other requirement": {policy: wire.MirrorPolicy{Allow: []string{"a@1", "a"}, Deny: []string{"a@<1.5"}}},
		"buried":            {wire.MirrorPolicy{Allow: []string{"openssl-sys@1", "openssl-s*"}, Deny: []string{"openssl-*@*"}}, `allow[0] "openssl-sys@1": deny[0]|allow[1] "openssl-s*": deny[0]`},
		"partly buried":     {policy: wire.MirrorPolicy{Allow: []string{"openssl*", "*"}, Deny: []string{"openssl-*"}}},
		"other words":       {wire.MirrorPolicy{Allow: []string{"a@>=1.5, <2", "b@2"}, Deny: []string{"a@^1.2", "b@<=3"}}, `allow[0] "a@>=1.5, <2": deny[0] "a@^1.2" denies all of it|allow[1] "b@2": deny[1] "b@<=3" denies all of it`},
		"almost": {policy: wire.MirrorPolicy{Allow: []string{"a@>=1.5, <=2.0.0", "b@2", "c@1.2.3-rc.1", "d"}, Deny: []string{"a@^1.2", "b@<=2", "b@>2.1, <3", "c@>=1.2.3-rc.2", "d@>=0.0.1"}},
			want: `allow[1] "b@2": deny[1] "b@<=2" denies all of it`},
		"together": {wire.MirrorPolicy{Allow: []string{"a@1", "b", "c@=1.2.3-rc.1"}, Deny: []string{"a@<1.5", "*@9", "a@>=1.5", "b@<1", "b@>=1.0.0", "c@<1.2.3"}},
			`allow[0] "a@1": deny[0] "a@<1.5", deny[2] "a@>=1.5" together deny all of it|allow[1] "b": deny[3] "b@<1", deny[4] "b@>=1.0.0" together deny all of it|allow[2] "c@=1.2.3-rc.1": deny[5] "c@<1.2.3" denies all of it`},
		"deny all":                {wire.MirrorPolicy{Deny: []string{"a", "*"}}, `deny[1] "*": denies every crate`},
		"deny all in parts":       {wire.MirrorPolicy{Deny: []string{"*@<2", "**@>=1"}}, `deny[0] "*@<2", deny[1] "**@>=1": together deny every crate`},
		"deny almost all":         {policy: wire.MirrorPolicy{Deny: []string{"*@<2", "*@>=2.0.1"}}},
		"deny all from the first": {wire.MirrorPolicy{Deny: []string{"*@>=0.0.0"}}, `deny[0] "*@>=0.0.0": denies every crate`},
		"deny all others":         {policy: wire.MirrorPolicy{Allow: []string{"b"}, Deny: []string{"a*"}}},
		"nothing takes":           {wire.MirrorPolicy{Allow: []string{"a@>2, <1", "a@>=2, <2"}, Deny: []string{"b@=1.0.0, =1.0.1"}}, `allow[0] "a@>2, <1": its requirement takes no version|allow[1] "a@>=2, <2": its requirement takes|deny[0] "b@=1.0.0, =1.0.1": its requirement takes`},
		"exceptions buried":       {wire.MirrorPolicy{MinimumAge: day, MinimumAgeExceptions: []string{"a"}, Licenses: []string{"MIT"}, LicenseExceptions: []string{"*"}, Deny: []string{"*"}}, `minimum_age_exceptions[0] "a": deny[0] "*"|license_exceptions[0] "*": deny[0]|deny[0] "*": denies every crate`},
		"exceptions of nothing":   {wire.MirrorPolicy{MinimumAgeExceptions: []string{"a"}, LicenseExceptions: []string{"b"}}, `minimum_age_exceptions[0] "a": it excepts nothing: minimum_age is not set|license_exceptions[0] "b": it excepts nothing: licenses`},
		"negative":                {wire.MirrorPolicy{MinimumAge: -day, MaxCrateSize: -5}, `minimum_age: -24h is negative|max_crate_size: -5 is negative`},
		"licenses":                {wire.MirrorPolicy{Licenses: []string{"MIT", "Foo", "mit", "MIT OR Apache-2.0", ""}}, `licenses[1] "Foo": "Foo" is no identifier|licenses[2] "mit": "mit" is no identifier of the SPDX list at https://spdx.org/licenses; it is spelled MIT|licenses[3] "MIT OR Apache-2.0": it must be one|licenses[4] "": it is empty`},
		"yanked":                  {wire.MirrorPolicy{Yanked: "deny"}, `yanked: "deny" must be one of Keep, Deny`},
		"source":                  {with(func(a *wire.MirrorAdvisories) { a.Source = "" }), `advisories.source: it is empty`},
		"secret in source":        {with(func(a *wire.MirrorAdvisories) { a.Source = "https://u:p@h/" }), `advisories.source: it may not have a user`},
		"action":                  {with(func(a *wire.MirrorAdvisories) { a.Action = "Ignore" }), `advisories.action: "Ignore" must be one of Deny, Warn`},
		"severity":                {with(func(a *wire.MirrorAdvisories) { a.MinimumSeverity = "None" }), `advisories.minimum_severity: "None" must be one of Low, Medium, High, Critical`},
		"exception without":       {except(wire.MirrorException{ID: "X"}, wire.MirrorException{Reason: "r"}, wire.MirrorException{ID: "a b", Reason: " "}), `advisories.exceptions[0] "X": reason is missing|advisories.exceptions[1] "": id must be|advisories.exceptions[2] "a b": id must be|advisories.exceptions[2] "a b": reason is missing`},
		"exception twice":         {except(wire.MirrorException{ID: "cve-1", Reason: "r"}, wire.MirrorException{ID: "CVE-1", Reason: "s"}), `advisories.exceptions[1] "CVE-1": it comes twice`},
		"all at once, in fields":  {wire.MirrorPolicy{Allow: []string{"?"}, Deny: []string{"?"}, Yanked: "x", Advisories: &wire.MirrorAdvisories{}}, `allow[0]|deny[0]|advisories.source|yanked`},
	} {
		t.Run(name, func(t *testing.T) {
			c, err := Compile(tc.policy)
			if tc.want == "" {
				if c == nil || err != nil {
					t.Fatal(err)
				}
				return
			}
			if c != nil || err == nil {
				t.Fatal("it is compiled")
			}
			got, want := strings.Split(err.Error(), "\n"), strings.Split(tc.want, "|")
			for i, line := range got {
				if i >= len(want) || !strings.HasPrefix(line, want[i]) {
					t.Errorf("problem %d: %s", i, line)
				}
			}
			if len(got) != len(want) {
				t.Errorf("%d problems, want %d", len(got), len(want))
			}
		})
	}
}

// What was taken before is understood as it is, though it contradicts itself; what is wrong is not.
func TestTaken(t *testing.T) {
	p, err := Taken(wire.MirrorPolicy{Deny: []string{"*"}, Allow: []string{"a"}, LicenseExceptions: []string{"a"}})
	if err != nil || p.Crate("a") == nil {
		t.Error(err)
	}
	if _, err := Taken(wire.MirrorPolicy{Deny: []string{"?"}}); err == nil {
		t.Error("? is taken for a pattern")
	}
}

func TestGlob(t *testing.T) {
	for pattern, names := range map[string][2]string{ // what matches, what does not
		"a":           {"a", "b aa"},
		"*":           {"a abc", ""},
		"a*":          {"a ab abc", "ba b"},
		"*a":          {"a ba aba", "ab"},
		"*a*":         {"a bab", "b"},
		"a*b*c":       {"abc axbxc abbcc abcbc", "ab acb abcd"},
		"a**b":        {"ab axb", "a"},
		"*_sys":       {"openssl_sys _sys", "openssl_sysx"},
		"*aab":        {"aaab aabaab", "aaba"},
		"aa*aa":       {"aaaa aaaaa", "aaa"},
		"***":         {"x", ""},
		"x*y*z*w*v*u": {"xyzwvu xaybzcwdveu", "xyzwv xaybzcwdve"},
	} {
		for i, want := range []bool{true, false} {
			for _, name := range strings.Fields(names[i]) {
				if glob(pattern, name) != want {
					t.Errorf("%q and %q: %v", pattern, name, !want)
				}
			}
		}
	}
}

func TestShort(t *testing.T) {
	for d, want := range map[time.Duration]string{72 * time.Hour: "72h", 90 * time.Minute: "1h30m", 10 * time.Minute: "10m", 10*time.Hour + 5*time.Second: "10h0m5s", 0: "0s", 20 * time.Hour: "20h", 30 * time.Second: "30s", -24 * time.Hour: "-24h"} {
		if got := short(d); got != want {
			t.Errorf("%v: %s, want %s", d, got, want)
		}
	}
}

func TestCrate(t *testing.T) {
	p := compile(t, wire.MirrorPolicy{Allow: []string{"open*", "time@0.3", "Serde-JSON"}, Deny: []string{"openssl-*", "openapi@*", "open-up@<2"}})
	for name, want := range map[string]string{
		"openssl": "", "open": "", "open-up": "", "time": "", "serde_json": "", "SERDE-json": "",
		"openssl-sys": `deny: the mirror's policy denies the crate openssl-sys (deny "openssl-*")`,
		"OpenSSL_x":   `deny: the mirror's policy denies the crate OpenSSL_x (deny "openssl-*")`,
		"openapi":     `deny: the mirror's policy denies the crate openapi (deny "openapi@*")`,
		"serde":       `allow: the crate serde is not among what the mirror's policy allows`,
		"timer":       `allow: the crate timer is not among what the mirror's policy allows`,
	} {
		got := ""
		if d := p.Crate(name); d != nil {
			got = fmt.Sprint(d)
			if d.Crate != name || d.Version != "" {
				t.Errorf("%+v", d)
			}
		}
		if got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
}
