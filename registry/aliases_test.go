package registry_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/crateyard/crateyard/registry"
)

// The metadata says that a dependency is of this registry, the archive's Cargo.toml by which address: of one that is this registry's, or that
// leads nobody elsewhere. The archive's users would ask any other, whatever its path.
func TestArchiveNamesThisRegistry(t *testing.T) {
	y := open(t, func(c *registry.Config) { c.Aliases = []string{"https://old.example/base/"} })
	closed := open(t, func(c *registry.Config) { c.Access.AllowedRegistries = []string{} })
	for _, y := range []*yard{y, closed} {
		if a := y.publish(good(t, "base", "1.0.0")); a.status != 200 {
			t.Fatal(a)
		}
	}
	meta := func(registry string) string {
		return fmt.Sprintf(`{"name":"demo","vers":"1.0.0","features":{},"deps":[{"name":"base","version_req":"^1","features":[],"optional":false,`+
			`"default_features":true,"target":null,"kind":"normal","registry":%s}]}`, registry)
	}
	upload := func(registry, index string) []byte {
		toml := manifest("demo", "1.0.0") + "[dependencies.base]\nversion = \"1\"\n"
		if index != "" {
			toml += fmt.Sprintf("registry-index = %q\n", index)
		}
		return frame(meta(registry), archive(t, file("demo-1.0.0/Cargo.toml", toml), file("demo-1.0.0/src/lib.rs", "")))
	}
	for index, refused := range map[string]bool{
		"sparse+https://evil.example/index/": true, "https://evil.example/git/index": true, "sparse+http://localhost.evil.example/index/": true,
		"sparse+https://old.example/index/": true, "sparse+https://old.example/base/index/": false, "sparse+http://127.0.0.9:1/index/": false,
		"sparse+http://localhost:8080/index/": false, y.url + "/git/index": false, "": false,
	} {
		a := y.publish(upload("null", index))
		if refused != (a.status == 400) || refused && !strings.Contains(a.detail(t), index) {
			t.Errorf("%q: %d %s", index, a.status, a.body)
		}
		if a.status == 200 {
			y.must(204, "DELETE", "/api/v1/crates/demo/1.0.0", y.admin, nil)
			y = open(t, func(c *registry.Config) { c.Aliases = []string{"https://old.example/base/"} })
			y.ship("base", "1.0.0")
		}
	}
	if a := y.publish(upload(`"sparse+https://old.example/base/index/"`, "sparse+https://old.example/base/index/")); a.status != 200 || strings.Contains(y.do("GET", "/index/de/mo/demo", "", nil).body, "old.example") {
		t.Errorf("an alias in the metadata: %d %s", a.status, a.body)
	}
	if a := closed.publish(upload("null", "")); a.status != 400 || !strings.Contains(a.detail(t), "crates.io") {
		t.Errorf("crates.io in the archive, where nothing may depend on it: %d %s", a.status, a.body)
	}
	c := registry.DefaultConfig()
	c.Data, c.Aliases = "data", []string{"old.example"}
	if err := c.Check(); err == nil || !strings.Contains(err.Error(), "aliases") {
		t.Error(err)
	}
}
