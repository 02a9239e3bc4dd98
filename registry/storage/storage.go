// Package storage is where bytes lie: the archives of crates, each under a key that carries its digest, so that a blob is
// written once and never changed. What a blob means is the catalog's to know; a blob that the catalog does not name is
// rubbish of a publish that failed and may be swept when it is old.
//
// A writer's bytes become visible with Commit, whole, or not at all. Only PutBatched may leave a part of a blob that nobody was told of.
package storage

import (
	"context"
	"io"
	"iter"
	"os"
	"strings"
	"time"
)

// Store keeps blobs under keys (see CrateKey). It is safe for concurrent use. A missing key is an error that satisfies
// errors.Is(err, fs.ErrNotExist).
type Store interface {
	// Create begins a blob; its key is given at its end, when the digest is known.
	Create(ctx context.Context) (Writer, error)
	// Open opens a blob for reading, at any offset.
	Open(ctx context.Context, key string) (Blob, error)
	// Stat tells of a blob without opening it.
	Stat(ctx context.Context, key string) (Info, error)
	// List gives the blobs whose keys begin with prefix, which is empty or ends with a slash, and come after the key after, in the
	// order of the keys' bytes. It holds a page of them at a time. A blob that comes or goes meanwhile may be missed or not. An error
	// ends it.
	List(ctx context.Context, prefix, after string) iter.Seq2[Info, error]
	// Delete removes a blob; to remove one that is not there is no error.
	Delete(ctx context.Context, key string) error
	// Check reports whether the store can take and give blobs now.
	Check(ctx context.Context) error
}

// Info is what a store knows of a blob.
type Info struct {
	Key      string
	Size     int64     // bytes
	Modified time.Time // when it was stored, by the store's clock
}

// Writer takes the bytes of one blob. Exactly one of Commit and Cancel ends it; Cancel after Commit does nothing.
type Writer interface {
	io.Writer
	// Commit gives the blob its key. It is durable once durable has returned nil, and not before: the caller may do other work
	// meanwhile. A blob that has the key already has the same digest, so the same bytes.
	Commit(ctx context.Context, key string) (durable func() error, err error)
	// Cancel throws the bytes away.
	Cancel() error
}

// CommitsAtOnce reports whether a store's Commit waits for nothing, so that it can be called where others wait. That of S3 sends all bytes.
func CommitsAtOnce(s Store) bool {
	_, ok := s.(*Filesystem)
	return ok
}

// Blob is an open blob.
type Blob interface {
	io.ReadSeekCloser
	Stat() (os.FileInfo, error)
}

// Streamer is a Blob that knows best how to copy what is left of it. A file is none: the kernel does that.
type Streamer interface {
	Stream(w io.Writer) (int64, error)
}

// CrateKey is the key of a hosted crate's archive. Name and version have passed registry/crate's checks, so they hold no
// slash; sha256 is 64 lower-case hex digits. All versions of a crate lie in one folder: see docs/adr/0002.
func CrateKey(name, version, sha256 string) string {
	return "crates/" + name + "/" + version + "-" + sha256 + ".crate"
}

// MirrorKey is the key of an archive that a mirror has cached: as CrateKey, in a folder of the mirror's own.
func MirrorKey(mirror, name, version, sha256 string) string {
	return MirrorPrefix(mirror) + name + "/" + version + "-" + sha256 + ".crate"
}

// MirrorsPrefix begins the keys of all archives of all mirrors.
const MirrorsPrefix = "mirrors/"

// MirrorPrefix begins the keys of all archives of a mirror.
func MirrorPrefix(mirror string) string { return MirrorsPrefix + mirror + "/" }

// ParseMirrorKey is the other way round of MirrorKey; what is no such key gives empty texts.
func ParseMirrorKey(key string) (mirror, name, version, sha256 string) {
	part := strings.Split(strings.TrimPrefix(key, MirrorsPrefix), "/")
	if len(part) != 3 {
		return "", "", "", ""
	}
	file := strings.TrimSuffix(part[2], ".crate")
	i := strings.LastIndexByte(file, '-')
	if i < 0 {
		return "", "", "", ""
	}
	return part[0], part[1], file[:i], file[i+1:]
}
