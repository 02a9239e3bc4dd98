package registry_test

import (
	"archive/tar"
	"bytes"
	"encoding/binary"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/crateyard/crateyard/registry"
	"github.com/crateyard/crateyard/registry/client"
	"github.com/crateyard/crateyard/registry/wire"
)

// Each upload breaks one rule; it is refused with a text that names the rule, and leaves nothing behind.
func TestPublishRefusesBadUploads(t *testing.T) {
	ok := crateFile(t, "demo", "1.0.0")
	toml := file("demo-1.0.0/Cargo.toml", manifest("demo", "1.0.0"))
	special := func(h tar.Header) []byte { return archive(t, toml, entry{header: h}) }
	withDep := func(dep string) string {
		return `{"name":"demo","vers":"1.0.0","features":{},"deps":[` + dep + `]}`
	}
	length := func(n uint32) []byte { return binary.LittleEndian.AppendUint32(nil, n) }
	whole := good(t, "demo", "1.0.0")
	for name, tc := range map[string]struct {
		frame  []byte
		status int
		want   string
	}{
		"empty":                   {nil, 400, "ends inside the length of the metadata"},
		"metadata cut":            {whole[:20], 400, "ends inside the metadata"},
		"archive length cut":      {whole[:4+len(metadata("demo", "1.0.0"))+2], 400, "ends inside the length of the archive"},
		"archive cut":             {whole[:len(whole)-10], 400, "ends inside the .crate file"},
		"data behind":             {append(bytes.Clone(whole), 'x'), 400, "data behind the .crate file"},
		"metadata too large":      {length(2 << 20), 413, "the limit is 1048576"},
		"archive too large":       {append(frame(metadata("demo", "1.0.0"), nil)[:4+len(metadata("demo", "1.0.0"))], length(4<<30-1)...), 413, "the limit of this registry is"},
		"no JSON":                 {frame("hello", ok), 400, "not the JSON that cargo sends"},
		"JSON of another kind":    {frame("[]", ok), 400, "not the JSON that cargo sends"},
		"two JSONs":               {frame(metadata("demo", "1.0.0")+"{}", ok), 400, "text after its JSON"},
		"not UTF-8":               {frame("\xff", ok), 400, "not UTF-8"},
		"bad name":                {frame(metadata("dé", "1.0.0"), ok), 400, "only ASCII letters"},
		"name that leads out":     {frame(metadata("../x", "1.0.0"), ok), 400, "must begin with an ASCII letter"},
		"reserved name":           {frame(metadata("nul", "1.0.0"), ok), 400, "is reserved"},
		"long name":               {frame(metadata(strings.Repeat("a", 65), "1.0.0"), ok), 400, "the limit is 64"},
		"bad version":             {frame(metadata("demo", "1.0"), ok), 400, "MAJOR.MINOR.PATCH"},
		"version that leads out":  {frame(metadata("demo", "1.0.0-a/../../x"), ok), 400, "only ASCII letters"},
		"leading zero":            {frame(metadata("demo", "01.0.0"), ok), 400, "leading zero"},
		"bad requirement":         {frame(withDep(`{"name":"x","version_req":"1.0 || 2.0"}`), ok), 400, "invalid version requirement"},
		"bad dependency":          {frame(withDep(`{"name":"x/y","version_req":"1"}`), ok), 400, "invalid dependency name"},
		"bad kind":                {frame(withDep(`{"name":"x","version_req":"1","kind":"odd"}`), ok), 400, "none of normal, build, dev"},
		"requirement of all":      {frame(withDep(`{"name":"x","version_req":"*"}`), ok), 400, "takes every version"},
		"key twice":               {frame(`{"name":"demo","vers":"1.0.0","name":"demo"}`, ok), 400, `metadata: key "name" comes twice`},
		"dep key of another case": {frame(withDep(`{"Name":"x","Version_Req":"1"}`), ok), 400, `deps: `},
		"dependency key twice":    {frame(withDep(`{"name":"x","version_req":"1","version_req":"2"}`), ok), 400, `deps[0]: key "version_req" comes twice`},
		"key of another case":     {frame(`{"Name":"demo","vers":"1.0.0"}`, ok), 400, "name: invalid crate name"},
		"null for a list":         {frame(`{"name":"demo","vers":"1.0.0","deps":null}`, ok), 400, "deps: null, where cargo sends an array"},
		"number for a text":       {frame(`{"name":"demo","vers":1}`, ok), 400, "vers: it must be a text"},
		"deep JSON":               {frame(`{"name":"demo","x":`+strings.Repeat("[", 200)+strings.Repeat("]", 200)+`}`, ok), 400, "nests deeper than 128"},
		"NUL in a text":           {frame(`{"name":"demo","vers":"1.0.0","description":"a\u0000b","categories":["\u0000"]}`, ok), 400, "description: it has a NUL character\ncategories: it has a NUL character"},
		"hundred problems":        {frame(withDep(strings.Repeat(`{"name":"1"},`, 99)+`{"name":"1"}`), ok), 400, "… and 180 more"},
		"registry not allowed":    {frame(withDep(`{"name":"x","version_req":"1","registry":"https://evil.example/index"}`), ok), 400, "deps: x comes from the registry https://evil.example/index, which this registry does not allow"},
		"dependency not inside":   {frame(withDep(`{"name":"x","version_req":"1"}`), ok), 400, "deps: x stands in the metadata and not in the Cargo.toml"},
		"feature not inside":      {frame(`{"name":"demo","vers":"1.0.0","features":{"f":[]}}`, ok), 400, "features: f stands in the metadata and not in the Cargo.toml"},
		"other links inside":      {frame(`{"name":"demo","vers":"1.0.0","links":"z","rust_version":"1.70"}`, ok), 400, `links: "z" in the metadata, "" in the Cargo.toml in the archive` + "\nrust_version:"},
		"dependency hidden":       {frame(metadata("demo", "1.0.0"), archive(t, file("demo-1.0.0/Cargo.toml", manifest("demo", "1.0.0")+"[dependencies]\nx = \"1\"\n"))), 400, "deps: x stands in the Cargo.toml in the archive and not in the metadata"},
		"patch inside":            {frame(metadata("demo", "1.0.0"), archive(t, file("demo-1.0.0/Cargo.toml", manifest("demo", "1.0.0")+"[patch.crates-io]\nx = {git = \"x\"}\n"))), 400, "[patch] cannot stand in a published crate"},
		"inheritance inside":      {frame(metadata("demo", "1.0.0"), archive(t, file("demo-1.0.0/Cargo.toml", "[package]\nname = \"demo\"\nversion.workspace = true\n"))), 400, "version is inherited from a workspace"},
		"bad rust-version inside": {frame(metadata("demo", "1.0.0"), archive(t, file("demo-1.0.0/Cargo.toml", manifest("demo", "1.0.0")+"rust-version = \">=1.70 garbage\"\n"))), 400, `rust-version ">=1.70 garbage" must be one to three numbers`},
		"library without file":    {frame(metadata("demo", "1.0.0"), archive(t, file("demo-1.0.0/Cargo.toml", manifest("demo", "1.0.0")+"[lib]\nname = \"demo\"\n"))), 400, "has no src/lib.rs"},
		"mark of cargo":           {frame(metadata("demo", "1.0.0"), archive(t, toml, file("demo-1.0.0/.cargo-ok", ""))), 400, "by which cargo marks"},
		"too many keys":           {frame(metadata("demo", "1.0.0"), archive(t, file("demo-1.0.0/Cargo.toml", manifest("demo", "1.0.0")+strings.Repeat("[[x]]\n", 10_000)))), 400, "more than 10000 keys"},
		"dangling feature":        {frame(`{"name":"demo","vers":"1.0.0","deps":[],"features":{"a":["dep:none"]}}`, ok), 400, "no optional dependency"},
		"two rules at once":       {frame(metadata("1x", "1"), ok), 400, "must begin with an ASCII letter\nvers:"},
		"no gzip":                 {frame(metadata("demo", "1.0.0"), []byte("hello")), 400, "no gzip file"},
		"damaged gzip":            {frame(metadata("demo", "1.0.0"), ok[:len(ok)/2]), 400, "damaged"},
		"data behind gzip":        {frame(metadata("demo", "1.0.0"), append(bytes.Clone(ok), ok...)), 400, "data behind its gzip stream"},
		"empty archive":           {frame(metadata("demo", "1.0.0"), archive(t)), 400, "has no demo-1.0.0/Cargo.toml"},
		"no manifest":             {frame(metadata("demo", "1.0.0"), archive(t, file("demo-1.0.0/a", ""))), 400, "has no demo-1.0.0/Cargo.toml"},
		"other name inside":       {frame(metadata("demo", "1.0.0"), archive(t, file("demo-1.0.0/Cargo.toml", manifest("evil", "1.0.0")))), 400, `the Cargo.toml in the archive "evil"`},
		"other version inside":    {frame(metadata("demo", "1.0.0"), archive(t, file("demo-1.0.0/Cargo.toml", manifest("demo", "2.0.0")))), 400, `the Cargo.toml in the archive "2.0.0"`},
		"no package inside":       {frame(metadata("demo", "1.0.0"), archive(t, file("demo-1.0.0/Cargo.toml", "[workspace]"))), 400, "no [package]"},
		"no TOML inside":          {frame(metadata("demo", "1.0.0"), archive(t, file("demo-1.0.0/Cargo.toml", "= ="))), 400, "Cargo.toml in the archive"},
		"another folder":          {frame(metadata("demo", "1.0.0"), archive(t, toml, file("other/x", ""))), 400, "a path outside demo-1.0.0/"},
		"folder of like name":     {frame(metadata("demo", "1.0.0"), archive(t, toml, file("demo-1.0.0x/x", ""))), 400, "a path outside demo-1.0.0/"},
		"dot dot":                 {frame(metadata("demo", "1.0.0"), archive(t, toml, file("demo-1.0.0/../../x", ""))), 400, "a path outside demo-1.0.0/"},
		"absolute":                {frame(metadata("demo", "1.0.0"), archive(t, toml, file("/demo-1.0.0/x", ""))), 400, "a path outside demo-1.0.0/"},
		"path twice":              {frame(metadata("demo", "1.0.0"), archive(t, toml, toml)), 400, "a path twice"},
		"manifest of two cases":   {frame(metadata("demo", "1.0.0"), archive(t, toml, file("demo-1.0.0/cargo.toml", ""))), 400, "it must be Cargo.toml"},
		"symbolic link":           {frame(metadata("demo", "1.0.0"), special(tar.Header{Name: "demo-1.0.0/l", Linkname: "/etc/passwd", Typeflag: tar.TypeSymlink})), 400, "links and devices are refused"},
		"hard link":               {frame(metadata("demo", "1.0.0"), special(tar.Header{Name: "demo-1.0.0/l", Linkname: "demo-1.0.0/Cargo.toml", Typeflag: tar.TypeLink})), 400, "links and devices are refused"},
		"device":                  {frame(metadata("demo", "1.0.0"), special(tar.Header{Name: "demo-1.0.0/d", Typeflag: tar.TypeChar})), 400, "links and devices are refused"},
	} {
		t.Run(name, func(t *testing.T) {
			y := open(t, nil)
			a := y.publish(tc.frame)
			if a.status != tc.status || !strings.Contains(a.detail(t), tc.want) {
				t.Errorf("status %d, %q; want %d, %q", a.status, a.body, tc.status, tc.want)
			}
			y.holdsNothing()
		})
	}
}

// holdsNothing looks at storage, catalog and index.
func (y *yard) holdsNothing() {
	y.t.Helper()
	_ = filepath.WalkDir(filepath.Join(y.data, "storage"), func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() && !strings.Contains(path, "/.crateyard/") { // whose storage it is
			y.t.Errorf("left in storage: %s", path)
		}
		return nil
	})
	s, err := client.New(y.url, y.admin).Status(y.t.Context())
	if err != nil || s.Crates != 0 || s.Versions != 0 {
		y.t.Errorf("left in the catalog: %+v, %v", s, err)
	}
	if a := y.do("GET", "/index/de/mo/demo", "", nil); a.status != 404 {
		y.t.Errorf("in the index: %d %s", a.status, a.body)
	}
}

// A bomb ends at the limit; so does an archive with more entries than allowed.
func TestPublishRefusesBomb(t *testing.T) {
	y := open(t, nil)
	bomb := archive(t, file("demo-1.0.0/zeros", strings.Repeat("\x00", 600<<20)))
	a := y.publish(frame(metadata("demo", "1.0.0"), bomb))
	if a.status != 400 || !strings.Contains(a.detail(t), "unpacks to more than") {
		t.Errorf("%d %s", a.status, a.body)
	}
	y.holdsNothing()
}

func TestPublishNeedsTokenAndRole(t *testing.T) {
	y := open(t, nil)
	c := client.New(y.url, y.admin)
	if _, err := c.CreateUser(t.Context(), wire.CreateUser{Name: "rita", Role: "reader"}); err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		token  string
		status int
		want   string
	}{
		"none":            {"", 401, "needs a token"},
		"unknown":         {"cy_nonsense", 401, "not known here"},
		"asymmetric":      {"v3.public.eyJzdWIiOiJrMy5waWQueCJ9", 401, "takes no asymmetric tokens (credential provider cargo:paseto); use a token that it made"},
		"another scheme":  {"Basic " + y.alice, 401, "not known here"},
		"reader":          {y.token("rita", nil), 403, "user `rita` has role reader, which lacks the right publish-new"},
		"scope read":      {y.token("alice", []string{"read"}), 403, "lacks the scope publish-new"},
		"scope yank":      {y.token("alice", []string{"yank"}), 403, "lacks the scope publish-new"},
		"only for update": {y.token("alice", []string{"publish-update"}), 403, "lacks the scope publish-new"},
	} {
		t.Run(name, func(t *testing.T) {
			a := y.do("PUT", "/api/v1/crates/new", tc.token, bytes.NewReader(good(t, "demo", "1.0.0")))
			if a.status != tc.status || !strings.Contains(a.detail(t), tc.want) {
				t.Errorf("%d %s; want %d %q", a.status, a.body, tc.status, tc.want)
			}
			if got := a.header.Get("WWW-Authenticate"); (a.status == 401) != strings.HasPrefix(got, "Cargo login_url=") {
				t.Errorf("challenge %q with %d", got, a.status)
			}
			y.holdsNothing()
		})
	}
	if a := y.do("PUT", "/api/v1/crates/new", "bearer "+y.alice, bytes.NewReader(good(t, "demo", "1.0.0"))); a.status != 200 {
		t.Errorf("with Bearer: %d %s", a.status, a.body)
	}
	if logs := y.logs; strings.Contains(logs.String(), y.alice) || strings.Contains(logs.String(), y.admin) {
		t.Error("a token is in the log")
	}
}

// Trusted publishing is not offered: a workflow that asks for it shows what to use instead.
func TestNoTrustedPublishing(t *testing.T) {
	y := open(t, nil)
	for method, token := range map[string]string{"POST": "", "DELETE": y.alice} {
		a := y.do(method, "/api/v1/trusted_publishing/tokens", token, strings.NewReader(`{"jwt":"x.y.z"}`))
		if a.status != 404 || !strings.Contains(a.detail(t), "give the workflow a token of its own") {
			t.Errorf("%s: %d %s", method, a.status, a.body)
		}
	}
}

// Of twenty publishes of one version one wins, and its bytes are served; of twenty versions all get a line.
func TestPublishAtOnce(t *testing.T) {
	y := open(t, nil)
	var wg sync.WaitGroup
	answers := make([]answer, 40)
	for i := range 20 {
		wg.Go(func() {
			dir := "demo-1.0.0/"
			crate := archive(t, file(dir+"Cargo.toml", manifest("demo", "1.0.0")), file(dir+"who", fmt.Sprint(i)))
			answers[i] = y.publish(frame(metadata("demo", "1.0.0"), crate))
		})
		wg.Go(func() { answers[20+i] = y.publish(good(t, "many", fmt.Sprintf("1.0.%d", i))) })
	}
	wg.Wait()
	won := 0
	for i, a := range answers[:20] {
		switch a.status {
		case 200:
			won++
		case 409:
		default:
			t.Errorf("publish %d: %d %s", i, a.status, a.body)
		}
	}
	if won != 1 {
		t.Errorf("%d publishes of one version won", won)
	}
	if lines := strings.Count(y.do("GET", "/index/ma/ny/many", "", nil).body, "\n"); lines != 20 {
		t.Errorf("%d lines of 20 versions", lines)
	}
	a := y.do("GET", "/crates/demo/1.0.0/download", "", nil)
	line := y.do("GET", "/index/de/mo/demo", "", nil).body
	if a.status != 200 || !strings.Contains(line, sha256Hex(a.body)) {
		t.Errorf("download %d does not match the line %s", a.status, line)
	}
}

// A second server on one folder would corrupt what the first knows; it is refused while the first runs.
func TestOneServerPerFolder(t *testing.T) {
	y := open(t, nil)
	c := registry.DefaultConfig()
	c.Data, c.Listen, c.OpsListen = y.data, "127.0.0.1:0", ""
	if _, err := registry.Open(t.Context(), c, "test", os.Stderr); err == nil || !strings.Contains(err.Error(), "is in use by another crateyard") {
		t.Errorf("got %v", err)
	}
}

// Whatever an upload breaks, in metadata, catalog and archive, is said in one answer.
func TestPublishNamesAllThatIsWrong(t *testing.T) {
	y := open(t, func(c *registry.Config) { c.Publishing.RequiredFields = []string{"repository"} })
	meta := `{"name":"demo","vers":"1.0.0","features":{},"authors":[],"keywords":["not a word"],"links":"z","deps":[
		{"name":"absent","version_req":"^1","features":[],"optional":false,"default_features":true,"target":null,"kind":"normal"},
		{"name":"far","version_req":"*","features":[],"optional":false,"default_features":true,"target":null,"kind":"normal","registry":"sparse+https://elsewhere.example/index/"}]}`
	a := y.publish(frame(meta, crateFile(t, "demo", "1.0.0")))
	if a.status != 400 {
		t.Fatalf("%d: %s", a.status, a.body)
	}
	detail := a.detail(t)
	for _, part := range []string{"keywords: ", "repository: ", "no known crate named `absent`", "far comes from the registry", `"*"`, "links: "} {
		if !strings.Contains(detail, part) {
			t.Errorf("nothing about %s in:\n%s", part, detail)
		}
	}
	y.holdsNothing()
}

// Of an archive, too, all is said at once: its entries, its manifest, and what the metadata says otherwise. Of many bad entries some.
func TestPublishNamesAllThatIsWrongInArchive(t *testing.T) {
	y := open(t, nil)
	entries := []entry{
		file("demo-1.0.0/Cargo.toml", manifest("evil", "2.0.0")+"links = \"z\"\n[dependencies]\nhidden = \"1\"\n[lib]\nname = \"demo\"\n"),
		{header: tar.Header{Name: "demo-1.0.0/l", Linkname: "/etc/passwd", Typeflag: tar.TypeSymlink}},
		file("demo-1.0.0/.cargo-ok", ""), file("demo-1.0.0/.cargo-ok", ""),
	}
	for i := range 20 {
		entries = append(entries, file(fmt.Sprintf("elsewhere/%d", i), "x"))
	}
	a := y.publish(frame(metadata("demo", "1.0.0"), archive(t, entries...)))
	if a.status != 400 {
		t.Fatalf("%d: %s", a.status, a.body)
	}
	detail := a.detail(t)
	for _, part := range []string{`the Cargo.toml in the archive "evil"`, `the Cargo.toml in the archive "2.0.0"`, "links: ", "deps: hidden", "no src/lib.rs",
		"links and devices are refused", "by which cargo marks", "a path twice", `outside demo-1.0.0/: "elsewhere/0"`, "13 more entries that break such rules"} {
		if !strings.Contains(detail, part) {
			t.Errorf("nothing about %s in:\n%s", part, detail)
		}
	}
	if lines := strings.Count(detail, "\n") + 1; lines > 40 {
		t.Errorf("%d lines", lines)
	}
	y.holdsNothing()
}

// What a registry asks for, and shows, is what the Cargo.toml in the archive says, whatever the upload says beside it.
func TestPolicyIsAskedOfTheArchive(t *testing.T) {
	y := open(t, func(c *registry.Config) {
		c.Publishing.Profile, c.RateLimits.Mode = registry.ProfileCratesIO, "Disabled"
	})
	upload := func(version, meta, toml string) answer {
		return y.publish(frame(strings.Replace(metadata("demo", version), `"description":null,"license":null`, meta, 1),
			archive(t, file("demo-"+version+"/Cargo.toml", manifest("demo", version)+toml))))
	}
	const said = `"description":"said","license":"MIT","homepage":"https://said.example","keywords":["said"],"categories":["gui"]`
	for want, toml := range map[string]string{
		"description, license: required by this registry": "",
		`license: no SPDX expression such as "MIT`:        "description = \"x\"\nlicense = \"all mine\"\n",
		`homepage: "javascript:alert(1)" must be an`:      "description = \"x\"\nlicense = \"MIT\"\nhomepage = \"javascript:alert(1)\"\n",
		`keywords: 6 keywords, the limit is 5`:            "description = \"x\"\nlicense = \"MIT\"\nkeywords = [\"a\", \"b\", \"c\", \"d\", \"e\", \"f\"]\n",
		`categories: "nonsense" is no category`:           "description = \"x\"\nlicense = \"MIT\"\ncategories = [\"nonsense\"]\n",
		`edition has a NUL character`:                     "description = \"x\"\nlicense = \"MIT\"\nedition = \"20\\u0000\"\n",
	} {
		if a := upload("1.0.0", said, toml); a.status != 400 || !strings.Contains(a.detail(t), want) {
			t.Errorf("%d %s; want %q", a.status, a.body, want)
		}
	}
	y.holdsNothing()
	if a := upload("1.0.0", said, "description = \"meant\"\nlicense = \"GPL-3.0-only\"\nhomepage = \"https://meant.example\"\nkeywords = [\"meant\"]\n"); a.status != 200 {
		t.Fatalf("%d %s", a.status, a.body)
	}
	for _, path := range []string{"/api/v1/crates/demo", "/api/v1/crates/demo/1.0.0", "/api/v1/crates?q=meant"} {
		if a := y.do("GET", path, "", nil); a.status != 200 || strings.Contains(a.body, "said") || !strings.Contains(a.body, "meant") {
			t.Errorf("%s: %d %s", path, a.status, a.body)
		}
	}
	if a := y.do("GET", "/api/v1/crates/demo/1.0.0", "", nil); !strings.Contains(a.body, `"license":"GPL-3.0-only"`) {
		t.Errorf("%s", a.body)
	}
}

// What is no category is passed over and cargo told so; what crates.io only does not have is kept.
func TestCategoriesThatAreNone(t *testing.T) {
	y := open(t, nil)
	long := strings.Repeat("x", 300<<10)
	a := y.publish(y.upload(release{name: "demo", version: "1.0.0", more: map[string]any{"categories": []string{"two words", long, "Acme::tools", "a::::b", "gui"}}}))
	want := fmt.Sprintf(`"invalid_categories":["two words","%.80s","a::::b"]`, long)
	if a.status != 200 || !strings.Contains(a.body, want) || !strings.Contains(a.body, "category `Acme::tools` is not one of crates.io's; it is kept") {
		t.Errorf("%d %s", a.status, a.body)
	}
	if a := y.do("GET", "/api/v1/crates/demo", "", nil); !strings.Contains(a.body, `"categories":["acme::tools","gui"]`) {
		t.Errorf("%.1000s", a.body)
	}
}

// What looks wrong in an archive and breaks no rule is published, and cargo told so; a crate that came from elsewhere was looked at there.
func TestWarningsOfTheArchive(t *testing.T) {
	y := open(t, nil)
	upload := func(version string) []byte {
		return frame(metadata("demo", version), archive(t, file("demo-"+version+"/Cargo.toml", manifest("demo", version)+"readme = \"README.md\"\npublish = false\n")))
	}
	const warnings = `"other":["readme: the Cargo.toml in the archive names \"README.md\", which is no file of the archive",` +
		`"publish: the Cargo.toml in the archive says that the crate is to be published nowhere","the archive has neither a library nor a program, so that cargo cannot use it"]`
	if a := y.publish(upload("1.0.0")); a.status != 200 || !strings.Contains(a.body, warnings) {
		t.Errorf("%d %s", a.status, a.body)
	}
	if a := y.publish(good(t, "sound", "1.0.0")); a.status != 200 || !strings.Contains(a.body, `"other":[]`) {
		t.Errorf("%d %s", a.status, a.body)
	}
}
