package registry_test

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/crateyard/crateyard/registry"
	"github.com/crateyard/crateyard/registry/client"
	"github.com/crateyard/crateyard/registry/crate"
)

// crates.io's limits and structural rules hold on every registry, and in the metadata as in the archive. What breaks one leaves nothing behind.
func TestPublishRefusesWhatCratesIODoes(t *testing.T) {
	meta := func(change map[string]any) []byte {
		m := map[string]any{"name": "demo", "vers": "1.0.0", "deps": []any{}, "features": map[string]any{}}
		for k, v := range change {
			m[k] = v
		}
		data, err := json.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		return frame(string(data), crateFile(t, "demo", "1.0.0"))
	}
	dep := func(change map[string]any) []byte {
		d := map[string]any{"name": "serde", "version_req": "^1", "features": []string{}, "optional": false, "default_features": true, "target": nil, "kind": "normal", "registry": cratesIOIndex}
		for k, v := range change {
			d[k] = v
		}
		return meta(map[string]any{"deps": []any{d}})
	}
	many := func(n int) (list []string) {
		for i := range n {
			list = append(list, fmt.Sprintf("w%d", i))
		}
		return list
	}
	features := func(n int) map[string]any {
		m := map[string]any{}
		for _, name := range many(n) {
			m[name] = []string{}
		}
		return m
	}
	deps := make([]any, 501)
	for i := range deps {
		deps[i] = map[string]any{"name": fmt.Sprintf("d%d", i), "version_req": "^1", "registry": cratesIOIndex}
	}
	toml := file("demo-1.0.0/Cargo.toml", manifest("demo", "1.0.0"))
	with := func(entries ...entry) []byte {
		return frame(metadata("demo", "1.0.0"), archive(t, append([]entry{toml}, entries...)...))
	}
	raw := func(name string, kind byte) []byte {
		return frame(metadata("demo", "1.0.0"), rawArchive(t, toml, entry{header: tar.Header{Name: name, Typeflag: kind}}))
	}
	inside := func(more string) []byte {
		return frame(metadata("demo", "1.0.0"), archive(t, file("demo-1.0.0/Cargo.toml", manifest("demo", "1.0.0")+more)))
	}
	small := func(c *registry.Config) { c.Limits.CrateSize = 2000 }
	for name, tc := range map[string]struct {
		frame  []byte
		change func(*registry.Config)
		status int
		want   string
	}{
		"empty name":               {meta(map[string]any{"name": ""}), nil, 400, "name: "},
		"name of std":              {meta(map[string]any{"name": "core"}), nil, 400, "is reserved"},
		"name of std in disguise":  {meta(map[string]any{"name": "Proc-Macro"}), nil, 400, "is reserved"},
		"name of a Windows device": {meta(map[string]any{"name": "COM1"}), nil, 400, "is reserved"},
		"name with a space":        {meta(map[string]any{"name": "de mo"}), nil, 400, "only ASCII letters"},
		"name of full-width":       {meta(map[string]any{"name": "ｄemo"}), nil, 400, "must begin with an ASCII letter"},
		"long version":             {meta(map[string]any{"vers": "1.0.0-" + strings.Repeat("a", 150)}), nil, 400, "the limit is 150"},
		"version of spaces":        {meta(map[string]any{"vers": " 1.0.0"}), nil, 400, "vers: "},
		"number of a version":      {meta(map[string]any{"vers": "1.0.18446744073709551616"}), nil, 400, "vers: "},
		"six keywords":             {meta(map[string]any{"keywords": many(6)}), nil, 400, "keywords: 6 keywords, the limit is 5"},
		"long keyword":             {meta(map[string]any{"keywords": []string{strings.Repeat("k", 21)}}), nil, 400, "keywords: "},
		"keyword with a dash":      {meta(map[string]any{"keywords": []string{"-k"}}), nil, 400, "keywords: "},
		"six categories":           {meta(map[string]any{"categories": many(6)}), nil, 400, "categories: 6 categories, the limit is 5"},
		"long description":         {meta(map[string]any{"description": strings.Repeat("é", 1001)}), nil, 400, "description: 1001 characters, the limit is 1000"},
		"address of a script":      {meta(map[string]any{"homepage": "javascript:alert(1)"}), nil, 400, "homepage: "},
		"address of a file":        {meta(map[string]any{"repository": "file:///etc/passwd"}), nil, 400, "repository: "},
		"address of nothing":       {meta(map[string]any{"documentation": "https://"}), nil, 400, "documentation: "},
		"range as rust_version":    {meta(map[string]any{"rust_version": "^1.70"}), nil, 400, `rust_version: "^1.70" must be one to three numbers`},
		"301 features":             {meta(map[string]any{"features": features(301)}), nil, 400, "301 features, the limit is 300"},
		"301 values of a feature":  {meta(map[string]any{"features": map[string]any{"f": many(301)}}), nil, 400, "the limit is 300"},
		"name of a feature":        {meta(map[string]any{"features": map[string]any{"a b": []string{}}}), nil, 400, "invalid feature name"},
		"feature of nothing":       {meta(map[string]any{"features": map[string]any{"f": []string{"none"}}}), nil, 400, "neither a feature nor an optional dependency"},
		"501 dependencies":         {meta(map[string]any{"deps": deps}), nil, 400, "the limit is 500"},
		"name of a dependency":     {dep(map[string]any{"name": "sérde"}), nil, 400, "invalid dependency name"},
		"alias of a dependency":    {dep(map[string]any{"explicit_name_in_toml": "京"}), nil, 400, "deps: "},
		"requirement of a range":   {dep(map[string]any{"version_req": "1.0 - 2.0"}), nil, 400, "invalid version requirement"},
		"target of a dependency":   {dep(map[string]any{"target": "cfg(unix"}), nil, 400, "neither a triple nor a cfg"},
		"empty registry":           {dep(map[string]any{"registry": "nonsense"}), nil, 400, "no index address"},
		"optional for tests":       {dep(map[string]any{"kind": "dev", "optional": true}), nil, 400, "cannot be optional"},
		"crate that is not here":   {frameWithDep(t, "absent"), nil, 400, "no known crate named `absent`"},

		"fifo":                   {raw("demo-1.0.0/x", '6'), nil, 400, "links and devices are refused"},
		"block device":           {raw("demo-1.0.0/x", '4'), nil, 400, "links and devices are refused"},
		"contiguous file":        {raw("demo-1.0.0/x", '7'), nil, 400, "neither file nor folder"},
		"sparse file":            {raw("demo-1.0.0/x", 'S'), nil, 400, "neither file nor folder"},
		"header for all":         {raw("demo-1.0.0/x", 'g'), nil, 400, "neither file nor folder"},
		"path of other letters":  {raw("demo-1.0.0/\xff", '0'), nil, 400, "not plain UTF-8"},
		"path of Windows":        {raw(`demo-1.0.0\..\x`, '0'), nil, 400, "not plain UTF-8"},
		"path of a drive":        {raw("C:/x", '0'), nil, 400, "a path outside demo-1.0.0/"},
		"dot dot inside":         {raw("demo-1.0.0/a/../x", '0'), nil, 400, "a path outside demo-1.0.0/"},
		"long path that is out":  {with(file("demo-1.0.0/../"+strings.Repeat("x/", 100)+"y", "x")), nil, 400, "a path outside demo-1.0.0/"},
		"one manifest, misspelt": {frame(metadata("demo", "1.0.0"), archive(t, file("demo-1.0.0/cargo.toml", manifest("demo", "1.0.0")))), nil, 400, "it must be Cargo.toml"},
		"shouted manifest":       {with(file("demo-1.0.0/CARGO.TOML", manifest("demo", "1.0.0"))), nil, 400, "it must be Cargo.toml"},
		"manifest as a folder":   {frame(metadata("demo", "1.0.0"), archive(t, entry{header: tar.Header{Name: "demo-1.0.0/Cargo.toml/", Typeflag: tar.TypeDir, Mode: 0o755}})), nil, 400, "must be a file"},
		"large manifest":         {inside("#" + strings.Repeat("x", 1<<20)), nil, 400, "at most 1048576 bytes"},
		"replace inside":         {inside("[replace]\n\"x:1.0.0\" = {git = \"x\"}\n"), nil, 400, "[replace]"},
		"archive over the limit": {frame(metadata("demo", "1.0.0"), make([]byte, 2001)), small, 413, "the limit of this registry is 2000"},
		"too many entries":       {with(manyFiles(crate.DefaultLimits.Entries)...), nil, 400, fmt.Sprintf("more than %d entries", crate.DefaultLimits.Entries)},
	} {
		t.Run(name, func(t *testing.T) {
			y := open(t, tc.change)
			a := y.publish(tc.frame)
			if a.status != tc.status || !strings.Contains(a.detail(t), tc.want) {
				t.Errorf("status %d, %q; want %d, %q", a.status, a.body, tc.status, tc.want)
			}
			y.holdsNothing()
		})
	}
}

func manyFiles(n int) (list []entry) {
	for i := range n {
		list = append(list, file(fmt.Sprintf("demo-1.0.0/%d", i), ""))
	}
	return list
}

// frameWithDep is a sound upload whose dependency is of the registry itself.
func frameWithDep(t *testing.T, name string) []byte {
	t.Helper()
	meta := fmt.Sprintf(`{"name":"demo","vers":"1.0.0","features":{},"deps":[{"name":%q,"version_req":"^1","features":[],"optional":false,"default_features":true,"target":null,"kind":"normal"}]}`, name)
	toml := manifest("demo", "1.0.0") + fmt.Sprintf("[dependencies.%s]\nversion = \"1\"\nregistry-index = \"sparse+http://127.0.0.1/index/\"\n", name)
	return frame(meta, archive(t, file("demo-1.0.0/Cargo.toml", toml), file("demo-1.0.0/src/lib.rs", "")))
}

// What is not for a registry as it stands is refused and changes nothing of what is there: a version again, though it be yanked or differ in
// build metadata, a name that differs in case or '-' and '_' from another's, a dependency that is spelled in another way, a name and a
// version that were deleted.
func TestPublishRefusesWhatIsTaken(t *testing.T) {
	y := open(t, nil)
	y.ship("my-demo", "1.0.0")
	y.ship("my-demo", "1.1.0")
	y.ship("my-demo", "1.2.0")
	y.ship("other", "1.0.0")
	y.must(200, "DELETE", "/api/v1/crates/my-demo/1.1.0/yank", y.alice, nil)
	y.must(204, "DELETE", "/api/v1/crates/my-demo/1.2.0", y.admin, nil)
	y.must(204, "DELETE", "/api/v1/crates/other", y.admin, nil)
	before := y.holdings()
	lib := file("demo-1.0.0/src/lib.rs", "another")
	again := func(version string) []byte {
		return frame(metadata("my-demo", version), archive(t, file("my-demo-"+version+"/Cargo.toml", manifest("my-demo", version)), file("my-demo-"+version+"/x", lib.body)))
	}
	for name, tc := range map[string]struct {
		frame  []byte
		status int
		want   string
	}{
		"version":                {again("1.0.0"), 409, "crate version `my-demo@1.0.0` is already uploaded"},
		"yanked version":         {again("1.1.0"), 409, "crate version `my-demo@1.1.0` is already uploaded"},
		"with build metadata":    {again("1.0.0+b.1"), 409, "is already uploaded"},
		"deleted version":        {again("1.2.0"), 409, "never used twice"},
		"another case":           {good(t, "My-Demo", "2.0.0"), 409, "crate was previously named `my-demo`"},
		"another word separator": {good(t, "my_demo", "2.0.0"), 409, "crate was previously named `my-demo`"},
		"deleted name":           {good(t, "other", "2.0.0"), 409, "was deleted"},
		"dependency, other case": {frameWithDep(t, "My-Demo"), 400, "crate `My-Demo` is spelled `my-demo` here"},
		"dependency, other form": {frameWithDep(t, "my_demo"), 400, "crate `my_demo` is spelled `my-demo` here"},
		"dependency, deleted":    {frameWithDep(t, "other"), 400, "no known crate named `other`"},
	} {
		a := y.publish(tc.frame)
		if a.status != tc.status || !strings.Contains(a.detail(t), tc.want) {
			t.Errorf("%s: %d %s; want %d, %q", name, a.status, a.body, tc.status, tc.want)
		}
		if after := y.holdings(); after != before {
			t.Errorf("%s: there is\n%s\nand was\n%s", name, after, before)
		}
	}
}

// holdings are what a server has in its storage, its catalog and its index, as a text to compare.
func (y *yard) holdings() string {
	y.t.Helper()
	var b bytes.Buffer
	_ = filepath.WalkDir(filepath.Join(y.data, "storage"), func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			fmt.Fprintln(&b, path)
		}
		return nil
	})
	s, err := client.New(y.url, y.admin).Status(y.t.Context())
	if err != nil {
		y.t.Fatal(err)
	}
	fmt.Fprintln(&b, s.Crates, s.Versions)
	for _, path := range []string{"my/-d/my-demo", "ot/he/other", "de/mo/demo", "my/_d/my_demo"} {
		fmt.Fprintln(&b, path, y.do("GET", "/index/"+path, "", nil).body)
	}
	fmt.Fprintln(&b, y.do("GET", "/api/v1/audit?limit=1", y.admin, nil).body)
	return b.String()
}

// Whatever an upload breaks, wherever, is told in one answer, each thing once, and nothing that only follows from what could not be read.
func TestPublishTellsAllAtOnce(t *testing.T) {
	y := open(t, func(c *registry.Config) { c.Limits.CrateSize = 20_000 })
	y.ship("my-demo", "1.0.0")
	before := y.holdings()
	with := func(name, version string, change map[string]any) string {
		m := map[string]any{"name": name, "vers": version, "deps": []any{}, "features": map[string]any{}}
		for k, v := range change {
			m[k] = v
		}
		data, err := json.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		return string(data)
	}
	dep := func(name, requirement string) map[string]any {
		return map[string]any{"name": name, "version_req": requirement, "registry": cratesIOIndex}
	}
	toml := func(folder, text string) []byte { return archive(t, file(folder+"/Cargo.toml", text)) }
	six := []string{"a", "b", "c", "d", "e", "f"}
	tooMany := "keywords: 6 keywords, the limit is 5"
	badKeyword := `keywords: "a b" must be at most 20 ASCII letters, digits, '_', '-' or '+', the first a letter or digit`
	inToml := "Cargo.toml in the archive"
	for name, tc := range map[string]struct {
		frame  []byte
		status int
		want   []string
	}{
		"manifest with one bad value, and differences": {
			frame(with("demo", "1.0.0", map[string]any{"deps": []any{dep("one", "^1"), dep("two", "^1")}, "rust_version": "1.70"}),
				toml("demo-1.0.0", "[package]\nname = \"other\"\nversion = \"2.0.0\"\nlinks = \"z\"\nrust-version = \"x\"\nkeywords = [\"a b\"]\n[dependencies]\none = { path = \"x\" }\ntwo = \"2\"\n[patch.x]\n")), 400,
			[]string{inToml + ": [patch] cannot stand in a published crate", inToml + ` [package]: rust-version "x" must be one to three numbers, such as 1.85`,
				inToml + ` [dependencies.one]: "path" cannot stand in a published crate`, inToml + " [dependencies.one]: it has no version",
				`the metadata names the crate "demo", the Cargo.toml in the archive "other"`, `the metadata names version "1.0.0", the Cargo.toml in the archive "2.0.0"`,
				`links: "" in the metadata, "z" in the Cargo.toml in the archive`, `deps: two: version: "^1" in the metadata, "2" in the Cargo.toml in the archive`, badKeyword},
		},
		"manifest with values of wrong types": {
			frame(with("demo", "1.0.0", map[string]any{"links": "z", "keywords": []string{"k"}, "features": map[string]any{"f": []string{}}, "deps": []any{dep("one", "^1")}}),
				toml("demo-1.0.0", "[package]\nname = 1\nversion = \"1.0.0\"\nlinks = 1\nkeywords = 1\n[dependencies]\none = 1\n[features]\nf = 1\ng = []\n[lib]\npath = 1\n")), 400,
			[]string{inToml + " [package]: name must be a text", inToml + " [package]: links must be a text", inToml + " [package]: keywords must be a list of texts",
				inToml + " [dependencies]: one must be a table", inToml + " [features]: f must be a list of texts", inToml + " [lib]: path must be a text",
				"features: g stands in the Cargo.toml in the archive and not in the metadata"},
		},
		"bad name": {
			frame(with("1x", "1.0.0", map[string]any{"keywords": []string{"a b"}}), toml("1x-1.0.0", manifest("1x", "1.0.0")+"links = \"z\"\nhomepage = \"ftp:x\"\n[lib]\n")), 400,
			[]string{`name: invalid crate name "1x": it must begin with an ASCII letter`, badKeyword, `links: "" in the metadata, "z" in the Cargo.toml in the archive`,
				`homepage: "ftp:x" must be an address that begins with https:// or http://`, "the Cargo.toml in the archive has a [lib] without path, and the archive has no src/lib.rs"},
		},
		"no name": {
			frame(with("", "1.0.0", nil), toml("demo-1.0.0", manifest("demo", "1.1.0"))), 400,
			[]string{`name: invalid crate name "": it is empty`, `the metadata names version "1.0.0", the Cargo.toml in the archive "1.1.0"`},
		},
		"bad version of a name that is taken": {
			frame(with("My_demo", "1.0", map[string]any{"deps": []any{dep("9x", "^1,")}}), archive(t, file("My_demo-1.0.0/Cargo.toml", manifest("My_demo", "1.0.0")), file("elsewhere/x", "x"))), 400,
			[]string{"crate was previously named `my-demo`; `My_demo` is too close to it: publish it under the existing name or choose another",
				`vers: invalid version "1.0": a version is MAJOR.MINOR.PATCH, such as 1.0.0`, `deps: invalid dependency name "9x": it must begin with an ASCII letter`,
				`deps: 9x: invalid version requirement "^1,": a version is missing; each part between commas needs one, such as "1.2"`,
				`the archive has a path outside My_demo-1.0.0/: "elsewhere/x"`, `the metadata names version "1.0", the Cargo.toml in the archive "1.0.0"`,
				"deps: 9x stands in the metadata and not in the Cargo.toml in the archive"},
		},
		"version that is there, and more": {
			frame(with("my-demo", "1.0.0", map[string]any{"links": "z"}), toml("my-demo-1.0.0", manifest("my-demo", "1.0.0")+"keywords = [\"a b\"]\n")), 400,
			[]string{"crate version `my-demo@1.0.0` is already uploaded; a published version never changes: raise the version",
				`links: "z" in the metadata, "" in the Cargo.toml in the archive`, badKeyword},
		},
		"version that is there, and too large": {
			frame(metadata("my-demo", "1.0.0"), make([]byte, 20_001)), 400,
			[]string{"crate version `my-demo@1.0.0` is already uploaded; a published version never changes: raise the version",
				"the .crate file has 20001 bytes, the limit of this registry is 20000; exclude files with `package.exclude` in Cargo.toml, or ask an administrator"},
		},
		"version that is there": {
			good(t, "my-demo", "1.0.0"), 409, []string{"crate version `my-demo@1.0.0` is already uploaded; a published version never changes: raise the version"},
		},
		"name that is taken": {
			good(t, "MY-demo", "1.0.0"), 409, []string{"crate was previously named `my-demo`; `MY-demo` is too close to it: publish it under the existing name or choose another"},
		},
		"six keywords on both sides": {
			frame(with("demo", "1.0.0", map[string]any{"keywords": six, "categories": six}), toml("demo-1.0.0", manifest("demo", "1.0.0")+`keywords = ["a","b","c","d","e","f"]`+"\n")), 400,
			[]string{tooMany, "categories: 6 categories, the limit is 5"},
		},
		"six keywords in the archive": {
			frame(metadata("demo", "1.0.0"), toml("demo-1.0.0", manifest("demo", "1.0.0")+`keywords = ["a","b","c","d","e","f"]`+"\n")), 400, []string{tooMany},
		},
		"metadata that could not be read": {
			frame(with("demo", "1.0.0", map[string]any{"links": 1, "features": 1, "rust_version": 1}), toml("demo-1.0.0", manifest("demo", "1.0.0")+"links = \"z\"\nrust-version = \"1.70\"\n[features]\nf = []\n[dependencies]\none = \"1\"\n")), 400,
			[]string{"links: it must be a text", "features: it must be an object", "rust_version: it must be a text", "deps: one stands in the Cargo.toml in the archive and not in the metadata"},
		},
	} {
		a := y.publish(tc.frame)
		got := strings.Split(a.detail(t), "\n")
		slices.Sort(got)
		slices.Sort(tc.want)
		if a.status != tc.status || !slices.Equal(got, tc.want) {
			t.Errorf("%s: %d\n%s\nwant %d\n%s", name, a.status, strings.Join(got, "\n"), tc.status, strings.Join(tc.want, "\n"))
		}
		if after := y.holdings(); after != before {
			t.Errorf("%s: there is\n%s\nand was\n%s", name, after, before)
		}
	}
}
