package wire

import (
	"fmt"
	"strings"
)

// IndexURL is what cargo calls a registry at url: its identity in Cargo.lock, with the slash at its end.
func IndexURL(url string) string { return "sparse+" + url + "/index/" }

// CargoConfig gives the lines for ~/.cargo/config.toml that make a registry known to cargo under a name. The
// credential provider is named because cargo has none configured for registries that need a token to read.
func CargoConfig(name, url string) string {
	return fmt.Sprintf("[registries.%s]\nindex = %q\ncredential-provider = \"cargo:token\"\n", name, IndexURL(url))
}

// CargoCredentials gives the lines for ~/.cargo/credentials.toml that hold a token.
func CargoCredentials(name, token string) string {
	return fmt.Sprintf("[registries.%s]\ntoken = %q\n", name, token)
}

// EnvName gives a registry's name as cargo spells it in environment variables, such as CARGO_REGISTRIES_{name}_TOKEN.
func EnvName(name string) string {
	return strings.ToUpper(strings.ReplaceAll(name, "-", "_"))
}

// CratesIOIndex is the sparse index of crates.io, which lies on a host of its own below the site's.
const CratesIOIndex = "sparse+https://index." + "crates.io" + "/"

// MirrorIndexURL is what cargo calls a mirror of a registry at url.
func MirrorIndexURL(url, mirror string) string { return "sparse+" + url + "/mirrors/" + mirror + "/" }

// UpstreamHeader is the header of a mirror's config.json that names the index of the registry which is mirrored.
const UpstreamHeader = "Crateyard-Upstream"

// MirrorConfig gives the lines for ~/.cargo/config.toml that have cargo take the crates of an upstream, a sparse index or empty for crates.io, from a
// mirror of a registry at url. The mirror is named as a registry, too, because cargo finds a token for a private one by that.
func MirrorConfig(upstream, mirror, url string) string {
	source := "[source.crates-io]\n"
	// cargo knows crates.io's own index by that name, and refuses a second one.
	if upstream != "" && strings.TrimSuffix(upstream, "/")+"/" != CratesIOIndex {
		source = fmt.Sprintf("[source.%s-upstream]\nregistry = %q\n", mirror, upstream)
	}
	return fmt.Sprintf("%sreplace-with = %q\n\n[registries.%s]\nindex = %q\ncredential-provider = \"cargo:token\"\n", source, mirror, mirror, MirrorIndexURL(url, mirror))
}
