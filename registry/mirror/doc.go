// Package mirror is the upstream side: registries such as crates.io, cached here and served beside the hosted crates.
//
// An index file passes through byte for byte. It is asked for again, by its ETag, when it is older than the mirror's MaxAge: in the background
// up to twice that age, and before it is served after that; when upstream does not answer, the old one is served and counted. A file that would
// change the checksum of a version is refused, and the old one stays. What a policy denies is said in the file as yanked, since cargo never
// chooses such a version anew but still asks for it where a lockfile names it; the download then says 403 and names the rule.
//
// Of a crate that upstream deletes, the versions that are stored stay in its file, as yanked ones: see deleted.
//
// An archive is fetched once, however many ask for it, by one server of several. Who asks gets its bytes while they arrive, except for the
// last one, which leaves when the digest is that of the index. Then it is stored, and served from there for ever, whatever becomes of upstream.
//
// A mirror that gets another upstream keeps no index file of the one before, and of its archives those that the new index has, too.
//
// What is cached is in the catalog (index files, compressed, and which archives are stored) and in the storage (archives, under
// storage.MirrorKey). Nothing of it needs to outlive a crash: writes are gathered, and what is lost is fetched again.
//
// Sources: cargo-util-schemas and the cargo book ("Registry Index", "Source Replacement"), and crates.io's crawler policy for the User-Agent.
package mirror
