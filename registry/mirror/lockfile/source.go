package lockfile

import (
	"net/url"
	"strings"

	"github.com/crateyard/crateyard/registry/crate"
)

// CratesIO is how every Cargo.lock names crates.io, also where it was asked over the sparse protocol or through a mirror.
const CratesIO = "registry+" + crate.CratesIOIndex

// Sources are the names of one upstream: addresses of its index as cargo writes them, with registry+, sparse+ or nothing before them.
// How they are prefixed, a slash at the end, the case of a host, the port that is usual anyway, and credentials make no difference,
// in the list as in what is compared with it.
type Sources []string

// Has reports whether a source of a Cargo.lock, or the registry that a dependency in an index names, is this upstream.
func (s Sources) Has(source string) bool {
	wanted, ok := canonical(source)
	if !ok {
		return false
	}
	for _, own := range s {
		if c, ok := canonical(own); ok && c == wanted {
			return true
		}
	}
	return false
}

// canonical is the form in which two addresses of a registry are compared; ok is false for what is no registry.
func canonical(source string) (_ string, ok bool) {
	address, _ := strings.CutPrefix(source, "registry+")
	address, _ = strings.CutPrefix(address, "sparse+")
	u, err := url.Parse(address)
	if err != nil || u.Host == "" || strings.Contains(u.Scheme, "+") {
		return "", false
	}
	host, port := strings.ToLower(u.Hostname()), u.Port()
	if port == map[string]string{"https": "443", "http": "80", "ssh": "22"}[u.Scheme] {
		port = ""
	}
	return u.Scheme + "://" + host + ":" + port + strings.TrimRight(u.EscapedPath(), "/") + "?" + u.RawQuery, true
}

// foreign says why a package of a source cannot come from a mirror. It repeats no part of the source but what shown lets through.
func foreign(source string) string {
	kind, address, _ := strings.Cut(source, "+")
	switch kind {
	case "git":
		return "it comes from the git repository " + shown(address) + ", and a mirror has crates of a registry only"
	case "registry", "sparse":
		return "it comes from another registry, " + shown(address) + ", which is not the mirror's upstream"
	case "path", "directory", "local-registry":
		return "it comes from a folder, which no mirror has"
	}
	return "it comes from a source of a kind that is not known"
}

// shown is an address for people to read: without credentials, which may stand before the host or in a query, and without the
// commit after '#'.
func shown(address string) string {
	u, err := url.Parse(address)
	switch {
	case err != nil:
		return "(no valid address)"
	case u.Host == "":
		return "(no host)"
	}
	return clip((&url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path, RawPath: u.RawPath}).String())
}
