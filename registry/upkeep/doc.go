// Package upkeep looks after what is stored: it checks that the catalog, the blobs and the index belong together, repairs what can be
// repaired, removes blobs that nothing names any more, and reads stored bytes again from time to time.
//
//	check   walks the catalog and the listing of the storage side by side, both in the order of the keys, and holds a part of each
//	repair  puts back the bytes of a version from a copy whose digest is right; what is replaced is kept under quarantine/
//	sweep   removes what no version names, in two steps that cannot race with a publish of the same bytes
//	scrub   is a check without end, slow enough that nobody notices
//
// All of it is safe beside servers that serve, publish and delete: what looks wrong is looked at again before it is reported.
package upkeep
