package registry

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/crateyard/crateyard/registry/httpapi"
	"github.com/crateyard/crateyard/registry/publish"
	"github.com/crateyard/crateyard/registry/ratelimit"
	"github.com/crateyard/crateyard/registry/wire"
)

// Config is what a server needs to know. The YAML of --config has the same names; the operator renders it.
type Config struct {
	// Name is what cargo configurations call the registry, as in `cargo publish --registry NAME`.
	Name string `yaml:"name"`
	// URL is the public address, with or without a path, without a slash at its end. It is the registry's identity in
	// every Cargo.lock: do not change it. Empty: http:// and the address of Listen, or 127.0.0.1 where that is all addresses.
	URL string `yaml:"url"`
	// Aliases are other addresses under which the registry is reached, in the form of URL: what depends on a crate from there depends on one
	// of this registry. Addresses of the machine itself (localhost, 127.0.0.1) need none, as those of a forwarded port.
	Aliases []string `yaml:"aliases"`
	// Listen is the public address, host:port; port 0 picks a free one.
	Listen string `yaml:"listen"`
	// OpsListen is the address of metrics, health and profiles. Keep it from the public. Empty: no such listener.
	OpsListen string `yaml:"opsListen"`
	// Data is the folder of the catalog and the crates. One server uses it at a time.
	Data string `yaml:"data"`
	// Instance says whose catalog and storage these are, such as namespace/name: two registries cannot share one by mistake. Empty: the
	// first that comes.
	Instance string `yaml:"instance"`
	// TakeOver makes catalog and storage this instance's, whoever they belonged to. Leave it on for one start only.
	TakeOver bool    `yaml:"takeOver"`
	Storage  Storage `yaml:"storage"`
	Catalog  Catalog `yaml:"catalog"`
	Sweep    Sweep   `yaml:"sweep"`
	Scrub    Scrub   `yaml:"scrub"`
	Backup   Backup  `yaml:"backup"`
	// RestoreFrom is what crateyard restore fills an empty registry from.
	RestoreFrom RestoreFrom `yaml:"restoreFrom"`
	// AdminTokenFile holds the bootstrap admin's token. With neither it nor AdminToken, the first start writes
	// Data/admin-token, mode 0600.
	AdminTokenFile string `yaml:"adminTokenFile"`
	// AdminToken is the token itself, from the environment only.
	AdminToken string     `yaml:"-"`
	Access     Access     `yaml:"access"`
	Publishing Publishing `yaml:"publishing"`
	Limits     Limits     `yaml:"limits"`
	RateLimits RateLimits `yaml:"rateLimits"`
	// TrustedProxies are the networks, as 10.0.0.0/8, of proxies whose X-Forwarded-For is believed: for the log, the audit and
	// the rate limits.
	TrustedProxies []string `yaml:"trustedProxies"`
	// GitIndex, Enabled (default) or Disabled, serves the index over git for cargo before 1.68, too.
	GitIndex string `yaml:"gitIndex"`
	Audit    Audit  `yaml:"audit"`
	Log      Log    `yaml:"log"`
	// DrainDelay is how long the server serves on after it was told to stop, for a load balancer to notice. After it, or at once where it is 0, new
	// publishes are turned away, and the server ends when those in flight are done.
	DrainDelay Duration `yaml:"drainDelay"`
}

// Access says who may read.
type Access struct {
	AnonymousRead string `yaml:"anonymousRead"` // Enabled (default) or Disabled
	// AllowedRegistries are those that dependencies may come from, besides this one: crates-io, or index addresses such as
	// sparse+https://crates.example.com/index/. Left out: crates-io.
	AllowedRegistries []string `yaml:"allowedRegistries"`
}

// Publishing says what a version must have to be published, beyond what cargo itself needs.
type Publishing struct {
	// Profile is private (default), which asks for nothing more, or crates-io, which asks for all that crates.io asks for. What
	// stands beside it goes further.
	Profile string `yaml:"profile"`
	// RequiredFields must be there: description, license (or license-file), documentation, homepage, repository, readme, keywords,
	// categories, rust-version.
	RequiredFields []string `yaml:"requiredFields"`
	// Licenses is Any or SPDX: a licence must be an SPDX expression. Empty: as the profile has it.
	Licenses string `yaml:"licenses"`
	// Categories is Any or Known: categories must be among those of crates.io. Empty: as the profile has it.
	Categories string `yaml:"categories"`
	// NewCrates is Open (default) or Restricted: new crates are seen by their owners and those on their access list only.
	NewCrates string `yaml:"newCrates"`
	// Shadowing is what becomes of a new crate whose name the upstream of a mirror has, too: Warn (default) where it is known, Refuse, for which
	// the upstreams are asked, or Allow.
	Shadowing string `yaml:"shadowing"`
}

// RateLimits bound how often a user may publish and yank (all users of one address together: ten times that), and how often an address may send tokens that do not work. The
// figures are crates.io's where nothing else is said. Admins are not bounded.
type RateLimits struct {
	// Mode is Auto (default: publish and yank are bounded with the profile crates-io only, since a release of a workspace is one
	// publish a crate), Enabled or Disabled.
	Mode          string `yaml:"mode"`
	PublishNew    Rate   `yaml:"publishNew"`    // new crates; 5, and one more every 10 minutes
	PublishUpdate Rate   `yaml:"publishUpdate"` // versions; 30, and one more a minute
	Yank          Rate   `yaml:"yank"`          // and unyank; 100, and one more a minute
	FailedAuth    Rate   `yaml:"failedAuth"`    // 100, and one more a second
}

// Rate is a burst, and how long it takes to get one of it back.
type Rate struct {
	Burst int      `yaml:"burst"`
	Every Duration `yaml:"every"`
}

// MinAuditKeep is the least that the record of changes can be kept: with less, a slip such as 1s for 1y would delete all of it within minutes.
const MinAuditKeep = Duration(24 * time.Hour)

// Audit says how long the record of changes is kept.
type Audit struct {
	Keep Duration `yaml:"keep"` // 0: for ever; otherwise MinAuditKeep at least
}

// Limits bound uploads.
type Limits struct {
	CrateSize int64 `yaml:"crateSize"` // bytes of a .crate file; default 10 MiB
	// MirroredCrateSize bounds an archive of an upstream registry, in bytes; default 512 MiB.
	MirroredCrateSize int64 `yaml:"mirroredCrateSize"`
}

// Log says what the log looks like.
type Log struct {
	Format string `yaml:"format"` // text or json
	Level  string `yaml:"level"`  // debug, info, warn or error
}

// Duration is a time.Duration written as in Go, 5s or 1m30s, or in days, 90d.
type Duration = wire.Duration

// DefaultConfig is what holds where nothing else is said: a server for this machine only.
func DefaultConfig() Config {
	return Config{
		Name: "crateyard", Listen: "127.0.0.1:8080", OpsListen: "127.0.0.1:9090",
		Access: Access{AnonymousRead: "Enabled", AllowedRegistries: []string{"crates-io"}}, GitIndex: "Enabled",
		Publishing: Publishing{Profile: ProfilePrivate, NewCrates: "Open", Shadowing: string(publish.ShadowingWarn)},
		RateLimits: RateLimits{Mode: "Auto", PublishNew: Rate{5, Duration(10 * time.Minute)}, PublishUpdate: Rate{30, Duration(time.Minute)},
			Yank: Rate{100, Duration(time.Minute)}, FailedAuth: Rate{100, Duration(time.Second)}},
		Storage: Storage{Cache: Cache{Size: 1 << 30}},
		Sweep:   Sweep{Every: Duration(24 * time.Hour), OlderThan: Duration(24 * time.Hour)}, Scrub: Scrub{Rate: 1 << 20}, Backup: Backup{Keep: 14},
		Limits: Limits{CrateSize: 10 << 20, MirroredCrateSize: 512 << 20}, Log: Log{Format: "text", Level: "info"},
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
		text = typesTold(text, data)
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

// The profiles of publishing.
const (
	ProfilePrivate  = "private"
	ProfileCratesIO = "crates-io"
)

// trustedProxies reads the networks.
func (c *Config) trustedProxies() ([]netip.Prefix, error) {
	var list []netip.Prefix
	for _, s := range c.TrustedProxies {
		p, err := netip.ParsePrefix(s)
		if err != nil {
			return nil, fmt.Errorf("trustedProxies %q: it must be a network such as 10.0.0.0/8", s)
		}
		list = append(list, p.Masked())
	}
	return list, nil
}

// policy is what a publish must have, by profile and by what stands beside it.
func (c *Config) policy() publish.Policy {
	p := publish.Private
	if c.Publishing.Profile == ProfileCratesIO {
		p = publish.CratesIO
	}
	for _, f := range c.Publishing.RequiredFields {
		if !slices.Contains(p.RequiredFields, f) {
			p.RequiredFields = append(slices.Clip(p.RequiredFields), f)
		}
	}
	if c.Publishing.Licenses != "" {
		p.LicenseExpressions = c.Publishing.Licenses == "SPDX"
	}
	if c.Publishing.Categories != "" {
		p.KnownCategories = c.Publishing.Categories == "Known"
	}
	return p
}

// rateLimits makes the limiters that the configuration asks for.
func (c *Config) rateLimits() httpapi.RateLimits {
	rate := func(r Rate) ratelimit.Rate { return ratelimit.Rate{Burst: r.Burst, Every: time.Duration(r.Every)} }
	var limits httpapi.RateLimits
	r := c.RateLimits
	if r.Mode == "Enabled" || r.Mode == "Auto" && c.Publishing.Profile == ProfileCratesIO {
		limits.PublishNew, limits.PublishUpdate = httpapi.NewChangeLimit(rate(r.PublishNew)), httpapi.NewChangeLimit(rate(r.PublishUpdate))
		limits.Yank = httpapi.NewChangeLimit(rate(r.Yank))
	}
	if r.Mode != "Disabled" {
		limits.FailedAuth = ratelimit.New(rate(r.FailedAuth))
	}
	return limits
}

// isBase reports whether an address can be one that a registry's addresses begin with.
func isBase(address string) bool {
	u, err := url.Parse(address)
	return err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Host != "" && u.RawQuery == "" && u.Fragment == "" && u.User == nil
}

// checkListen reports why nobody can listen at an address.
func checkListen(key, address string) error {
	if _, _, err := net.SplitHostPort(address); err == nil {
		return nil
	}
	likely := net.JoinHostPort(strings.Trim(address, "[]"), "8080") // a host without a port
	if _, err := strconv.ParseUint(address, 10, 16); err == nil {
		likely = "127.0.0.1:" + address
	}
	return fmt.Errorf("%s %q: it must be HOST:PORT, such as %s", key, address, likely)
}

// isEverywhere reports whether a host stands for all addresses of a machine: one listens there, and nobody is reached there.
func isEverywhere(host string) bool {
	at, err := netip.ParseAddr(host)
	return host == "" || err == nil && at.IsUnspecified()
}

// ownURL makes the public address of a server that listens somewhere and was given none. everywhere says that others cannot reach it by that: who only
// tries the registry can, and it is what the server would be called without --listen.
func ownURL(listens string) (address string, everywhere bool) {
	if host, port, err := net.SplitHostPort(listens); err == nil && isEverywhere(host) {
		return "http://" + net.JoinHostPort("127.0.0.1", port), true
	}
	return "http://" + listens, false
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
	} else if err := checkListen("listen", c.Listen); err != nil {
		errs = append(errs, err)
	}
	if c.OpsListen != "" {
		if err := checkListen("opsListen", c.OpsListen); err != nil {
			errs = append(errs, err)
		}
	}
	for i, alias := range c.Aliases {
		if c.Aliases[i] = strings.TrimRight(alias, "/"); !isBase(c.Aliases[i]) {
			bad("aliases: %q must look like https://crates.example.com, with a path at most behind it", alias)
		}
	}
	if c.URL != "" {
		c.URL = strings.TrimRight(c.URL, "/")
		u, _ := url.Parse(c.URL)
		switch {
		case !isBase(c.URL):
			bad("url: it must look like https://crates.example.com, with a path at most behind it")
		case isEverywhere(u.Hostname()):
			bad("url %q: a server listens there, and no client reaches it by that: say the address that they have, such as https://crates.example.com", c.URL)
		case strings.HasSuffix(u.Path, ".git"):
			bad("url %q: cargo before 1.96 confuses addresses that differ by .git only (CVE-2026-5222); choose another path", c.URL)
		}
	}
	if c.Access.AnonymousRead != "Enabled" && c.Access.AnonymousRead != "Disabled" {
		bad("access.anonymousRead %q: it must be Enabled or Disabled", c.Access.AnonymousRead)
	}
	oneOf := func(key, value string, allowed ...string) {
		if !slices.Contains(allowed, value) {
			last := len(allowed) - 1
			bad("%s %q: it must be %s or %s", key, value, strings.Join(allowed[:last], ", "), allowed[last])
		}
	}
	for _, r := range c.Access.AllowedRegistries {
		u, err := url.Parse(strings.TrimPrefix(r, "sparse+"))
		if r != "crates-io" && (err != nil || u.Scheme != "http" && u.Scheme != "https" && u.Scheme != "ssh" || u.Host == "") {
			bad("access.allowedRegistries %q: it must be crates-io, or the index address of a registry such as sparse+https://crates.example.com/index/", r)
		}
	}
	oneOf("publishing.profile", c.Publishing.Profile, ProfilePrivate, ProfileCratesIO)
	if err := c.policy().Validate(); err != nil {
		bad("publishing.requiredFields: %w", err)
	}
	oneOf("publishing.shadowing", c.Publishing.Shadowing, string(publish.ShadowingWarn), string(publish.ShadowingRefuse), string(publish.ShadowingAllow))
	oneOf("publishing.newCrates", c.Publishing.NewCrates, "Open", "Restricted")
	if c.Publishing.Licenses != "" {
		oneOf("publishing.licenses", c.Publishing.Licenses, "Any", "SPDX")
	}
	if c.Publishing.Categories != "" {
		oneOf("publishing.categories", c.Publishing.Categories, "Any", "Known")
	}
	oneOf("rateLimits.mode", c.RateLimits.Mode, "Auto", "Enabled", "Disabled")
	oneOf("gitIndex", c.GitIndex, "Enabled", "Disabled")
	for key, r := range map[string]Rate{"publishNew": c.RateLimits.PublishNew, "publishUpdate": c.RateLimits.PublishUpdate,
		"yank": c.RateLimits.Yank, "failedAuth": c.RateLimits.FailedAuth} {
		if r.Burst < 1 || r.Burst > 1_000_000 || r.Every < Duration(time.Millisecond) || r.Every > Duration(24*time.Hour) {
			bad("rateLimits.%s: burst must be 1 to 1000000 and every 1ms to 24h", key)
		}
	}
	if _, err := c.trustedProxies(); err != nil {
		errs = append(errs, err)
	}
	if c.Audit.Keep < 0 || c.Audit.Keep > 0 && c.Audit.Keep < MinAuditKeep {
		bad("audit.keep %s: it must be 0s, for ever, or at least 24h: what is older is deleted, and does not come back", time.Duration(c.Audit.Keep))
	}
	if c.Limits.CrateSize < 1<<10 || c.Limits.CrateSize > 1<<30 {
		bad("limits.crateSize %d: it must be 1 KiB to 1 GiB, in bytes", c.Limits.CrateSize)
	}
	if c.Limits.MirroredCrateSize < 1<<10 || c.Limits.MirroredCrateSize > 16<<30 {
		bad("limits.mirroredCrateSize %d: it must be 1 KiB to 16 GiB, in bytes", c.Limits.MirroredCrateSize)
	}
	errs = append(errs, c.checkBackends())
	if c.Log.Format != "text" && c.Log.Format != "json" {
		bad("log.format %q: it must be text or json", c.Log.Format)
	}
	return errors.Join(errs...)
}
