package advisory

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/fstest"

	"github.com/crateyard/crateyard/registry/crate"
)

// text is the file of an advisory; lines go into [advisory].
func text(id, pkg, patched, unaffected string, lines ...string) string {
	return fmt.Sprintf("```toml\n[advisory]\nid = %q\npackage = %q\ndate = \"2026-01-31\"\n%s\n[affected]\nos = [\"linux\"]\n[affected.functions]\n\"a::b\" = [\"< 1\"]\n"+
		"[versions]\npatched = [%s]\nunaffected = [%s]\n```\n\n# Trouble in %s\n\nLong text.\n\n# Not the title\n", id, pkg, strings.Join(lines, "\n"), patched, unaffected, pkg)
}

func version(t *testing.T, s string) crate.Version {
	t.Helper()
	v, err := crate.ParseVersion(s)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// The answers are those of the rustsec crate, as its database in the OSV format has them.
func TestAffects(t *testing.T) {
	for _, tc := range []struct{ patched, unaffected, affected, not string }{
		{`">= 1.2.0"`, ``, "1.1.9 1.2.0-rc.1 0.0.0-0 1.2.0-rc.1+b", "1.2.0 1.2.0+b 1.2.1-rc.1 1.3.0-a 2.0.0"},
		{``, ``, "0.0.0-0 1.0.0 99.0.0", ""},
		{`">= 1.2.0"`, `"< 1.1.0"`, "1.1.0 1.1.1-a 1.2.0-a", "1.1.0-rc.1 1.0.0 1.2.0"},
		{`">= 1.2.3, < 1.3.0-0", ">= 1.3.4"`, ``, "1.2.2 1.3.0-a 1.3.0 1.3.3 1.3.4-a", "1.2.3 1.2.99 1.3.4 2.0.0-a"},
		{`"^1.2.3"`, ``, "1.2.2 1.2.3-a 2.0.0-a 2.0.0", "1.2.3 1.9.0 1.9.0-a"},
		{`"1.2.3"`, ``, "1.2.2 2.0.0-a", "1.2.3 1.9.0"},
		{`"^0.2.3"`, ``, "0.2.2 0.3.0-a 0.3.0 1.0.0", "0.2.3 0.2.9 0.2.4-a"},
		{`"^0.0.3"`, ``, "0.0.2 0.0.4-a 0.0.4", "0.0.3"},
		{`"^0.0"`, ``, "0.1.0-a 0.1.0", "0.0.0 0.0.9"},
		{`"^0"`, ``, "1.0.0-a", "0.0.0 0.9.0"},
		{`"~1.2.3"`, ``, "1.3.0-a 1.2.2", "1.2.3 1.2.9"},
		{`"~1.2"`, ``, "1.3.0-a 1.1.9 1.2.0-a", "1.2.0 1.2.9"},
		{`"~1"`, ``, "2.0.0-a 0.9.0", "1.0.0 1.9.9"},
		{`"> 1.0"`, ``, "1.0.0 1.0.0-a 0.9.0", "1.0.1-0 1.0.1 1.1.0"},
		{`"=1.0"`, ``, "1.0.1 0.9.0 1.0.0-a 1.0.1-0", "1.0.0 1.0.0+b"},
		{``, `"<= 0.9"`, "0.9.1-0 0.9.1 1.0.0", "0.9.0 0.8.0 0.9.0-a"},
		{``, `"=0.2.0", "=0.2.1"`, "0.2.2 0.1.9", "0.2.0 0.2.1"},
		{`"*"`, ``, "", "1.0.0 1.0.0-a"},
		{`">= 1.0.0-alpha.2"`, ``, "1.0.0-alpha.1 1.0.0-alpha", "1.0.0-alpha.2 1.0.0-beta 1.0.0"},
		{`"^18446744073709551615"`, ``, "1.0.0", "18446744073709551615.5.0"},
	} {
		db, problems := LoadFiles(map[string][]byte{"crates/a/X.md": []byte(text("X", "a", tc.patched, tc.unaffected))})
		if problems != nil {
			t.Fatal(problems)
		}
		for list, want := range map[string]bool{tc.affected: true, tc.not: false} {
			for _, v := range strings.Fields(list) {
				if got := len(db.About("a", version(t, v))) == 1; got != want {
					t.Errorf("patched %s, unaffected %s: %s affected: %v", tc.patched, tc.unaffected, v, got)
				}
			}
		}
	}
}

func TestLoad(t *testing.T) {
	files := fstest.MapFS{}
	add := func(name, content string) { files[name] = &fstest.MapFile{Data: []byte(content)} }
	add("crates/foo-bar/RUSTSEC-2026-0002.md", text("RUSTSEC-2026-0002", "foo-bar", `">= 2"`, "", `url = "https://example.org"`, `aliases = ["CVE-2026-1", "GHSA-x"]`,
		`related = ["CVE-2026-9"]`, `cvss = "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H"`, `categories = ["x"]`, `keywords = []`, `references = ["https://example.org/2"]`))
	add("crates/foo-bar/RUSTSEC-2026-0001.md", strings.Replace(text("RUSTSEC-2026-0001", "foo-bar", "", "", `informational = "unmaintained"`), "[advisory]\n", "", 1))
	add("crates/foo-bar/RUSTSEC-2026-0003.md", text("RUSTSEC-2026-0003", "foo-bar", "", "", `withdrawn = "2026-02-01"`))
	add("crates/old/RUSTSEC-2016-0001.toml", "[advisory]\nid='RUSTSEC-2016-0001'\npackage='old'\ndate=2016-01-01\ntitle='Old'\npatched_versions=['>= 1']\n")
	add("crates/old/RUSTSEC-2017-0001.toml", "[advisory]\nid='RUSTSEC-2017-0001'\npackage='old'\ntitle='Less old'\n[versions]\npatched=[]\n")
	// What is not read, and what is no advisory.
	add("rust/std/CVE-2020-1.md", text("CVE-2020-1", "std", "", ""))
	add("crates/a/RUSTSEC-0000-0000.md", "draft")
	add("crates/a/.hidden.md", "x")
	add("crates/a/notes.txt", "x")
	add("crates/README.md", "x")
	add("README.md", "x")
	db, problems := Load(files)
	if problems != nil || db.Len() != 4 {
		t.Fatal(db.Len(), problems)
	}
	about := db.About("Foo_Bar", version(t, "1.0.0"))
	if len(about) != 2 || about[0].ID != "RUSTSEC-2026-0001" || about[1].ID != "RUSTSEC-2026-0002" {
		t.Fatalf("%+v", about)
	}
	if a := about[0]; a.Informational != "unmaintained" || a.Severity != Unrated || a.Title != "Trouble in foo-bar" || a.Date != "2026-01-31" {
		t.Errorf("%+v", a)
	}
	if a := about[1]; a.Score != 9.8 || a.Severity != Critical || a.URL != "https://example.org" || !a.Is("cve-2026-1") || !a.Is("rustsec-2026-0002") || a.Is("CVE-2026-9") || !slices.Equal(a.Patched, []string{">= 2"}) {
		t.Errorf("%+v", a)
	}
	if about := db.About("foo-bar", version(t, "2.0.0")); len(about) != 1 {
		t.Errorf("%+v", about)
	}
	if list := db.Of("old"); len(list) != 2 || list[0].Title != "Old" || list[0].Date != "2016-01-01" || list[1].Title != "Less old" || list[0].Affects(version(t, "1.0.0")) || !list[0].Affects(version(t, "0.9.0")) {
		t.Errorf("%+v", list)
	}
	for _, name := range []string{"std", "a", "foo", ""} {
		if list := db.Of(name); list != nil {
			t.Errorf("%s: %+v", name, list)
		}
	}
	if none := (*DB)(nil); none.Len() != 0 || none.About("foo-bar", version(t, "1.0.0")) != nil {
		t.Error("no database has advisories")
	}
}

// A bad file is told by its path, and the others count.
func TestBadFiles(t *testing.T) {
	good := text("X", "good", "", "")
	bad := map[string]struct{ text, want string }{
		"empty":          {"", "begin with ```toml"},
		"no fence":       {"# Title\n", "begin with ```toml"},
		"no end":         {"```toml\n[advisory]\n", "does not end"},
		"no TOML":        {"```toml\n[advisory\n```\n", "its TOML"},
		"type":           {"```toml\n[advisory]\nid = 5\n```\n", "its TOML"},
		"no id":          {text("", "a", "", ""), "advisory.id"},
		"id with spaces": {text("A B", "a", "", ""), "advisory.id"},
		"no package":     {text("X", "", "", ""), "advisory.package"},
		"bad package":    {text("X", "a/../b", "", ""), "advisory.package"},
		"no versions":    {"```toml\n[advisory]\nid = \"X\"\npackage = \"a\"\n```\n", "versions: they are missing"},
		"bad patched":    {text("X", "a", `"latest"`, ""), "versions.patched"},
		"bad unaffected": {text("X", "a", "", `"<"`), "versions.unaffected"},
		"two lower":      {text("X", "a", `">= 1, > 2"`, ""), "two lower bounds"},
		"two upper":      {text("X", "a", `"< 1, <= 2"`, ""), "two upper bounds"},
		"three":          {text("X", "a", `"> 1, < 2, < 3"`, ""), "two upper bounds"},
		"not alone":      {text("X", "a", `"^1, < 1.5"`, ""), "must stand alone"},
		"wildcard":       {text("X", "a", `"1.2.*"`, ""), "versions.patched"},
		"takes nothing":  {text("X", "a", `">= 2, < 1"`, ""), "takes no version"},
		"takes nothing2": {text("X", "a", `"> 2, < 2"`, ""), "takes no version"},
		"too large":      {text("X", "a", "", "") + strings.Repeat("x", MaxFile), "the limit is"},
		"no UTF-8":       {text("X", "a", "", "") + "\xff", "UTF-8"},
		"many":           {text("X", "a", strings.Repeat(`"1",`, maxIntervals+1), ""), "more than"},
		"many aliases":   {text("X", "a", "", "", "aliases = ["+strings.Repeat(`"c",`, maxAliases+1)+"]"), "more than"},
	}
	for name, tc := range bad {
		db, problems := LoadFiles(map[string][]byte{"crates/a/bad.md": []byte(tc.text), "crates/good/X.md": []byte(good)})
		if len(problems) != 1 || !strings.Contains(problems[0].Error(), "crates/a/bad.md: ") || !strings.Contains(problems[0].Error(), tc.want) {
			t.Errorf("%s: %v; want %q", name, problems, tc.want)
		}
		if db.Len() != 1 || db.Of("good") == nil {
			t.Errorf("%s: %d advisories", name, db.Len())
		}
	}
	// What has a vector that cannot be read counts as one without.
	for _, cvss := range []string{"CVSS:2.0/AV:N", "CVSS:3.1/AV:X", "7.5"} {
		db, problems := LoadFiles(map[string][]byte{"crates/a/X.md": []byte(text("X", "a", "", "", fmt.Sprintf("cvss = %q", cvss)))})
		if list := db.Of("a"); len(problems) != 1 || !strings.Contains(problems[0].Error(), "advisory.cvss") || len(list) != 1 || list[0].Severity != Unrated {
			t.Errorf("%s: %v %+v", cvss, problems, list)
		}
	}
}

func TestSeverity(t *testing.T) {
	for vector, want := range map[string]string{
		"CVSS:3.1/AV:L/AC:L/PR:N/UI:N/S:U/C:N/I:N/A:H":                    "Medium 6.2",
		"CVSS:3.0/AV:N/AC:L/PR:N/UI:N/S:U/C:N/I:N/A:H":                    "High 7.5",
		"CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:C/C:H/I:H/A:H":                    "Critical 10.0",
		"CVSS:3.1/AV:P/AC:H/PR:H/UI:R/S:U/C:L/I:N/A:N":                    "Low 1.6",
		"CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:N/I:N/A:N":                    "None 0.0",
		"CVSS:4.0/AV:N/AC:L/AT:N/PR:N/UI:N/VC:H/VI:H/VA:H/SC:N/SI:N/SA:N": "Critical 9.3",
		"CVSS:4.0/AV:L/AC:L/AT:P/PR:L/UI:N/VC:H/VI:H/VA:H/SC:N/SI:N/SA:N": "High 7.3", // an example of the specification's

		"CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:N/I:N/A:H/E:U/RL:O/RC:U/MAV:P/MA:N": "High 7.5", // the base score alone
	} {
		db, problems := LoadFiles(map[string][]byte{"crates/a/X.md": []byte(text("X", "a", "", "", fmt.Sprintf("cvss = %q", vector)))})
		if problems != nil {
			t.Fatal(problems)
		}
		a := db.Of("a")[0]
		if got := fmt.Sprintf("%v %.1f", a.Severity, a.Score); got != want {
			t.Errorf("%s: %s, want %s", vector, got, want)
		}
	}
}

func TestNoDatabase(t *testing.T) {
	for name, files := range map[string]fstest.MapFS{
		"nothing":      {},
		"no advisory":  {"crates/a/readme.txt": {Data: []byte("x")}},
		"only bad":     {"crates/a/X.md": {Data: []byte("x")}},
		"a file":       {"crates": {Data: []byte("x")}},
		"other folder": {"advisories/a/X.md": {Data: []byte(text("X", "a", "", ""))}},
	} {
		db, problems := Load(files)
		if db != nil || len(problems) == 0 || !strings.Contains(errors.Join(problems...).Error(), "this is no advisory database") {
			t.Errorf("%s: %v %v", name, db, problems)
		}
	}
	// All withdrawn is a database without advisories.
	if db, problems := LoadFiles(map[string][]byte{"crates/a/X.md": []byte(text("X", "a", "", "", "withdrawn = \"2026-01-01\""))}); db == nil || db.Len() != 0 || problems != nil {
		t.Error(db, problems)
	}
}

// What a folder may hold besides: links are followed, as volumes of Kubernetes need it; a pipe is not waited for.
func TestFolder(t *testing.T) {
	dir := t.TempDir()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(os.MkdirAll(filepath.Join(dir, "data", "crates", "a"), 0o755))
	must(os.WriteFile(filepath.Join(dir, "data", "crates", "a", "X.md"), []byte(text("X", "a", "", "")), 0o644))
	must(os.WriteFile(filepath.Join(dir, "data", "Y"), []byte(text("Y", "a", "", "")), 0o644))
	must(os.Symlink("../../Y", filepath.Join(dir, "data", "crates", "a", "Y.md")))
	must(os.Symlink("nowhere", filepath.Join(dir, "data", "crates", "a", "Z.md")))
	must(syscall.Mkfifo(filepath.Join(dir, "data", "crates", "a", "pipe.md"), 0o644))
	must(os.WriteFile(filepath.Join(dir, "data", "crates", "a", "huge.md"), nil, 0o644))
	must(os.Truncate(filepath.Join(dir, "data", "crates", "a", "huge.md"), 1<<40))
	must(os.Symlink("data", filepath.Join(dir, "now")))
	db, problems := Load(os.DirFS(filepath.Join(dir, "now")))
	if db.Len() != 2 || len(problems) != 2 || !errors.Is(errors.Join(problems...), fs.ErrNotExist) || !strings.Contains(errors.Join(problems...).Error(), "huge.md: it has") {
		t.Error(db.Len(), problems)
	}
}

// sealed is a folder in which one folder cannot be listed.
type sealed struct {
	fstest.MapFS
	name string
}

func (s sealed) ReadDir(name string) ([]fs.DirEntry, error) {
	if name == s.name {
		return nil, fs.ErrPermission
	}
	return s.MapFS.ReadDir(name)
}

// What is known of a crate stays while its folder cannot be listed.
func TestFolderThatCannotBeListed(t *testing.T) {
	files := fstest.MapFS{}
	for _, name := range []string{"a", "b"} {
		files["crates/"+name+"/X.md"] = &fstest.MapFile{Data: []byte(text("X", name, "", ""))}
	}
	before, _ := Load(files)
	after, problems := Load(sealed{files, "crates/a"})
	if len(problems) != 1 || !strings.Contains(problems[0].Error(), "crates/a: ") {
		t.Error(problems)
	}
	if !after.With(before).Same(before) {
		t.Errorf("of %d advisories %d are left", before.Len(), after.With(before).Len())
	}
	delete(files, "crates/a/X.md") // which is another thing
	if after, _ = Load(files); after.With(before).Len() != 1 {
		t.Error("what was removed stays")
	}
}

// Of thousands of problems some are told, and the rest counted.
func TestManyProblems(t *testing.T) {
	files := map[string][]byte{}
	for i := range 2 * maxProblems {
		files[fmt.Sprintf("crates/a/%d.md", i)] = []byte("x")
	}
	files["crates/b/X.md"] = []byte(text("X", "b", "", ""))
	db, problems := LoadFiles(files)
	if db.Len() != 1 || len(problems) != maxProblems+1 || problems[maxProblems].Error() != fmt.Sprintf("and %d more", maxProblems) {
		t.Error(db.Len(), len(problems), problems[len(problems)-1])
	}
}

// Whatever a file is, reading it ends, with an advisory that has what the rest of the server relies on, or an error.
func FuzzParse(f *testing.F) {
	for _, s := range []string{text("X", "a", `">= 1"`, `"< 0.5"`, `cvss = "CVSS:3.1/AV:L/AC:L/PR:N/UI:N/S:U/C:N/I:N/A:H"`), "```toml\n```", "```toml\nid=1\n```\n# t", "", "```toml\n[advisory]\nwithdrawn=false\n"} {
		f.Add([]byte(s), "1.2.3")
	}
	f.Fuzz(func(t *testing.T, data []byte, v string) {
		a, err := parse("crates/a/X.md", data)
		if a == nil {
			return
		}
		if a.ID == "" || crate.CheckDependencyName(a.Package) != nil || len(a.safe) != len(a.Patched)+len(a.Unaffected) || (a.Severity == Unrated) != (a.CVSS == "") {
			t.Errorf("%v: %+v", err, a)
		}
		if v, err := crate.ParseVersion(v); err == nil {
			a.Affects(v)
		}
	})
}

func TestCheckSource(t *testing.T) {
	for _, s := range []string{"/var/lib/advisory-db", "https://github.com/rustsec/advisory-db", "https://git.example.org:8443/db.git", "http://git.default.svc/db", "file:///srv/db", "http://127.0.0.1:8000/db", "http://localhost/db"} {
		folder := strings.HasSuffix(Folder(s), "db") && Folder(s)[0] == '/'
		if err := CheckSource(s); err != nil || IsFolder(s) != folder || Unguarded(s) != strings.Contains(s, "default.svc") {
			t.Errorf("%s: %v", s, err)
		}
	}
	for s, want := range map[string]string{"": "empty", "advisory-db": "must be a folder", "./db": "must be a folder", "git@github.com:rustsec/advisory-db": "must be a folder", "ssh://git@h/db": "must be a folder",
		"file:db": "must be a folder", "file://host/db": "must be a folder", "https://": "no git address", "https:///db": "no git address", "https://h/db?x": "no git address", "https://h/db?": "no git address", "https://h/db#main": "no git address", "/db\n": "control",
		"https://h/%zz": "must be a folder", "https://me:secret@h/db": "may not have a user", "https://secret@h/db": "may not have a user"} {
		if err := CheckSource(s); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%q: %v, want %q", s, err, want)
		}
	}
}
