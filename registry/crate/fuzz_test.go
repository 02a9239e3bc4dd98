package crate

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"testing"
	"unicode/utf8"
)

// What is accepted as a name is one path element that is the same wherever it is stored.
func FuzzCheckName(f *testing.F) {
	for _, s := range []string{"serde", "a-b_C9", "", "../x", "nul", "é", strings.Repeat("a", 65), "a\x00", "proc-macro"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		err := CheckName(s)
		if err == nil {
			if strings.Trim(s, wordLetters+"-") != "" || len(s) > MaxNameLen || !isLetter(s[0]) {
				t.Errorf("%q passes", s)
			}
			if c := Canonical(s); CheckName(c) != nil || Canonical(c) != c {
				t.Errorf("%q is canonical of %q and no name", c, s)
			}
		}
		if len(s) > 0 && err == nil && (CheckDependencyName(s) != nil || CheckAlias(s) != nil) {
			t.Errorf("%q may be a crate and no dependency", s)
		}
		isShort(t, err)
	})
}

func isShort(t *testing.T, err error) {
	if err != nil && len(err.Error()) > (maxProblems+2)*(maxProblemText+10) {
		t.Errorf("an error of %d bytes", len(err.Error()))
	}
}

// A version that parses prints back equal, and equals itself.
func FuzzParseVersion(f *testing.F) {
	for _, s := range sampleVersions {
		f.Add(s, "1.0.0")
	}
	f.Fuzz(func(t *testing.T, s, other string) {
		v, err := ParseVersion(s)
		isShort(t, err)
		if plain, ok := parsePlain(s); ok {
			if w, err := parseVersion(s); err != nil || w != plain {
				t.Errorf("%q is %v, and read at once %v: %v", s, w, plain, err)
			}
		}
		if err != nil {
			return
		}
		if v.String() != s || v.Compare(v) != 0 {
			t.Errorf("%q comes back as %q", s, v)
		}
		if r, err := ParseRequirement("=" + s); err != nil || !r.Matches(v) {
			t.Errorf("=%s does not take its own version: %v", s, err)
		}
		if w, err := ParseVersion(other); err == nil && v.Compare(w) != -w.Compare(v) {
			t.Errorf("%s and %s have no order", v, w)
		}
	})
}

// Every requirement that parses means what its comparators mean as ranges: the second way to say it, from the cargo book.
func FuzzParseRequirement(f *testing.F) {
	for _, r := range sampleRequirements() {
		f.Add(r, "1.2.3")
	}
	for _, v := range sampleVersions {
		f.Add("^1.2.3-alpha.1, <1.3.0", v)
	}
	f.Fuzz(func(t *testing.T, req, version string) {
		r, err := ParseRequirement(req)
		isShort(t, err)
		v, verr := ParseVersion(version)
		if err != nil || verr != nil {
			return
		}
		if again, err := ParseRequirement(" " + req + " "); err != nil || !again.Equal(r) {
			t.Errorf("spaces change %q", req)
		}
		if v.Pre != "" {
			return // the golden file covers them
		}
		want := true
		for _, c := range r.comparators {
			want = want && inRange(c, v)
		}
		if got := r.Matches(v); got != want {
			t.Errorf("%q takes %s: %v, by ranges %v", req, v, got, want)
		}
	})
}

// inRange says by a lowest and a first higher version what a comparator takes of versions that are no pre-releases.
func inRange(c comparator, v Version) bool {
	low := Version{Major: c.major, Minor: c.minor, Patch: c.patch, Pre: c.pre}
	bump := func(n int) Version { // the first version behind all that begin with n numbers; the largest number has none
		const most = 1<<64 - 1
		parts := [3]uint64{c.major, c.minor, c.patch}
		for ; n > 0 && parts[n-1] == most; n-- {
		}
		if n == 0 {
			return Version{Major: most, Minor: most, Patch: most}
		}
		parts[n-1]++
		clear(parts[n:])
		return Version{Major: parts[0], Minor: parts[1], Patch: parts[2], Pre: "0"}
	}
	below := func(w Version) bool {
		return v.Compare(w) < 0 || w == (Version{Major: 1<<64 - 1, Minor: 1<<64 - 1, Patch: 1<<64 - 1}) && v.Compare(w) == 0
	}
	atLeast := v.Compare(low) >= 0
	among := atLeast && below(bump(c.numbers)) && (c.numbers < 3 || v.Compare(low) == 0)
	switch c.op {
	case opExact, opWildcard:
		return among
	case opGreater:
		return atLeast && !among
	case opGreaterEq:
		return atLeast
	case opLess:
		return !atLeast
	case opLessEq:
		return !atLeast || among
	case opTilde:
		return atLeast && below(bump(min(c.numbers, 2)))
	}
	first := 1
	for _, n := range []uint64{c.major, c.minor}[:min(c.numbers-1, 2)] {
		if n != 0 {
			break
		}
		first++
	}
	return atLeast && below(bump(first))
}

// Metadata that passes means the same to a reader that is told everything twice.
func FuzzParseMetadata(f *testing.F) {
	f.Add([]byte(fullMetadata))
	for _, s := range []string{"{}", `{"name":"a","vers":"1.0.0"}`, `{"name":"a","name":"b"}`, `{"deps":[{}]}`, `{"x":[[[{"a":1e999}]]]}`, "[", `{"features":{"a":["b"],"b":[]}}`, "\xff"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := ParseMetadata(data)
		isShort(t, err)
		if err != nil {
			return
		}
		again, err := json.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		again = bytes.ReplaceAll(again, []byte(":null"), []byte(":[]"))
		again = bytes.ReplaceAll(again, []byte(`"features":[],"authors"`), []byte(`"features":{},"authors"`))
		back, err := ParseMetadata(again)
		if err != nil {
			t.Fatalf("%v: %s", err, again)
		}
		if back.Name != m.Name || back.Vers != m.Vers || len(back.Deps) != len(m.Deps) || len(back.Features) != len(m.Features) {
			t.Errorf("%+v comes back as %+v", m, back)
		}
	})
}

// A manifest that passes agrees with the metadata made from it, and disagrees once a dependency is left out.
func FuzzParseManifest(f *testing.F) {
	f.Add([]byte(fullManifest))
	f.Add([]byte(sampleManifest))
	f.Add([]byte("[package]\nname.workspace = true\n"))
	f.Add([]byte(sampleManifest + "[target.'cfg(any(a,b = \"c\"))'.dependencies]\nx = {version = \"1\", package = \"y\"}\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) > 64<<10 {
			return
		}
		m, err := ParseManifest(data)
		isShort(t, err)
		if err != nil {
			return
		}
		meta := &Metadata{Name: m.Name, Vers: m.Version, Links: m.Links, RustVersion: m.RustVersion, Features: m.Features, Deps: m.Deps}
		for _, d := range m.Deps {
			if _, err := ParseRequirement(d.Req); err != nil {
				return
			}
		}
		if err := m.CheckMetadata(meta, isOwnInTests); err != nil {
			t.Fatalf("%v\n%s", err, data)
		}
		if len(m.Deps) > 0 {
			meta.Deps = meta.Deps[1:]
			if m.CheckMetadata(meta, isOwnInTests) == nil {
				t.Errorf("a dependency can be hidden in\n%s", data)
			}
		}
	})
}

// Of a tar stream that passes, another reader sees the same: only files and folders, under the prefix, once, and the manifest.
func FuzzCheckArchive(f *testing.F) {
	toml, end := block("a-1.0.0/Cargo.toml", '0', sampleManifest), strings.Repeat("\x00", 2*tarBlock)
	for _, s := range []string{toml + end, toml + block("a-1.0.0/d/", '5', "") + block("a-1.0.0/d/x", 0, "x", gnu) + end, toml + pax("path=a-1.0.0/y", "size=1") + block("z", '0', "x") + end,
		toml + block("L", 'L', "a-1.0.0/long\x00", gnu) + block("z", '0', "x", gnu) + end, block("Cargo.toml", '0', sampleManifest, set1(345, "a-1.0.0")) + end, toml + block("a-1.0.0/l", '2', "") + end} {
		f.Add([]byte(s), true)
		f.Add(zip(s), false)
	}
	f.Fuzz(func(t *testing.T, data []byte, plain bool) {
		if len(data) > 256<<10 {
			return
		}
		if plain {
			data = zip(string(fixSums(data)))
		}
		a, err := CheckArchive(bytes.NewReader(data), "a", "1.0.0", Limits{Unpacked: 1 << 20, Entries: 50})
		isShort(t, err)
		if err != nil {
			return
		}
		zr, err := gzip.NewReader(bytes.NewReader(data))
		if err != nil {
			t.Fatal(err)
		}
		seen := map[string]string{}
		for tr := tar.NewReader(zr); ; {
			h, err := tr.Next()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatalf("archive/tar cannot read what passes: %v", err)
			}
			name := strings.TrimSuffix(h.Name, "/")
			if name != "a-1.0.0" && !strings.HasPrefix(name, "a-1.0.0/") || strings.Contains(name, "/../") || strings.HasSuffix(name, "/..") || !utf8.ValidString(name) {
				t.Errorf("path %q", h.Name)
			}
			if h.Typeflag != tar.TypeReg && h.Typeflag != tar.TypeDir {
				t.Errorf("type %q", h.Typeflag)
			}
			body, err := io.ReadAll(tr)
			if _, twice := seen[name]; twice || err != nil {
				t.Errorf("%q twice: %v", name, err)
			}
			seen[name] = string(body)
		}
		m, err := ParseManifest([]byte(seen["a-1.0.0/Cargo.toml"]))
		if err != nil || m.Name != a.Manifest.Name || m.Version != a.Manifest.Version {
			t.Errorf("archive/tar sees another manifest: %v", err)
		}
	})
}

// fixSums makes the checksum of each block right that looks like a header, so that fuzzing comes past it.
func fixSums(data []byte) []byte {
	data = bytes.Clone(data)
	for at := 0; at+tarBlock <= len(data); at += tarBlock {
		h := data[at : at+tarBlock]
		if string(h[257:262]) != "ustar" {
			continue
		}
		copy(h[148:], "        ")
		sum := 0
		for _, c := range h {
			sum += int(c)
		}
		digits := []byte("000000\x00 ")
		for i := 5; i >= 0; i, sum = i-1, sum/8 {
			digits[i] = byte('0' + sum%8)
		}
		copy(h[148:], digits)
	}
	return data
}
