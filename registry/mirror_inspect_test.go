package registry_test

import (
	"crypto/rand"
	"fmt"
	"strings"
	"testing"

	"github.com/crateyard/crateyard/registry"
	"github.com/crateyard/crateyard/registry/client"
	"github.com/crateyard/crateyard/registry/wire"
	"github.com/crateyard/crateyard/test/upload"
)

// What was cached before a policy came is held to its licences and its size, too: the dry run says so, the index marks it, and it is not given out.
func TestMirrorPolicyOfWhatIsCached(t *testing.T) {
	m := openMirror(t, nil)
	for name, license := range map[string]string{"free": "MIT", "copyleft": "GPL-3.0-only", "large": "MIT"} {
		files := map[string][]byte{"Cargo.toml": fmt.Appendf(nil, "[package]\nname = %q\nversion = \"1.0.0\"\nlicense = %q\n", name, license), "src/lib.rs": nil}
		if name == "large" {
			data := make([]byte, 8<<10) // it does not compress
			if _, err := rand.Read(data); err != nil {
				t.Fatal(err)
			}
			files["data"] = data
		}
		if a := m.from.publish(frame(metadata(name, "1.0.0"), upload.Archive(name, "1.0.0", files))); a.status != 200 {
			t.Fatal(a.status, a.body)
		}
		if a, _ := m.crate(name, "1.0.0"); a.status != 200 {
			t.Fatalf("%s: %d %s", name, a.status, a.body)
		}
	}
	p := wire.MirrorPolicy{Licenses: []string{"MIT"}, MaxCrateSize: 4 << 10}
	d, err := m.client.TryPolicy(t.Context(), "m", p)
	if err != nil {
		t.Fatal(err)
	}
	rules := map[string]string{}
	for _, x := range d.Denied {
		if rules[x.Crate] = x.Rule; !x.Cached {
			t.Errorf("%+v", x)
		}
	}
	if len(rules) != 2 || rules["copyleft"] != "license" || rules["large"] != "max-size" {
		t.Errorf("the dry run: %v", rules)
	}
	if d, err = m.client.TryPolicy(t.Context(), "m", wire.MirrorPolicy{MaxCrateSize: 4 << 10}); err != nil || len(d.Denied) != 1 || d.Denied[0].Crate != "large" {
		t.Errorf("the dry run of a size alone: %+v %v", d.Denied, err)
	}
	m.put("m", func(s *wire.MirrorSpec) { s.Policy = p })
	for name, rule := range map[string]string{"free": "", "copyleft": "license", "large": "max-size"} {
		a, _ := m.crate(name, "1.0.0")
		if rule == "" && a.status != 200 || rule != "" && (a.status != 403 || !strings.Contains(a.body, "(rule "+rule+")")) {
			t.Errorf("%s: %d %.200s", name, a.status, a.body)
		}
		if i := m.index(name); strings.Contains(i.body, `"yanked":true`) != (rule != "") {
			t.Errorf("%s: %s", name, i.body)
		}
	}
}

// A mirror may not be called as cargo calls crates.io itself.
func TestMirrorIsNotCalledAsCratesIO(t *testing.T) {
	m := openMirror(t, nil)
	if _, err := m.client.PutMirror(t.Context(), "crates-io", wire.MirrorChange{}); err == nil || !strings.Contains(err.Error(), "choose another") {
		t.Error(err)
	}
}

// A server says what it is called, and which registry a mirror is of, to whoever may read it.
func TestMirrorIsAskedFor(t *testing.T) {
	m := openMirror(t, nil)
	for _, token := range []string{"", m.admin} {
		c := client.New(m.url, token)
		if is, err := c.Identity(t.Context()); err != nil || is != (client.Identity{Name: "crateyard", URL: m.url}) {
			t.Errorf("it is %+v, %v", is, err)
		}
		if of, err := c.MirrorUpstream(t.Context(), "m"); err != nil || of != wire.IndexURL(m.proxy.URL) {
			t.Errorf("m is of %q, %v", of, err)
		}
		if _, err := c.MirrorUpstream(t.Context(), "n"); !client.IsNotFound(err) {
			t.Errorf("n: %v", err)
		}
	}
	private := open(t, func(c *registry.Config) { c.Name, c.Access.AnonymousRead, c.GitIndex = "acme", "Disabled", "Disabled" })
	c := client.New(private.url, "")
	if is, err := c.Identity(t.Context()); err != nil || is.Name != "acme" {
		t.Errorf("a private one is %+v, %v", is, err)
	}
	if _, err := c.MirrorUpstream(t.Context(), "n"); !client.IsUnauthorized(err) {
		t.Errorf("of a private one: %v", err)
	}
}
