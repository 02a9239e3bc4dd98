// Package gitindex serves the index of the registry as a git repository over smart HTTP, for cargo before 1.68 and for
// whoever wants the index as a whole. The content is that of the sparse index, the history comes from the feed of changes.
//
// # History
//
// Commit 0 holds config.json and nothing else. Commit n is the n-th change of the feed, with the change's time as author and
// committer date, whether the change altered a file or not. Every commit whose number divides by rootEvery has no parent: the
// history begins anew there, so that a first clone stays small. So has every commit that takes a crate out of the index, because it was restricted or
// deleted: what it was and what it was called is in no history that is served from then on, nor in what a client gets that had an older one, which
// is a clone. A hash depends on config.json and on the changes up to it and on nothing else, so every replica has the same commits, however it read
// the feed and however often it began anew.
//
// config.json is the same in all commits. When it changes (the registry's address, or whether it asks for a token), the whole
// history is made again with the new one; cargo takes whatever HEAD is and loads the index once as a whole.
//
// # Storage
//
// All lies in one folder, which is a cache: whatever is missing, foreign or damaged there is thrown away and built again.
// Objects are kept as git transfers them, since nobody but a fetch reads them:
//
//   - the base: the whole state at the newest commit without a parent, one file of pack entries (base-N);
//   - the log: for each commit after it, the pack entries of what it changed, each as a delta against what its parent
//     commit had at the same path (a row of the SQLite database index.db);
//   - nodes: the newest content of each file and folder, which the next commit is made from (rows, too).
//
// A clone is the base and the log after it. A fetch is the log after the newest commit that the client has; the log goes on
// across a commit without a parent and is kept for keepLog commits, so that such a commit costs a client nothing. Both are bytes
// copied from disk to the network, under no lock, in constant memory. An object that comes back (a version that is
// yanked and unyanked) is marked, so that no pack holds it twice and no two deltas lean on each other.
//
// The go-git library is not used: its server side answers only a few of the capabilities that cargo's clients ask for, and walks
// all objects of the history for each fetch. docs/adr/0003 has the figures.
//
// # Protocol
//
// Versions 0, 1 and 2 of the protocol, fetch only, over HTTP: gitprotocol-pack, gitprotocol-v2 and gitprotocol-http of git's
// documentation. A depth is honoured in what the client takes as its history; the pack may hold more than was asked for.
package gitindex
