package index

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/crateyard/crateyard/registry/crate"
	"github.com/crateyard/crateyard/registry/index/indextest"
)

func TestPath(t *testing.T) {
	for name, want := range map[string]string{"a": "1/a", "Ab": "2/ab", "abc": "3/a/abc", "Serde": "se/rd/serde", "foo-bar": "fo/o-/foo-bar"} {
		if got := Path(name); got != want {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
	}
}

var sampleSum = strings.Repeat("0f", 32)

func line(t *testing.T, metadata string) string {
	t.Helper()
	m, err := crate.ParseMetadata([]byte(metadata))
	if err != nil {
		t.Fatal(err)
	}
	at := time.Date(2026, 11, 23, 12, 0, 0, 123456789, time.FixedZone("", 3600))
	own := func(r string) bool { return r == "sparse+https://own/index/" }
	l := NewEntry(m, sampleSum, at, own).Line()
	if err := indextest.Check(l); err != nil {
		t.Error(err)
	}
	return string(l)
}

// The lines are what crates.io writes for such crates, in its order of fields.
func TestLine(t *testing.T) {
	for name, tc := range map[string]struct{ metadata, want string }{
		"nothing but a name": {`{"name":"a","vers":"1.0.0","deps":[],"features":{},"description":null}`,
			`{"name":"a","vers":"1.0.0","deps":[],"cksum":"` + sampleSum + `","features":{},"yanked":false,"pubtime":"2026-11-23T11:00:00Z"}` + "\n"},
		"links and rust version": {`{"name":"a","vers":"1.0.0-rc.1+b","links":"z","rust_version":"1.70"}`,
			`{"name":"a","vers":"1.0.0-rc.1+b","deps":[],"cksum":"` + sampleSum + `","features":{},"yanked":false,"links":"z","rust_version":"1.70","pubtime":"2026-11-23T11:00:00Z"}` + "\n"},
		"features of two ages": {`{"name":"a","vers":"1.0.0","deps":[{"name":"d","version_req":">=1","optional":true,"default_features":true}],
			"features":{"default":["new"],"new":["dep:d"],"old":["plain"],"plain":[]}}`,
			`{"name":"a","vers":"1.0.0","deps":[{"name":"d","req":">=1","features":[],"optional":true,"default_features":true,"target":null,"kind":"normal"}],"cksum":"` + sampleSum + `","features":{"old":["plain"],"plain":[]},"features2":{"default":["new"],"new":["dep:d"]},"yanked":false,"pubtime":"2026-11-23T11:00:00Z","v":2}` + "\n"},
		"renamed, own, foreign, target, kinds in order": {`{"name":"a","vers":"1.0.0","deps":[
			{"name":"z","version_req":"1","default_features":false,"kind":"dev"},
			{"name":"z","version_req":"1","default_features":false,"kind":"normal","registry":"sparse+https://own/index/","target":"cfg(windows)"},
			{"name":"real","explicit_name_in_toml":"alias","version_req":"1","default_features":false,"registry":"https://other/index"}]}`,
			`{"name":"a","vers":"1.0.0","deps":[` +
				`{"name":"alias","req":"1","features":[],"optional":false,"default_features":false,"target":null,"kind":"normal","registry":"https://other/index","package":"real"},` +
				`{"name":"z","req":"1","features":[],"optional":false,"default_features":false,"target":"cfg(windows)","kind":"normal"},` +
				`{"name":"z","req":"1","features":[],"optional":false,"default_features":false,"target":null,"kind":"dev"}],` +
				`"cksum":"` + sampleSum + `","features":{},"yanked":false,"pubtime":"2026-11-23T11:00:00Z"}` + "\n"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := line(t, tc.metadata); got != tc.want {
				t.Errorf("\n got %s\nwant %s", got, tc.want)
			}
		})
	}
}

// Whatever the order in which a client sends dependencies, the line is the same.
func TestLineOrder(t *testing.T) {
	deps := []string{`{"name":"z","version_req":"1"}`, `{"name":"z","version_req":"1","target":"cfg(unix)"}`, `{"name":"z","version_req":"2","target":"cfg(unix)"}`,
		`{"name":"z","version_req":"1","kind":"build"}`, `{"name":"z","version_req":"1","kind":"dev"}`, `{"name":"a","version_req":"1"}`}
	lines := map[string]bool{}
	for range len(deps) {
		deps = append(deps[1:], deps[0])
		lines[line(t, `{"name":"a","vers":"1.0.0","deps":[`+strings.Join(deps, ",")+`]}`)] = true
		slices.Reverse(deps)
		lines[line(t, `{"name":"a","vers":"1.0.0","deps":[`+strings.Join(deps, ",")+`]}`)] = true
	}
	if len(lines) != 1 {
		t.Errorf("%d lines of one crate", len(lines))
	}
}

// What is held against a line refuses what cargo cannot read, whether the schema says so or not.
func TestCheckRefuses(t *testing.T) {
	good := line(t, `{"name":"a","vers":"1.0.0","rust_version":"1.70","deps":[{"name":"z","version_req":"1","target":"cfg(unix)","registry":"https://other/index"}]}`)
	for old, now := range map[string]string{`"features":[]`: `"features":null`, `"deps":[`: `"deps":null,"x":[`, `:00Z`: `:00.5Z`, sampleSum: strings.ToUpper(sampleSum), `"vers":"1.0.0"`: `"vers":"1.0"`,
		`"default_features":true`: `"default_features":null`, `"1.70"`: `">=1.70 garbage"`, `"req":"1"`: `"req":"1 || 2"`, `cfg(unix)`: `cfg(unix`, `"https://other/index"`: `"other"`} {
		bad := strings.Replace(good, old, now, 1)
		if err := indextest.Check([]byte(bad)); bad == good || err == nil {
			t.Errorf("%s passes", bad)
		}
	}
}

// Yanking changes one word and nothing else, even where names and texts look like it.
func TestSetYanked(t *testing.T) {
	l := []byte(line(t, `{"name":"a","vers":"1.0.0","links":"\"yanked\":false","deps":[{"name":"yanked","version_req":"1","optional":true}],"features":{"false":["yanked"]}}`))
	yanked := SetYanked(l, true)
	var e Entry
	if err := json.Unmarshal(yanked, &e); err != nil || !e.Yanked || e.Links != `"yanked":false` {
		t.Errorf("%s: %v", yanked, err)
	}
	if back := SetYanked(yanked, false); !bytes.Equal(back, l) {
		t.Errorf("there and back: %s", back)
	}
	if again := SetYanked(yanked, true); !bytes.Equal(again, yanked) {
		t.Errorf("twice: %s", again)
	}
}

func TestConfig(t *testing.T) {
	if got, want := string(NewConfig("https://x", false).JSON()), `{"dl":"https://x/crates","api":"https://x"}`+"\n"; got != want {
		t.Errorf("got %s want %s", got, want)
	}
	if got, want := string(NewConfig("https://x", true).JSON()), `{"dl":"https://x/crates","api":"https://x","auth-required":true}`+"\n"; got != want {
		t.Errorf("got %s want %s", got, want)
	}
}
