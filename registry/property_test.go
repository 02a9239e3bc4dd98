package registry_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/crateyard/crateyard/registry/client"
	"github.com/crateyard/crateyard/registry/crate"
	"github.com/crateyard/crateyard/registry/index"
	"github.com/crateyard/crateyard/registry/wire"
)

// Whatever people do to crates in whatever order, the index says what a simple model says, byte for byte, each request is
// answered as the model would, a restart changes nothing, and the git index has the same files.
func TestIndexFollowsModel(t *testing.T) {
	y := open(t, nil)
	tokens := map[string]string{"admin": y.admin, "alice": y.alice}
	for _, name := range []string{"bob", "carol"} {
		if _, err := client.New(y.url, y.admin).CreateUser(t.Context(), wire.CreateUser{Name: name, Role: "publisher"}); err != nil {
			t.Fatal(err)
		}
		tokens[name] = y.token(name, nil)
	}
	var all []*model
	rapid.Check(t, func(rt *rapid.T) {
		m := &model{y: y, tokens: tokens, prefix: fmt.Sprintf("p%d-", len(all)), crates: map[string]*modelCrate{}, blocked: map[string]bool{}}
		all = append(all, m)
		rt.Repeat(map[string]func(*rapid.T){
			"publish":      m.publish,
			"publish more": m.publish, // so that there is something to act on
			"yank":         func(rt *rapid.T) { m.yank(rt, "DELETE", "yank", true) },
			"unyank":       func(rt *rapid.T) { m.yank(rt, "PUT", "unyank", false) },
			"add owner":    func(rt *rapid.T) { m.owner(rt, "PUT") },
			"remove owner": func(rt *rapid.T) { m.owner(rt, "DELETE") },
			"delete":       m.deleteVersion,
			"delete crate": m.deleteCrate,
			"":             func(rt *rapid.T) { m.compare(rt) },
		})
	})
	if err := y.stop(); err != nil {
		t.Fatal(err)
	}
	again := openIn(t, y.data, nil)
	checkout := filepath.Join(t.TempDir(), "index")
	if out, err := exec.CommandContext(t.Context(), "git", "clone", "--quiet", again.url+"/git/index", checkout).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, m := range all {
		m.y = again
		m.compare(t)
		for name, c := range m.crates {
			inGit, err := os.ReadFile(filepath.Join(checkout, filepath.FromSlash(index.Path(name))))
			if err != nil && !errors.Is(err, fs.ErrNotExist) || string(inGit) != c.file(name) {
				t.Errorf("git index of %s, %v:\n%s\nwant\n%s", name, err, inGit, c.file(name))
			}
			for _, v := range c.versions {
				if v.deleted {
					continue
				}
				if a := again.do("GET", "/crates/"+name+"/"+v.vers+"/download", "", nil); a.status != 200 || sha256Hex(a.body) != v.cksum {
					t.Errorf("download of %s %s: %d, %d bytes", name, v.vers, a.status, len(a.body))
				}
			}
		}
	}
}

// model is what one run should find: its crates, whose names begin with a prefix that no other run has.
type model struct {
	y      *yard
	tokens map[string]string // of the users, who are the same in all runs
	prefix string
	crates map[string]*modelCrate // by name

	blocked map[string]bool // canonical names of deleted crates
}

type modelCrate struct {
	owners   []string // in the order of their ids: admin, alice, bob, carol
	versions []*modelVersion
}

type modelVersion struct {
	vers, cksum, pubtime string
	yanked, deleted      bool
	form                 form
}

// form is what a version may be made of, in the three languages in which it is said; in the line, CKSUM, YANKED and PUBTIME
// stand for what differs.
type form struct{ manifest, metadata, line string }

var forms = []form{
	{"", `"deps":[],"features":{}`, `"deps":[],"cksum":CKSUM,"features":{},"yanked":YANKED,"pubtime":PUBTIME`},
	{"links = \"z\"\nrust-version = \"1.70\"\n", `"deps":[],"features":{},"links":"z","rust_version":"1.70"`,
		`"deps":[],"cksum":CKSUM,"features":{},"yanked":YANKED,"links":"z","rust_version":"1.70","pubtime":PUBTIME`},
	{"[dependencies.b]\nversion = \"1\"\npackage = \"a\"\noptional = true\n[features]\nx = [\"dep:b\"]\n",
		`"deps":[{"name":"a","explicit_name_in_toml":"b","version_req":"^1","optional":true,"default_features":true,"features":[],"kind":"normal",
			"registry":"https://github.com/rust-lang/crates.io-index"}],"features":{"x":["dep:b"]}`,
		`"deps":[{"name":"b","req":"^1","features":[],"optional":true,"default_features":true,"target":null,"kind":"normal",` +
			`"registry":"https://github.com/rust-lang/crates.io-index","package":"a"}],"cksum":CKSUM,"features":{},"features2":{"x":["dep:b"]},"yanked":YANKED,"pubtime":PUBTIME,"v":2`},
}

var (
	modelUsers    = []string{"admin", "alice", "bob", "carol"}
	modelCrates   = []string{"demo", "De_mo-2", "de-mo_2", "x"} // the two in the middle are one crate, which is spelled by who comes first
	modelVersions = []string{"1.0.0", "1.0.0+b.1", "1.0.0-rc.1", "0.9.0", "2.0.0"}
)

func (m *model) publish(rt *rapid.T) {
	user, name := m.draw(rt)
	v := &modelVersion{vers: rapid.SampledFrom(modelVersions).Draw(rt, "version"), form: rapid.SampledFrom(forms).Draw(rt, "form")}
	dir := name + "-" + v.vers + "/"
	packed := archive(m.y.t, file(dir+"Cargo.toml", manifest(name, v.vers)+v.form.manifest), file(dir+"src/lib.rs", user))
	v.cksum = sha256Hex(string(packed))
	body := frame(fmt.Sprintf(`{"name":%q,"vers":%q,%s}`, name, v.vers, v.form.metadata), packed)
	begin := time.Now()
	a := m.y.do("PUT", "/api/v1/crates/new", m.tokens[user], bytes.NewReader(body))
	m.expect(rt, a, m.mayPublish(user, name, v.vers))
	if a.status != 200 {
		return
	}
	if m.crates[name] == nil {
		m.crates[name] = &modelCrate{owners: []string{user}}
	}
	c := m.crates[name]
	c.versions = append(c.versions, v)
	v.pubtime = m.pubtime(rt, name, begin)
}

func (m *model) mayPublish(user, name, vers string) int {
	if m.blocked[crate.Canonical(name)] {
		return 409
	}
	for other := range m.crates {
		if other != name && crate.Canonical(other) == crate.Canonical(name) {
			return 409
		}
	}
	c := m.crates[name]
	if c == nil {
		return 200
	}
	if !c.allows(user) {
		return 403
	}
	release, _, _ := strings.Cut(vers, "+")
	for _, v := range c.versions {
		if r, _, _ := strings.Cut(v.vers, "+"); r == release {
			return 409
		}
	}
	return 200
}

// pubtime takes the time of the last line from the index; it must lie between the request and now, in whole seconds of UTC.
func (m *model) pubtime(rt *rapid.T, name string, begin time.Time) string {
	lines := strings.Split(strings.TrimSpace(m.file(name).body), "\n")
	var last struct{ Pubtime string }
	if err := json.Unmarshal([]byte(lines[len(lines)-1]), &last); err != nil {
		rt.Fatal(err)
	}
	at, err := time.Parse("2006-01-02T15:04:05Z", last.Pubtime)
	if err != nil || at.Before(begin.Truncate(time.Second)) || at.After(time.Now()) {
		rt.Fatalf("published at %s after %s, %v", last.Pubtime, begin, err)
	}
	return last.Pubtime
}

func (m *model) yank(rt *rapid.T, method, verb string, yanked bool) {
	user, name := m.draw(rt)
	vers := rapid.SampledFrom(modelVersions).Draw(rt, "version")
	c := m.find(name)
	var found *modelVersion
	want := 404
	if c != nil && !c.allows(user) {
		want = 403
	} else if c != nil {
		if i := slices.IndexFunc(c.versions, func(v *modelVersion) bool { return v.vers == vers && !v.deleted }); i >= 0 {
			found, want = c.versions[i], 200
		}
	}
	m.expect(rt, m.y.do(method, "/api/v1/crates/"+name+"/"+vers+"/"+verb, m.tokens[user], nil), want)
	if found != nil {
		found.yanked = yanked
	}
}

// deleteVersion takes a version out of the index; its number stays taken.
func (m *model) deleteVersion(rt *rapid.T) {
	user, name := m.draw(rt)
	vers := rapid.SampledFrom(modelVersions).Draw(rt, "version")
	want := 404
	if c := m.find(name); user != "admin" {
		want = 403
	} else if c != nil {
		if i := slices.IndexFunc(c.versions, func(v *modelVersion) bool { return v.vers == vers && !v.deleted }); i >= 0 {
			c.versions[i].deleted, want = true, 204
		}
	}
	m.expect(rt, m.y.do("DELETE", "/api/v1/crates/"+name+"/"+vers, m.tokens[user], nil), want)
}

// deleteCrate takes a crate away; its name is blocked for longer than the test runs.
func (m *model) deleteCrate(rt *rapid.T) {
	user, name := m.draw(rt)
	want := 404
	if user != "admin" {
		want = 403
	} else if m.find(name) != nil {
		maps.DeleteFunc(m.crates, func(n string, _ *modelCrate) bool { return crate.Canonical(n) == crate.Canonical(name) })
		m.blocked[crate.Canonical(name)] = true
		want = 204
	}
	m.expect(rt, m.y.do("DELETE", "/api/v1/crates/"+name, m.tokens[user], nil), want)
}

func (m *model) owner(rt *rapid.T, method string) {
	user, name := m.draw(rt)
	other := rapid.SampledFrom(modelUsers).Draw(rt, "owner")
	c := m.find(name)
	want := 200
	switch {
	case c == nil:
		want = 404
	case !c.allows(user):
		want = 403
	case method == "PUT" && slices.Contains(c.owners, other):
		want = 409
	case method == "DELETE" && (!slices.Contains(c.owners, other) || len(c.owners) == 1):
		want = 400
	}
	m.expect(rt, m.y.do(method, "/api/v1/crates/"+name+"/owners", m.tokens[user], strings.NewReader(fmt.Sprintf(`{"users":[%q]}`, other))), want)
	if want != 200 {
		return
	}
	if c.owners = slices.DeleteFunc(c.owners, func(o string) bool { return o == other }); method == "PUT" {
		c.owners = append(c.owners, other)
		slices.Sort(c.owners)
	}
}

// find finds a crate in any spelling.
func (m *model) find(name string) *modelCrate {
	for n, c := range m.crates {
		if crate.Canonical(n) == crate.Canonical(name) {
			return c
		}
	}
	return nil
}

func (c *modelCrate) allows(user string) bool {
	return user == "admin" || slices.Contains(c.owners, user)
}

func (m *model) draw(rt *rapid.T) (user, name string) {
	return rapid.SampledFrom(modelUsers).Draw(rt, "user"), m.prefix + rapid.SampledFrom(modelCrates).Draw(rt, "crate")
}

func (m *model) expect(rt *rapid.T, a answer, want int) {
	if a.status != want {
		rt.Fatalf("%d %s; the model says %d", a.status, a.body, want)
	}
}

// file is the index file of a crate. All names here have four letters and more.
func (m *model) file(name string) answer {
	lower := strings.ToLower(name)
	return m.y.do("GET", "/index/"+lower[:2]+"/"+lower[2:4]+"/"+lower, "", nil)
}

// failer is what testing.T and rapid.T share.
type failer interface{ Fatalf(string, ...any) }

// compare holds index and owners of each crate against the model.
func (m *model) compare(t failer) {
	for _, short := range modelCrates {
		name := m.prefix + short
		a, c := m.file(name), m.crates[name]
		if c == nil {
			if a.status != 404 {
				t.Fatalf("%s does not exist: %d %s", name, a.status, a.body)
			}
			continue
		}
		if want := c.file(name); want == "" && a.status != 404 || want != "" && (a.status != 200 || a.body != want) {
			t.Fatalf("index of %s: %d\n got %s\nwant %s", name, a.status, a.body, want)
		}
		var owners struct{ Users []struct{ Login string } }
		list := m.y.do("GET", "/api/v1/crates/"+name+"/owners", "", nil)
		if err := json.Unmarshal([]byte(list.body), &owners); err != nil {
			t.Fatalf("owners of %s: %v", name, err)
		}
		var logins []string
		for _, u := range owners.Users {
			logins = append(logins, u.Login)
		}
		if !slices.Equal(logins, c.owners) {
			t.Fatalf("owners of %s: %q, the model says %q", name, logins, c.owners)
		}
	}
}

// file is the crate's file in the index; empty when there is none.
func (c *modelCrate) file(name string) string {
	var lines strings.Builder
	for _, v := range c.versions {
		if !v.deleted {
			lines.WriteString(v.lineOf(name))
		}
	}
	return lines.String()
}

func (v *modelVersion) lineOf(name string) string {
	values := strings.NewReplacer("CKSUM", strconv.Quote(v.cksum), "YANKED", strconv.FormatBool(v.yanked), "PUBTIME", strconv.Quote(v.pubtime))
	return fmt.Sprintf(`{"name":%q,"vers":%q,%s}`+"\n", name, v.vers, values.Replace(v.form.line))
}
