package registry_test

import (
	"net"
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
		{func(c *registry.Config) { c.Listen = "8081" }, `listen "8081": it must be HOST:PORT, such as 127.0.0.1:8081`},
		{func(c *registry.Config) { c.Listen = "127.0.0.1" }, "such as 127.0.0.1:8080"},
		{func(c *registry.Config) { c.Listen = "::1" }, "such as [::1]:8080"},
		{func(c *registry.Config) { c.OpsListen = "9091" }, `opsListen "9091": it must be HOST:PORT, such as 127.0.0.1:9091`},
		{func(c *registry.Config) { c.Listen, c.OpsListen = ":8080", "" }, ""},
	} {
		c := registry.DefaultConfig()
		c.Data = t.TempDir()
		tt.change(&c)
		if err := c.Check(); (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%v; want %q", err, tt.want)
		}
	}
}

// A port that is taken is said to be taken, and how to live beside whoever has it.
func TestConfigPortTaken(t *testing.T) {
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	const says = "is another crateyard running? Beside it, say --listen 127.0.0.1:PORT"
	opens(t, t.TempDir(), says, func(c *registry.Config) { c.Listen = l.Addr().String() })
	opens(t, t.TempDir(), says, func(c *registry.Config) { c.OpsListen = l.Addr().String() })
}

// A file that is named and not there is called by the name of its setting, with what belongs into it.
func TestConfigUriFile(t *testing.T) {
	opens(t, t.TempDir(), "catalog.postgres.uriFile: open /nope: no such file or directory; the file holds one line, postgresql://", func(c *registry.Config) {
		c.Catalog.Postgres = &registry.Postgres{URIFile: "/nope"}
	})
}
