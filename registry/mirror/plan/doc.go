// Package plan says which versions of which crates a mirror has to keep so that builds need nothing else. It asks an Index for the
// index files of upstream, and tells what it finds as it finds it. It is pure: no files, no network, no clock.
//
// # What is in a plan
//
//  1. Each version that a lockfile names, yanked or not. A lockfile is complete, so no dependencies are followed from it.
//  2. Of each listed crate, the newest Latest versions that its requirement takes. Yanked ones are never chosen, nor are those that
//     cargo passes over because it cannot read their line; pre-releases only where the requirement names one.
//  3. With Dependencies Normal or All, the closure of these: for each dependency of a version in the plan, the newest version that
//     the dependency's requirement takes and that has the features it asks for (Options.DependencyVersions of them). Normal and build
//     dependencies count, of all targets, optional ones too, whatever features turn them on; with All, also the development
//     dependencies of the listed crates, and of no others, as cargo has it.
//  4. What cargo's resolver chooses for a listed version where that is not all in 3.
//
// # Why 3 is not enough, and what 4 is
//
// cargo takes the newest version for each dependency as long as nothing stands against it, and 3 has all of these. But it admits one
// version in a range of compatible ones (the same major number, or minor below 1.0, or patch below 0.1), one crate for a value of
// links, and no version that lacks a feature asked for. So one dependency may get an older version because of another: the newest
// that both take, which is in 3, but also, when there is none, one of an older range, or an older version of the crate that depends
// on it, and so on; what comes out depends on the order in which cargo decides.
//
// So the closure of each listed version is looked at on its own. Where it has at most one version in each range, no links twice, no
// feature missing, and something for every dependency, no choice of cargo's can be anything else, whatever features are on: that is the
// usual case and costs nothing more. Otherwise the version is resolved as cargo resolves a package that depends on it, in cargo's
// order (see resolve.go), with all features and with the default ones, and with All also as a workspace member with development
// dependencies; what is chosen joins the plan, with its closure. TestCargoFindsItAll and TestResolvesAsCargo hold this against the real
// cargo. Not promised are other sets of features in a graph with such a conflict, several listed crates in one workspace that conflict
// with each other, and [patch]: that is what lockfiles are for.
//
// # Memory
//
// Index files are kept in a compact form, the least used dropped beyond some 24 MiB and asked for again when they are needed again.
// Beside that, the plan remembers the names and versions it has told, and what the few crates in work need.
package plan
