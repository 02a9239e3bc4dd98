package registry_test

import (
	"strings"
	"testing"

	"github.com/crateyard/crateyard/registry"
)

// A wrong configuration says what to write instead.
func TestConfigSays(t *testing.T) {
	for _, tt := range []struct {
		change func(*registry.Config)
		want   string
	}{
		{func(c *registry.Config) { c.URL = "http://0.0.0.0:8083" }, "no client reaches it by that"},
		{func(c *registry.Config) { c.URL = "http://[::]:8083/x" }, "no client reaches it by that"},
		{func(c *registry.Config) { c.Aliases = []string{"http://0.0.0.0:8083"} }, ""}, // it may stand in manifests of before
	} {
		c := registry.DefaultConfig()
		c.Data = t.TempDir()
		tt.change(&c)
		if err := c.Check(); (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%v; want %q", err, tt.want)
		}
	}
}
