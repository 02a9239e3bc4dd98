package registry_test

import (
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"

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
		{func(c *registry.Config) { c.Audit.Keep = registry.Duration(time.Second) }, "audit.keep 1s: it must be 0s, for ever, or at least 24h: what is older is deleted"},
		{func(c *registry.Config) { c.Audit.Keep = registry.MinAuditKeep - 1 }, "at least 24h"},
		{func(c *registry.Config) { c.Audit.Keep = -registry.MinAuditKeep }, "audit.keep -24h0m0s: it must be 0s"},
		{func(c *registry.Config) { c.Audit.Keep = registry.MinAuditKeep }, ""},
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

// A value of the wrong type in a file is named by its key, with what to write.
func TestConfigTypes(t *testing.T) {
	file := filepath.Join(t.TempDir(), "config.yaml")
	for text, want := range map[string]string{
		"limits: {crateSize: 10Mi}":                         `line 1: crateSize "10Mi": it must be bytes, 10485760`,
		"limits:\n  crateSize: \"20MB\"\n":                  `line 2: crateSize "20MB": it must be bytes, 20000000`,
		"storage: {cache: {size: 1GiB}}":                    `size "1GiB": it must be bytes, 1073741824`,
		"scrub: {rate: fast}":                               `rate "fast": it must be a number, of bytes where it is a size`,
		"backup: {keep: many}":                              `keep "many": it must be a number`,
		"takeOver: perhaps":                                 `takeOver "perhaps": it must be true or false`,
		"trustedProxies: 10.0.0.0/8":                        `trustedProxies "10.0.0.0/8": it must be a list, ["10.0.0.0/8"]`,
		"limits: {crateSize: 10Mi, mirroredCrateSize: 1Gi}": `mirroredCrateSize "1Gi": it must be bytes, 1073741824`,
		"name: [a]": "line 1: cannot unmarshal !!seq into string",
	} {
		write(t, file, text)
		c := registry.DefaultConfig()
		if err := registry.ReadConfig(file, &c); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v\nwant %s", text, err, want)
		}
	}
}
