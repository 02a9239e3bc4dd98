package registry

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"regexp"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// Config is what a server needs to know. The YAML of --config has the same names; the operator renders it.
type Config struct {
	// Name is what cargo configurations call the registry, as in `cargo publish --registry NAME`.
	Name string `yaml:"name"`
	// URL is the public address, with or without a path, without a slash at its end. It is the registry's identity in
	// every Cargo.lock: do not change it. Empty: http:// and the address of Listen.
	URL string `yaml:"url"`
	// Listen is the public address, host:port; port 0 picks a free one.
	Listen string `yaml:"listen"`
	// OpsListen is the address of metrics, health and profiles. Keep it from the public. Empty: no such listener.
	OpsListen string `yaml:"opsListen"`
	// Data is the folder of the catalog and the crates. One server uses it at a time.
	Data string `yaml:"data"`
	// AdminTokenFile holds the bootstrap admin's token. With neither it nor AdminToken, the first start writes
	// Data/admin-token, mode 0600.
	AdminTokenFile string `yaml:"adminTokenFile"`
	// AdminToken is the token itself, from the environment only.
	AdminToken string `yaml:"-"`
	Access     Access `yaml:"access"`
	Limits     Limits `yaml:"limits"`
	Log        Log    `yaml:"log"`
	// DrainDelay is how long the server still answers reads after it was told to stop, for a load balancer to notice.
	DrainDelay Duration `yaml:"drainDelay"`
}

// Access says who may read.
type Access struct {
	AnonymousRead string `yaml:"anonymousRead"` // Enabled (default) or Disabled
}

// Limits bound uploads.
type Limits struct {
	CrateSize int64 `yaml:"crateSize"` // bytes of a .crate file; default 10 MiB
}

// Log says what the log looks like.
type Log struct {
	Format string `yaml:"format"` // text or json
	Level  string `yaml:"level"`  // debug, info, warn or error
}

// Duration is a time.Duration written as in Go: 5s, 1m30s.
type Duration time.Duration

// UnmarshalText reads a duration.
func (d *Duration) UnmarshalText(text []byte) error {
	v, err := time.ParseDuration(string(text))
	*d = Duration(v)
	return err
}

// MarshalText writes a duration.
func (d Duration) MarshalText() ([]byte, error) { return []byte(time.Duration(d).String()), nil }

// DefaultConfig is what holds where nothing else is said: a server for this machine only.
func DefaultConfig() Config {
	return Config{
		Name: "crateyard", Listen: "127.0.0.1:8080", OpsListen: "127.0.0.1:9090",
		Access: Access{AnonymousRead: "Enabled"}, Limits: Limits{CrateSize: 10 << 20}, Log: Log{Format: "text", Level: "info"},
	}
}

// ReadConfig lays a YAML file over c. Unknown keys are refused: a mistyped one would silently leave a default.
func ReadConfig(path string, c *Config) error {
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	dec := yaml.NewDecoder(bytes.NewReader(data))
	dec.KnownFields(true)
	if err := dec.Decode(c); err != nil && !errors.Is(err, io.EOF) { // an empty file says nothing, which is allowed
		text := strings.ReplaceAll(strings.ReplaceAll(err.Error(), " in type registry.Config", ""), " in type registry.", " in ")
		return fmt.Errorf("config file %s: %s; `crateyard serve --help` shows all keys", path, text)
	}
	return nil
}

// registryName is what a TOML key, an environment variable and cargo's --registry can all hold.
var registryName = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_-]{0,62}$`)

// CheckName reports why a registry cannot have a name in cargo's configuration.
func CheckName(name string) error {
	if !registryName.MatchString(name) {
		return fmt.Errorf("name %q: it must be at most 63 letters, digits, '-' and '_'", name)
	}
	return nil
}

// Check reports all that is wrong with c.
func (c *Config) Check() error {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if err := CheckName(c.Name); err != nil {
		errs = append(errs, err)
	}
	if c.Data == "" {
		bad("no data folder: say --data DIR")
	}
	if c.Listen == "" {
		bad("no listen address: say --listen HOST:PORT")
	}
	if c.URL != "" {
		c.URL = strings.TrimRight(c.URL, "/")
		u, err := url.Parse(c.URL)
		switch {
		case err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.RawQuery != "" || u.Fragment != "" || u.User != nil:
			bad("url: it must look like https://crates.example.com, with a path at most behind it")
		case strings.HasSuffix(u.Path, ".git"):
			bad("url %q: cargo before 1.96 confuses addresses that differ by .git only (CVE-2026-5222); choose another path", c.URL)
		}
	}
	if c.Access.AnonymousRead != "Enabled" && c.Access.AnonymousRead != "Disabled" {
		bad("access.anonymousRead %q: it must be Enabled or Disabled", c.Access.AnonymousRead)
	}
	if c.Limits.CrateSize < 1<<10 || c.Limits.CrateSize > 1<<30 {
		bad("limits.crateSize %d: it must be 1 KiB to 1 GiB, in bytes", c.Limits.CrateSize)
	}
	if c.Log.Format != "text" && c.Log.Format != "json" {
		bad("log.format %q: it must be text or json", c.Log.Format)
	}
	return errors.Join(errs...)
}
