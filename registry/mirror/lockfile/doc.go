// Package lockfile reads a Cargo.lock and says which crates of it a mirror can keep. It is pure: no files, no network, no clock.
//
// All formats that cargo has written are read: the first, whose checksums stand at the end, in [metadata], with the program's own
// package in [root] (until cargo 1.18) or among the others; the second, with the checksum in each [[package]]; and the third and fourth,
// which begin with version = 3 or 4 and write the addresses of git repositories differently. A later one is refused, as an older cargo
// refuses it. Sources: the cargo book ("Cargo.toml vs Cargo.lock"), and src/resolver/encode.rs and crates/cargo-util-schemas of cargo.
//
// A package belongs to one of three groups. Those without a source are the workspace's own and are only counted. Those whose source
// is the mirror's upstream (see Sources) are what there is to keep. The rest, of git repositories and other registries, is listed with a
// reason, in which no credentials stand, whatever the address had.
//
// The limits are the constants below. A file that breaks one, or that cargo could not have written, is refused as a whole, with the line
// of what is wrong: half a lockfile pins nothing. Errors are *fault.Error.
package lockfile

// The limits, with their reasons.
const (
	// MaxSize is the most bytes of a file. 20,000 packages with checksums and some ten dependencies each are 8 MiB.
	MaxSize = 8 << 20
	// MaxPackages is the most packages of a file. The largest known workspaces have some 5,000.
	MaxPackages = 20_000
	// maxValues bounds what a small file can make the TOML library allocate, some hundred bytes for each value. A package has
	// five keys, and a dozen dependencies if it has many.
	maxValues = 25 * MaxPackages
)
