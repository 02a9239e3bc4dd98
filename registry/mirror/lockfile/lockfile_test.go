package lockfile

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/crateyard/crateyard/registry/fault"
)

var update = flag.Bool("update", false, "write testdata/*.golden anew")

// team is the upstream of a mirror of a private registry.
var team = Sources{"sparse+https://crates.example/team/"}

// The files were written by real cargos: v4 by 1.95, v3 by 1.65, and v1 and v2 are the same, held against 1.95, which takes them as
// they are. root.lock has what cargo wrote before 1.18, sources.lock all that a source may be.
func TestGolden(t *testing.T) {
	for file, upstream := range map[string]Sources{"v1": {CratesIO}, "v2": {CratesIO}, "v3": {CratesIO}, "v4": {CratesIO}, "root": {CratesIO}, "sources": team} {
		t.Run(file, func(t *testing.T) {
			lock, err := Parse(testdata(t, file+".lock"), upstream)
			if err != nil {
				t.Fatal(err)
			}
			got, err := json.MarshalIndent(lock, "", " ")
			if err != nil {
				t.Fatal(err)
			}
			golden := filepath.Join("testdata", file+".golden")
			if *update {
				if err := os.WriteFile(golden, append(got, '\n'), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			if diff := cmp.Diff(string(testdata(t, file+".golden")), string(got)+"\n"); diff != "" {
				t.Error(diff)
			}
			if strings.Contains(string(got), "hunter2") {
				t.Errorf("credentials are repeated:\n%s", got)
			}
		})
	}
}

// Four formats say the same.
func TestFormatsAgree(t *testing.T) {
	var first Lockfile
	for n := 1; n <= 4; n++ {
		lock, err := Parse(testdata(t, fmt.Sprintf("v%d.lock", n)), Sources{CratesIO})
		if err != nil || lock.Version != n {
			t.Fatalf("v%d: version %d: %v", n, lock.Version, err)
		}
		if lock.Version = 0; n == 1 {
			first = lock
		}
		if diff := cmp.Diff(first, lock); diff != "" || len(lock.Packages) != 4 || lock.Members != 2 {
			t.Errorf("v%d: %s", n, diff)
		}
	}
	crlf := strings.ReplaceAll(string(testdata(t, "v4.lock")), "\n", "\r\n")
	lock, err := Parse([]byte(crlf), Sources{CratesIO})
	if lock.Version = 0; err != nil || !cmp.Equal(first, lock) {
		t.Errorf("with CRLF: %v", err)
	}
}

func TestSources(t *testing.T) {
	upstream := Sources{CratesIO, "sparse+https://crates.example/team/"}
	for source, want := range map[string]bool{
		CratesIO: true, "https://github.com/rust-lang/crates.io-index": true, "sparse+https://crates.example/team": true,
		"registry+https://crates.example/team/": true, "https://crates.example/team": true, "sparse+HTTPS://Crates.Example:443/team//": true,
		"sparse+https://user:pw@crates.example/team/": true,
		"sparse+https://crates.example/":              false, "sparse+https://crates.example/team/x/": false, "sparse+http://crates.example/team/": false,
		"sparse+https://crates.example:8443/team/": false, "sparse+https://crates.example/Team/": false, "sparse+https://crates.example/team/?x": false,
		"git+https://crates.example/team/": false, "path+https://crates.example/team/": false, "": false, "sparse+": false, "%": false, "sparse+file:///team": false,
	} {
		if got := upstream.Has(source); got != want {
			t.Errorf("%q: %v", source, got)
		}
	}
	if (Sources{"", "%", "x"}).Has("") {
		t.Error("nothing is a source")
	}
}

// What cargo could not have written is refused with the line that is wrong, and says what to do.
func TestRefused(t *testing.T) {
	const head = "version = 4\n\n[[package]]\nname = \"a\"\nversion = \"1.0.0\"\nsource = \"" + CratesIO + "\"\n"
	sum := strings.Repeat("a", 64)
	for name, tc := range map[string]struct{ text, want string }{
		"empty":              {"", "Cargo.lock: it names no packages; cargo generate-lockfile writes the file anew"},
		"manifest":           {"[package]\nname = \"a\"\n", "line 1: [package] stands in a Cargo.toml; the lockfile is"},
		"next format":        {"version = 5\n[[package]]\n", "line 1: it is of version 5, and only those up to 4 are known"},
		"format 2":           {"version = 2\n", "line 1: it is of version 2"},
		"no number":          {"version = \"4\"\n", "line 1: version is not a number"},
		"not TOML":           {head + "\nname\n", "line 8: it is no TOML: "},
		"merge":              {head + "<<<<<<< HEAD\n", "line 7: a merge has left its marks, <<<<<<<"},
		"merge, second part": {head + "=======\n", "line 7: a merge has left its marks, ======="},
		"two names":          {head + "name = \"b\"\n", "line 7: a package has two values for name"},
		"no version":         {"[[package]]\nname = \"a\"\n\n[[package]]\n", "line 1: a package has no name or no version"},
		"number as name":     {"[[package]]\nname = 1\n", "line 2: name is not a text"},
		"inline":             {"package = [{name = \"a\"}]\n", `line 1: "package" is not as cargo writes it`},
		"inline keys":        {"package.name = \"a\"\n", `line 1: "package" is not as cargo writes it`},
		"roots":              {"[[root]]\n", "line 1: [[root]] is not as cargo writes it"},
		"name":               {strings.Replace(head, `"a"`, `"../a"`, 1), `line 3: invalid dependency name "../a"`},
		"version":            {strings.Replace(head, `1.0.0`, `1.0`, 1), `line 3: package a: invalid version "1.0"`},
		"checksum":           {head + "checksum = \"abc\"\n", `line 3: package a 1.0.0: checksum "abc" is no SHA-256`},
		"checksum, length":   {head + "checksum = \"abcd\"\n", `line 3: package a 1.0.0: checksum "abcd" is no SHA-256`},
		"two checksums": {head + "checksum = \"" + sum + "\"\n" + strings.Replace(head[len("version = 4\n"):], "registry+", "sparse+", 1) + "checksum = \"" + strings.Repeat("b", 64) + "\"\n",
			"Cargo.lock: package a 1.0.0 stands there twice, with two checksums"},
		"values": {"[[package]]\ndependencies = [" + strings.Repeat(",", maxValues) + "]", "Cargo.lock: it has more than 500000 values"},
		"nested": {"a = " + strings.Repeat("[", maxValues-2), "it is no TOML"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Parse([]byte(tc.text), Sources{CratesIO})
			if err == nil || !strings.Contains(err.Error(), tc.want) || fault.KindOf(err) != fault.Invalid || !strings.HasSuffix(err.Error(), "cargo generate-lockfile writes the file anew") {
				t.Errorf("got  %v\nwant %s", err, tc.want)
			}
		})
	}
}

func TestLimits(t *testing.T) {
	whole := func(packages int) []byte {
		var b strings.Builder
		b.WriteString("version = 4\n")
		for i := range packages {
			fmt.Fprintf(&b, "\n[[package]]\nname = \"crate-%d\"\nversion = \"1.0.0\"\nsource = \"%s\"\nchecksum = \"%064x\"\ndependencies = [\n%s]\n",
				i, CratesIO, i, strings.Repeat(fmt.Sprintf(" \"crate-%d\",\n", i/2), 8))
		}
		return []byte(b.String())
	}
	lock, err := Parse(whole(MaxPackages), Sources{CratesIO})
	if err != nil || len(lock.Packages) != MaxPackages {
		t.Errorf("%d packages: %v", len(lock.Packages), err)
	}
	if _, err := Parse(whole(MaxPackages+1), Sources{CratesIO}); err == nil || !strings.Contains(err.Error(), "more than 20000 packages") || strings.Contains(err.Error(), "generate-lockfile") {
		t.Errorf("one more: %v", err)
	}
	if _, err := Parse(make([]byte, MaxSize+1), Sources{CratesIO}); fault.KindOf(err) != fault.TooLarge {
		t.Errorf("one byte more: %v", err)
	}
}

// Whatever the bytes are: no panic, and what is taken is sound.
func FuzzParse(f *testing.F) {
	files, err := filepath.Glob("testdata/*.lock")
	if err != nil || len(files) == 0 {
		f.Fatal("no seeds", err)
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	for _, s := range []string{"", "version = 4", "[[package]]\n\"na\\u006de\" = 'a'\nversion = '''1.0.0'''\nsource = \"registry+" + CratesIO + "\"", "[metadata]\n\"checksum a\" = \"<none>\"", "a = [[[", "\xef\xbb\xbf[root]", "[a.b.c.d.e.f]\n"} {
		f.Add([]byte(s))
	}
	upstream := Sources{CratesIO, "sparse+https://crates.example/team/"}
	f.Fuzz(func(t *testing.T, data []byte) {
		lock, err := Parse(data, upstream)
		if err != nil {
			if len(err.Error()) > 600 || strings.ContainsAny(err.Error(), "\n\x00") || fault.KindOf(err) != fault.Invalid {
				t.Errorf("an error that is not for people: %q", err)
			}
			return
		}
		for i, p := range lock.Packages {
			if i > 0 && lock.Packages[i-1].Name == p.Name && lock.Packages[i-1].Version == p.Version {
				t.Errorf("%v is there twice", p)
			}
			if len(p.SHA256) != 0 && len(p.SHA256) != 64 || strings.ToLower(p.SHA256) != p.SHA256 {
				t.Errorf("%v has no checksum", p)
			}
		}
		for _, s := range lock.Skipped {
			_, address, _ := strings.Cut(s.Reason, "://")
			host, _, _ := strings.Cut(address, "/")
			if s.Reason == "" || len(s.Reason) > 600 || strings.Contains(host, "@") { // in a path it is no credential
				t.Errorf("%+v", s)
			}
		}
		again, err := Parse(data, upstream)
		if err != nil || !cmp.Equal(lock, again) {
			t.Errorf("a second reading differs: %v", err)
		}
	})
}

func testdata(t *testing.T, file string) []byte {
	data, err := os.ReadFile(filepath.Join("testdata", file))
	if err != nil {
		t.Fatal(err)
	}
	return data
}
