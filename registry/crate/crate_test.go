package crate

import (
	"strings"
	"testing"
)

func TestCheckName(t *testing.T) {
	for name, want := range map[string]string{
		"serde": "", "a": "", "A-b_9": "", strings.Repeat("a", 64): "",
		"": "empty", "9a": "begin with", "-a": "begin with", "_a": "begin with", "a.b": "only ASCII", "a/b": "only ASCII",
		"é": "begin with", "aé": "only ASCII", strings.Repeat("a", 65): "limit is 64", "NUL": "reserved", "proc-macro": "reserved",
	} {
		checkError(t, name, CheckName(name), want)
	}
	if err := CheckDependencyName("std"); err != nil {
		t.Errorf("a dependency may have a name that is reserved here: %v", err)
	}
	if err := CheckAlias("_x"); err != nil {
		t.Errorf("an alias may begin with '_': %v", err)
	}
}

func checkError(t *testing.T, input string, err error, want string) {
	t.Helper()
	if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
		t.Errorf("%q: %v; want %q", input, err, want)
	}
}

func TestParseVersion(t *testing.T) {
	for s, want := range map[string]string{
		"1.2.3": "", "0.0.0": "", "1.0.0-rc.1": "", "1.0.0-rc.1+build.01": "", "1.0.0+b": "", "18446744073709551615.0.0": "", "1.0.0--": "",
		"": "MAJOR.MINOR.PATCH", "1": "MAJOR", "1.2": "MAJOR", "1.2.3.4": "MAJOR", "v1.2.3": "not a number", "01.2.3": "leading zero", "1.2.x": "not a number",
		" 1.2.3": "not a number", "1.2.3-": "identifier is empty", "1.2.3-01": "leading zero", "1.2.3-a..b": "identifier is empty", "1.2.3+": "identifier is empty",
		"1.2.3-a_b": "only ASCII", "18446744073709551616.0.0": "too large", "1.0.0-" + strings.Repeat("a", 150): "limit is 150",
	} {
		v, err := ParseVersion(s)
		checkError(t, s, err, want)
		if err == nil && v.String() != s {
			t.Errorf("%q comes back as %q", s, v)
		}
	}
}

// The order is that of semver.org, section 11.
func TestCompare(t *testing.T) {
	order := strings.Fields("0.0.1 0.1.0 1.0.0-1 1.0.0-2 1.0.0-10 1.0.0-alpha 1.0.0-alpha.1 1.0.0-alpha.beta 1.0.0-beta 1.0.0-beta.2 1.0.0-beta.11 1.0.0-rc.1 1.0.0 1.0.1 1.10.0 10.0.0")
	for i, a := range order {
		for j, b := range order {
			if got, want := mustVersion(t, a).Compare(mustVersion(t, b)), sign(i-j); got != want {
				t.Errorf("%s against %s: %d, want %d", a, b, got, want)
			}
		}
	}
	if mustVersion(t, "1.0.0+a").Compare(mustVersion(t, "1.0.0+b")) != 0 {
		t.Error("build metadata counts")
	}
}

func sign(n int) int { return max(-1, min(1, n)) }

func mustVersion(t *testing.T, s string) Version {
	t.Helper()
	v, err := ParseVersion(s)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func TestMetadataFeatures(t *testing.T) {
	meta := func(features string) string {
		return `{"name":"x","vers":"1.0.0","deps":[{"name":"opt","version_req":"1","optional":true},{"name":"req","version_req":"1"},
			{"name":"real","explicit_name_in_toml":"alias","version_req":"1","optional":true},{"name":"d","version_req":"1","kind":"dev"}],"features":` + features + `}`
	}
	for features, want := range map[string]string{
		`{"a":["b","dep:opt","opt?/f","req/f","dep:alias"],"b":[]}`: "", `{"Ünï-1.+":[]}`: "", `{}`: "", `null`: "null, where cargo sends an object",
		`{"a":["d/f"]}`:  "",
		`{"a":["none"]}`: "neither a feature nor", `{"a":["dep:req"]}`: "no optional dependency", `{"a":["dep:real"]}`: "no optional dependency",
		`{"a":["dep:opt"],"b":["opt"]}`: "neither a feature nor", `{"a":["req?/f"]}`: "needs an optional dependency",
		`{"a":["x/f"]}`: "no feature of a dependency", `{"a":["dep:d"]}`: "no optional dependency", `{"a":["opt/b/c"]}`: "more than one '/'",
		`{"a":["opt/"]}`: "cannot be the name of a feature", `{"a":["opt/ä b"]}`: "cannot be the name of a feature", `{"a":["opt?/-f"]}`: "cannot be the name of a feature", `{"a":["opt?/1+ö"]}`: "",
		`{"opt":[]}`: "hides the optional dependency", `{"opt":["dep:opt"]}`: "", `{"opt":["opt/f"]}`: "", `{"alias":[]}`: "hides", `{"a":[],"a":[]}`: "comes twice", `{"A":[],"a":[]}`: "", `{"a b":[]}`: "invalid feature name", `{"":[]}`: "invalid feature name",
	} {
		_, err := ParseMetadata([]byte(meta(features)))
		checkError(t, features, err, want)
	}
}

// An address is what crates.io takes for one, or its pages would show another.
func TestWebAddresses(t *testing.T) {
	for s, want := range map[string]bool{"https://example.com": true, "http://example.com/a?b#c": true, "https://example.com/ä": true,
		"HTTPS://example.com": false, "ftp://example.com": false, "https:/example.com": false, "https://": false, "javascript:alert(1)": false, " https://example.com": false} {
		if isWebAddress(s) != want {
			t.Errorf("%q: %v", s, !want)
		}
	}
}

func TestDependencyAddresses(t *testing.T) {
	for s, want := range map[string]bool{"https://github.com/rust-lang/crates.io-index": true, "sparse+https://x/index/": true, "file:///srv/index": true, "ssh://git@x/y": true,
		"not a url": false, "x": false, "/index": false, "sparse+": false} {
		if isRegistry(s) != want {
			t.Errorf("registry %q: %v", s, !want)
		}
	}
	for s, want := range map[string]bool{"x86_64-unknown-linux-gnu": true, "thumbv7em-none-eabihf": true, "cfg(windows)": true, `cfg(all(unix, not(target_os = "macos")))`: true,
		`cfg(target_feature = "crt-static(")`: true, "cfg((((": false, "cfg()": false, "cfg(unix": false, "cfg(unix))": false, "cfg(a)b": false, "a b": false, "cfg(a;b)": false} {
		if _, err := canonicalTarget(s); (err == nil) != want {
			t.Errorf("target %q: %v", s, err)
		}
	}
}
