// Package backup copies a whole registry to another place and brings it back, on the same backends or on others.
//
// A target is a storage of its own, a folder or a bucket, of one registry:
//
//	backups/{time}-{random}/catalog.jsonl.gz   the catalog, as one transaction saw it
//	backups/{time}-{random}/blobs.gz           the blobs that this backup names: "SIZE KEY" a line, in the order of the keys
//	backups/{time}-{random}/manifest.json      written last: a backup without it does not exist. It has the digests of the other two, and a seal over itself
//	blobs/{key}                                the blobs, under the keys that they have in the storage, shared by all backups
//
// Blobs never change, so a backup copies only those that the target lacks. The catalog is read first and its blobs are copied after
// that: whatever it names was durable before, and what is deleted meanwhile stays until a sweep, which a lease keeps away.
//
// A restore goes the other way round: blobs first, each held against its digest, and the catalog last, in one transaction. A
// restore that was cut leaves an empty catalog and can be run again. A backup that an older program made is brought up to date on the way; one
// of a newer program is refused before anything is copied.
//
// Of mirrors a backup has the specs and the lockfiles. What they cached is upstream's, and may be many times the registry itself; the token for an upstream is
// a secret of another registry. The manifest says what there was of both, so that a restore can name the mirrors that came back without.
package backup

// Places in a target.
const (
	backups      = "backups/"
	blobs        = "blobs/"
	crates       = "crates/" // below blobs: see storage.CrateKey
	manifestName = "/manifest.json"
	catalogName  = "/catalog.jsonl.gz"
	listName     = "/blobs.gz"
)

// Format is the form of a backup that this program writes. It reads this one and all below.
const Format = 1
