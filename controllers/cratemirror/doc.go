// Package cratemirror reconciles CrateMirror objects: a mirror at a Registry, and its lockfiles.
//
// The registry's server is the memory, and does the work: it fetches, caches, syncs by schedule and applies the policy. The operator
// brings it the spec, with the token and certificates that the spec only names, and the Cargo.lock files of ConfigMaps; and it brings back
// how the mirror stands. Both ways are level-based: what is at the server is compared with what should be, whoever changed it.
//
// One wrong entry holds up no other. A spec that the server refuses leaves the one from before in effect, and so does a missing Secret;
// a lockfile that cannot be read, or whose ConfigMap is gone, leaves its last content pinned. In all these cases the rest is brought
// about, and a condition names the entry. Nothing that is cached is removed because something is missing here.
//
// Lockfiles of the operator are named by ConfigMap and key, behind names.LockfilePrefix. Others were pinned by hand, and are left alone.
package cratemirror
