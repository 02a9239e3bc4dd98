package registry_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/crateyard/crateyard/registry"
	"github.com/crateyard/crateyard/registry/client"
)

// A path that goes up, in whatever way it is written, leads nowhere: with a name that was meant to be one part of it, it would lead to something else.
func TestPathsDoNotGoUp(t *testing.T) {
	for _, base := range []string{"", "/base"} {
		m := openUpstream(t, "acme 1.0.0")
		m.yard = openIn(t, t.TempDir(), func(c *registry.Config) {
			if base != "" {
				c.URL = "https://example.com" + base
			}
		})
		m.client = client.New(m.url+base, m.admin)
		m.put("m", nil)
		admin := m.admin
		if a := m.do("GET", base+"/mirrors/m/crates/acme/1.0.0/download", "", nil); a.status != 200 {
			t.Fatal(a.status, a.body)
		}
		if a := m.do("POST", base+"/api/v1/users", admin, strings.NewReader(`{"name":"bob","role":"publisher"}`)); a.status != 201 && a.status != 200 {
			t.Fatal(a.status, a.body)
		}
		for _, request := range []string{
			"DELETE /api/v1/mirrors/m/crates/..",
			"DELETE /api/v1/mirrors/m/crates/.",
			"DELETE /api/v1/mirrors/m/crates/acme/..",
			"DELETE /api/v1/mirrors/m/crates/%2e%2e",
			"DELETE /api/v1/mirrors/m/crates%2facme",
			"DELETE //api/v1/mirrors/m%2fcrates%2facme",
			"DELETE /api/v1/mirrors/..%2fusers%2fbob",
			"DELETE /api/v1/mirrors/../users/bob",
			"DELETE /api/v1/mirrors%2f..%2fusers%2fbob",
			"DELETE //api/v1/mirrors/..%2fusers//bob",
			"GET /mirrors/m/..%2f..%2fapi/v1/users",
			"GET /mirrors/m/../../api/v1/users",
			"GET /index/../api/v1/users",
			"GET /index/..%2fapi/v1/users",
			"GET /..",
			"GET /../../etc/passwd",
		} {
			method, path, _ := strings.Cut(request, " ")
			if strings.HasPrefix(path, "//") {
				path = "/" + base + path[1:] // slashes too many anywhere
			} else {
				path = base + path
			}
			if a := m.do(method, path, admin, nil); a.status != http.StatusNotFound {
				t.Errorf("%s %s: %d %s", method, path, a.status, clipped(a.body))
			}
		}
		for _, path := range []string{"/api/v1/mirrors/m", "/api/v1/users/bob", "//api//v1/users//bob"} {
			if a := m.do("GET", base+path, admin, nil); a.status != http.StatusOK {
				t.Errorf("%s: %d %s", path, a.status, a.body)
			}
		}
		if list, err := m.client.StoredCrate(t.Context(), "m", "acme"); err != nil || len(list) != 1 {
			t.Errorf("%v %v", list, err)
		}
	}
}
