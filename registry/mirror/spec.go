package mirror

import (
	"cmp"
	"crypto/x509"
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"strings"
	"time"

	"github.com/crateyard/crateyard/registry/crate"
	"github.com/crateyard/crateyard/registry/cron"
	"github.com/crateyard/crateyard/registry/mirror/plan"
	"github.com/crateyard/crateyard/registry/wire"
)

// What holds where a spec says nothing.
const (
	DefaultMaxAge      = 5 * time.Minute // crates.io lets a CDN keep index files for ten
	DefaultConcurrency = 16
)

// The modes of a mirror, and what it caches of dependencies.
const (
	OnDemand = "OnDemand"
	Pinned   = "Pinned"

	DependenciesNone   = "None"
	DependenciesNormal = "Normal"
	DependenciesAll    = "All"
)

// Limits of a spec.
const (
	maxCrates      = 10_000
	maxConcurrency = 256
	maxLatest      = 1000
	maxCABundle    = 1 << 20
)

// nameRule is what fits into an address, a TOML key and the name of a Kubernetes object.
var nameRule = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$`)

// CheckName reports why a mirror cannot have a name.
func CheckName(name string) error {
	if !nameRule.MatchString(name) {
		return fmt.Errorf("mirror name %q: it must be at most 63 lower-case letters, digits and '-', and begin and end with a letter or digit", name)
	}
	if name == "crates-io" {
		return fmt.Errorf("mirror name %q: cargo calls crates.io itself so, and could not tell a mirror of that name from it; choose another, such as crates-mirror", name)
	}
	return nil
}

// WithDefaults fills in what a spec leaves open.
func WithDefaults(s wire.MirrorSpec) wire.MirrorSpec {
	s.Upstream.Index = cmp.Or(s.Upstream.Index, wire.CratesIOIndex)
	if !strings.HasSuffix(s.Upstream.Index, "/") {
		s.Upstream.Index += "/" // the address is the same to cargo's users, and ends so to cargo
	}
	s.Upstream.MaxAge = cmp.Or(s.Upstream.MaxAge, wire.Duration(DefaultMaxAge))
	s.Upstream.Concurrency = cmp.Or(s.Upstream.Concurrency, DefaultConcurrency)
	s.Mode = cmp.Or(s.Mode, OnDemand)
	s.Dependencies = cmp.Or(s.Dependencies, DependenciesNormal)
	return s
}

// Check reports all that is wrong with a spec that has its defaults. url is the address of this registry, which no mirror may mirror.
func Check(s wire.MirrorSpec, own string) error {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if err := checkIndex(s.Upstream.Index, own); err != nil {
		errs = append(errs, err)
	}
	if s.Upstream.MaxAge < wire.Duration(time.Second) || s.Upstream.MaxAge > wire.Duration(30*24*time.Hour) {
		bad("upstream.max_age %s: it must be 1s to 30d", time.Duration(s.Upstream.MaxAge))
	}
	if s.Upstream.Concurrency < 1 || s.Upstream.Concurrency > maxConcurrency {
		bad("upstream.concurrency %d: it must be 1 to %d", s.Upstream.Concurrency, maxConcurrency)
	}
	if s.Upstream.RequestsPerSecond < 0 || s.Upstream.RequestsPerSecond > 100_000 {
		bad("upstream.requests_per_second %d: it must be 0 (no limit) to 100000", s.Upstream.RequestsPerSecond)
	}
	if strings.ContainsAny(s.Upstream.Contact, "\r\n") || len(s.Upstream.Contact) > 200 {
		bad("upstream.contact: it must be one line of at most 200 bytes")
	}
	if ca := s.Upstream.CABundle; len(ca) > maxCABundle || ca != "" && !x509.NewCertPool().AppendCertsFromPEM([]byte(ca)) {
		bad("upstream.ca_bundle: it holds no certificate in PEM, or more than 1 MiB")
	}
	if s.Mode != OnDemand && s.Mode != Pinned {
		bad("mode %q: it must be %s or %s", s.Mode, OnDemand, Pinned)
	}
	if d := s.Dependencies; d != DependenciesNone && d != DependenciesNormal && d != DependenciesAll {
		bad("dependencies %q: it must be %s, %s or %s", d, DependenciesNone, DependenciesNormal, DependenciesAll)
	}
	if s.RustVersion != "" && !plan.IsRust(s.RustVersion) {
		bad("rust_version %q: it must be one to three numbers, such as 1.85", s.RustVersion)
	}
	if s.Schedule != "" {
		if _, err := cron.Parse(s.Schedule); err != nil {
			errs = append(errs, err)
		}
	}
	if len(s.Crates) > maxCrates {
		bad("crates: %d are more than %d; a lockfile may name more", len(s.Crates), maxCrates)
	}
	for i, c := range s.Crates {
		if err := crate.CheckDependencyName(c.Name); err != nil {
			bad("crates[%d]: %w", i, err)
		}
		if _, err := crate.ParseRequirement(cmp.Or(c.Versions, "*")); err != nil {
			bad("crates[%d] (%s): %w", i, c.Name, err)
		}
		if c.Latest < 0 || c.Latest > maxLatest {
			bad("crates[%d] (%s): latest %d: it must be 1 to %d", i, c.Name, c.Latest, maxLatest)
		}
	}
	if s.Retention.MaxSize < 0 || s.Retention.UnusedFor < 0 {
		bad("retention: sizes and times must not be negative")
	}
	return errors.Join(errs...)
}

func checkIndex(address, own string) error {
	const want = "it must be a sparse index such as sparse+https://crates.example.com/index/"
	plain, sparse := strings.CutPrefix(address, "sparse+")
	u, err := url.Parse(plain)
	switch {
	case !sparse || err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || u.RawQuery != "" || u.Fragment != "":
		return fmt.Errorf("upstream.index: %s", want)
	case u.User != nil:
		return errors.New("upstream.index: an address may not hold a user or password: give the token apart")
	case own != "" && strings.HasPrefix(plain, own+"/"):
		return errors.New("upstream.index: it is this registry itself, which would ask itself for ever")
	}
	return nil
}
