package importer_test

import (
	"bytes"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	_ "modernc.org/sqlite"

	"github.com/crateyard/crateyard/registry/client"
	"github.com/crateyard/crateyard/registry/importer"
	"github.com/crateyard/crateyard/test/serve"
	"github.com/crateyard/crateyard/test/upload"
)

func start(t *testing.T, flags ...string) *serve.Server {
	t.Helper()
	s, err := serve.Start(t.TempDir(), flags...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Stop(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func write(t *testing.T, file string, data []byte) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, data, 0o600); err != nil {
		t.Fatal(err)
	}
}

// run imports and wants so many versions imported, there already, and failed.
func run(t *testing.T, to *serve.Server, s importer.Source, own string, imported, present, failed int) importer.Report {
	t.Helper()
	i := &importer.Importer{Target: client.New(to.URL, to.AdminToken), Registries: map[string]string{own: "", "sparse+" + own: ""}}
	r, err := i.Run(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	if r.Imported != imported || r.Present != present || r.Failed != failed {
		t.Errorf("%+v; want %d imported, %d present, %d failed", r, imported, present, failed)
	}
	return r
}

// cargo publishes and builds in a fresh CARGO_HOME that knows the registry as "yard".
func cargo(t *testing.T, s *serve.Server, dir string, args ...string) {
	t.Helper()
	cmd := exec.Command("cargo", args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "CARGO_HOME="+t.TempDir(), "CARGO_REGISTRIES_YARD_INDEX=sparse+"+s.URL+"/index/", "CARGO_REGISTRIES_YARD_TOKEN="+s.AdminToken,
		"CARGO_REGISTRY_GLOBAL_CREDENTIAL_PROVIDERS=cargo:token")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("cargo %v: %v\n%s", args, err, out)
	}
}

func project(t *testing.T, name, version, more string) string {
	t.Helper()
	dir := t.TempDir()
	write(t, filepath.Join(dir, "Cargo.toml"), fmt.Appendf(nil, "[package]\nname = %q\nversion = %q\nedition = \"2021\"\nrust-version = \"1.70\"\nreadme = \"README.md\"\n%s", name, version, more))
	write(t, filepath.Join(dir, "src/lib.rs"), []byte("pub fn one() -> u32 { 1 }\n"))
	write(t, filepath.Join(dir, "README.md"), []byte("# Read "+name+"\n"))
	return dir
}

// A whole registry moves, as cargo left it there, and cargo builds from the new one with the lockfile of the old one's checksums.
func TestSparse(t *testing.T) {
	old, yard := start(t), start(t)
	c := serve.NewClient(old.URL, old.AdminToken)
	cargo(t, old, project(t, "acme-core", "1.0.0", ""), "publish", "--registry", "yard", "--allow-dirty")
	cargo(t, old, project(t, "acme-core", "1.1.0", ""), "publish", "--registry", "yard", "--allow-dirty")
	cargo(t, old, project(t, "acme-app", "0.1.0", "[dependencies]\nacme-core = { version = \"1\", registry = \"yard\", optional = true }\n[features]\nx = [\"dep:acme-core\"]\n"),
		"publish", "--registry", "yard", "--allow-dirty")
	if status, text, err := c.Do("DELETE", "/api/v1/crates/acme-core/1.1.0/yank", nil); err != nil || status != 200 {
		t.Fatal(status, string(text), err)
	}
	source := importer.Sparse{Index: "sparse+" + old.URL + "/index/", HTTP: http.DefaultClient}
	run(t, yard, source, "", 3, 0, 0) // whose own crates are which, its index says
	d := serve.NewClient(yard.URL, yard.AdminToken)
	for _, path := range []string{"/index/ac/me/acme-core", "/index/ac/me/acme-app", "/crates/acme-core/1.0.0/download", "/crates/acme-app/0.1.0/download",
		"/api/v1/crates/acme-app/0.1.0/readme"} {
		_, want, err := c.Do("GET", path, nil)
		if err != nil {
			t.Fatal(err)
		}
		status, got, err := d.Do("GET", path, nil)
		if err != nil || status != 200 || string(got) != string(want) {
			t.Errorf("%s: %d %v\n got %.600s\nwant %.600s", path, status, err, got, want)
		}
	}
	user := project(t, "user", "0.1.0", "[dependencies]\nacme-app = { version = \"0.1\", registry = \"yard\", features = [\"x\"] }\n")
	cargo(t, yard, user, "build")
	run(t, yard, source, old.URL+"/index/", 0, 3, 0)
	// A yank that came later comes along, too.
	if status, text, err := c.Do("DELETE", "/api/v1/crates/acme-core/1.0.0/yank", nil); err != nil || status != 200 {
		t.Fatal(status, string(text), err)
	}
	run(t, yard, source, old.URL+"/index/", 0, 3, 0)
	if _, text, err := d.Do("GET", "/index/ac/me/acme-core", nil); err != nil || strings.Count(string(text), `"yanked":true`) != 2 {
		t.Errorf("%v %s", err, text)
	}
	one := source
	one.Names = []string{"acme-core", "not-there"}
	if r := run(t, start(t), one, old.URL+"/index/", 2, 0, 1); r.Failures[0].Crate != "not-there" {
		t.Errorf("%+v", r)
	}
}

// A private registry gives its crates to who has a token, and says what is missing to who has none.
func TestSparsePrivate(t *testing.T) {
	old, yard := start(t, "--anonymous-read", "Disabled"), start(t)
	if status, text, err := serve.NewClient(old.URL, old.AdminToken).Do("PUT", "/api/v1/crates/new", upload.New("demo", "1.0.0", nil).Frame); err != nil || status != 200 {
		t.Fatal(status, string(text), err)
	}
	source := importer.Sparse{Index: old.URL + "/index/", HTTP: http.DefaultClient}
	i := &importer.Importer{Target: client.New(yard.URL, yard.AdminToken)}
	if _, err := i.Run(t.Context(), source); err == nil || !strings.Contains(err.Error(), "--source-token-file") {
		t.Errorf("without a token: %v", err)
	}
	source.Token = old.AdminToken
	run(t, yard, source, "", 1, 0, 0)
}

func TestFolder(t *testing.T) {
	yard, dir := start(t), t.TempDir()
	for _, v := range []string{"1.10.0", "1.9.0", "1.9.0-rc.1"} {
		c := upload.New("demo", v, nil)
		write(t, filepath.Join(dir, "a", c.SHA256+".crate"), c.Archive)
	}
	write(t, filepath.Join(dir, "broken.crate"), []byte("no archive"))
	write(t, filepath.Join(dir, "notes.txt"), []byte("no crate"))
	r := run(t, yard, importer.Folder{Dir: dir}, "", 3, 0, 1)
	if !strings.HasSuffix(r.Failures[0].Crate, "broken.crate") {
		t.Errorf("%+v", r)
	}
	lines, err := client.New(yard.URL, "").IndexLines(t.Context(), "demo")
	if err != nil || len(lines) != 3 || lines[0].Vers != "1.9.0-rc.1" || lines[2].Vers != "1.10.0" {
		t.Errorf("%+v %v", lines, err)
	}
	// A feature may enable nothing.
	empty := t.TempDir()
	write(t, filepath.Join(empty, "empty.crate"), upload.NewWith("empty", "1.0.0", "[features]\ndefault = []\n").Archive)
	run(t, yard, importer.Folder{Dir: empty}, "", 1, 0, 0)
	// Other bytes under a number that is taken are a failure, and change nothing.
	other := t.TempDir()
	write(t, filepath.Join(other, "demo.crate"), upload.New("demo", "1.9.0", []byte("// other")).Archive)
	if r := run(t, yard, importer.Folder{Dir: other}, "", 0, 0, 1); !strings.Contains(r.Failures[0].Reason, "other bytes") || !strings.HasPrefix(r.Failures[0].Reason, filepath.Join(other, "demo.crate")+": ") {
		t.Errorf("%+v", r)
	}
	// A file that is cut off is named, and the whole one of the same version is imported beside it.
	cut, c := t.TempDir(), upload.New("half", "1.0.0", bytes.Repeat([]byte("// half and half\n"), 10_000))
	write(t, filepath.Join(cut, "a.crate"), c.Archive[:len(c.Archive)-9])
	write(t, filepath.Join(cut, "b.crate"), c.Archive)
	if r := run(t, yard, importer.Folder{Dir: cut}, "", 1, 0, 1); !strings.HasPrefix(r.Failures[0].Reason, filepath.Join(cut, "a.crate")+": ") {
		t.Errorf("%+v", r)
	}
}

func line(t *testing.T, c upload.Crate, more map[string]any) string {
	t.Helper()
	l := map[string]any{"name": c.Name, "vers": c.Version, "deps": []any{}, "cksum": c.SHA256, "features": map[string]any{}, "yanked": false}
	for k, v := range more {
		l[k] = v
	}
	text, err := json.Marshal(l)
	if err != nil {
		t.Fatal(err)
	}
	return string(text) + "\n"
}

func TestMeuse(t *testing.T) {
	yard, store, clone := start(t), t.TempDir(), t.TempDir()
	a, b, lost, cached := upload.New("demo", "1.0.0", nil), upload.New("demo", "1.1.0", nil), upload.New("demo", "1.2.0", nil), upload.New("serde", "1.0.0", nil)
	for _, c := range []upload.Crate{a, b} {
		write(t, filepath.Join(store, c.Name, c.Version, "download"), c.Archive)
	}
	write(t, filepath.Join(store, ".crates.io", "serde", "1.0.0", "download"), cached.Archive)
	write(t, filepath.Join(clone, "config.json"), []byte(`{"dl":"x","api":"y"}`))
	write(t, filepath.Join(clone, ".git", "HEAD"), []byte("ref: refs/heads/master\n"))
	write(t, filepath.Join(clone, "de", "mo", "demo"), []byte(line(t, a, nil)+line(t, b, map[string]any{"yanked": true})+line(t, lost, nil)))
	unlisted := upload.New("demo", "1.3.0", nil) // its publish came no further than the folder
	write(t, filepath.Join(store, "demo", "1.3.0", "download"), unlisted.Archive)
	write(t, filepath.Join(store, "other", "0.1.0", "download"), unlisted.Archive)
	r := run(t, yard, importer.Meuse{Store: store, Index: clone}, "", 2, 0, 1)
	if f := r.Failures[0]; f.Version != "1.2.0" || !strings.Contains(f.Reason, "no archive") {
		t.Errorf("%+v", r)
	}
	slices.SortFunc(r.Unlisted, func(a, b importer.Failure) int { return strings.Compare(a.Crate, b.Crate) })
	if u := r.Unlisted; len(u) != 2 || u[0].Crate+u[0].Version != "demo1.3.0" || u[1].Crate != "other" || !strings.Contains(u[0].Reason, "index does not name it") {
		t.Errorf("%+v", u)
	}
	lines, err := client.New(yard.URL, "").IndexLines(t.Context(), "demo")
	if err != nil || len(lines) != 2 || lines[0].Yanked || !lines[1].Yanked || lines[1].Cksum != b.SHA256 {
		t.Errorf("%+v %v", lines, err)
	}
}

// A source without crates is the wrong one, and told with what was expected.
func TestNothingToImport(t *testing.T) {
	yard, empty, clone := start(t), t.TempDir(), t.TempDir()
	write(t, filepath.Join(clone, "config.json"), []byte(`{"dl":"x","api":"y"}`))
	cached := t.TempDir()
	if err := os.Mkdir(filepath.Join(cached, ".crates.io"), 0o755); err != nil {
		t.Fatal(err)
	}
	meuse := t.TempDir()
	write(t, filepath.Join(meuse, "demo", "1.0.0", "download"), upload.New("demo", "1.0.0", nil).Archive)
	none := filepath.Join(empty, "none")
	target := client.New(yard.URL, yard.AdminToken)
	for _, tc := range []struct {
		source importer.Source
		says   string
	}{
		{importer.Folder{Dir: empty}, "there is no .crate file in " + empty},
		{importer.Folder{Dir: meuse}, "crateyard import meuse"},
		{importer.Folder{Dir: none}, "no such file"},
		{importer.Meuse{Store: meuse, Index: empty}, "there is no config.json in " + empty + ": --index is a clone of Meuse's git index"},
		{importer.Meuse{Store: meuse, Index: none}, "there is no config.json in " + none},
		{importer.Meuse{Store: none, Index: clone}, "--store, crate.path of Meuse's configuration: "},
		{importer.Meuse{Store: meuse, Index: clone}, "names no crates"},
		{importer.MeuseMirror{Dir: empty}, "crate.path of Meuse's configuration"},
		{importer.MeuseMirror{Dir: none}, none + string(filepath.Separator) + ".crates.io: no such file"},
		{importer.MeuseMirror{Dir: cached}, "there is nothing in " + cached},
		{importer.Kellnr{Dir: empty}, "there is no db.sqlite in " + empty + ": say Kellnr's data folder"},
		{importer.Sparse{Index: start(t).URL + "/index/", HTTP: http.DefaultClient}, "search lists no crates"},
	} {
		var run func() (importer.Report, error)
		if _, isMirror := tc.source.(importer.MeuseMirror); isMirror {
			run = func() (importer.Report, error) {
				return (&importer.MirrorImporter{Target: target, Mirror: "m"}).Run(t.Context(), tc.source)
			}
		} else {
			run = func() (importer.Report, error) {
				return (&importer.Importer{Target: target}).Run(t.Context(), tc.source)
			}
		}
		r, err := run()
		var source *importer.SourceError
		if !errors.As(err, &source) || !strings.Contains(err.Error(), tc.says) || r.Crates+r.Failed > 0 {
			t.Errorf("%T %+v: %+v %v; want %q", tc.source, tc.source, r, err, tc.says)
		}
	}
}

// The tables are those of Kellnr 6, as far as they are read.
func TestKellnr(t *testing.T) {
	yard, dir := start(t), t.TempDir()
	a, b := upload.New("My_Crate", "1.0.0", nil), upload.New("My_Crate", "1.0.1", nil)
	for _, c := range []upload.Crate{a, b} {
		write(t, filepath.Join(dir, "crates", c.Name+"-"+c.Version+".crate"), c.Archive)
	}
	db, err := sql.Open("sqlite", filepath.Join(dir, "db.sqlite"))
	if err != nil {
		t.Fatal(err)
	}
	for _, stmt := range []string{
		"CREATE TABLE krate (id integer PRIMARY KEY, name text, original_name text, restricted_download boolean)",
		"CREATE TABLE crate_index (id integer PRIMARY KEY, name text, vers text, deps blob, cksum text, features blob, yanked boolean, links text, v integer, crate_fk integer)",
		"CREATE TABLE crate_meta (id integer PRIMARY KEY, version text, created text, downloads integer, crate_fk integer)",
		"INSERT INTO krate VALUES (1, 'my_crate', 'My_Crate', 0)",
		"INSERT INTO crate_index VALUES (1, 'my_crate', '1.0.0', '[]', '" + a.SHA256 + "', '{}', 1, NULL, 1, 1), (2, 'my_crate', '1.0.1', '[]', '" + b.SHA256 + "', '{}', 0, NULL, 1, 1)",
		"INSERT INTO crate_meta VALUES (1, '1.0.0', '2024-03-01 10:20:30', 5, 1), (2, '1.0.1', '2024-03-02 10:20:30.123456 UTC', 5, 1)",
	} {
		if _, err := db.ExecContext(t.Context(), stmt); err != nil {
			t.Fatal(err)
		}
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	run(t, yard, importer.Kellnr{Dir: dir}, "", 2, 0, 0)
	_, text, err := serve.NewClient(yard.URL, "").Do("GET", "/index/my/_c/my_crate", nil)
	if err != nil || !strings.Contains(string(text), `"vers":"1.0.0"`) || strings.Count(string(text), `"yanked":true`) != 1 ||
		!strings.Contains(string(text), `"pubtime":"2024-03-01T10:20:30Z"`) || !strings.Contains(string(text), `"pubtime":"2024-03-02T10:20:30Z"`) {
		t.Errorf("%v\n%s", err, text)
	}
	if _, err := (&importer.Importer{Target: client.New(yard.URL, yard.AdminToken)}).Run(t.Context(), importer.Kellnr{Dir: t.TempDir()}); err == nil {
		t.Error("a folder without a database is taken")
	}
}
