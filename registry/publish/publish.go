// Package publish is the write path: frame → archive check → blob → catalog → index.
//
// The archive is checked, hashed and stored in one pass while it arrives. Its blob is durable before the catalog's
// transaction commits, which makes version, index line and change visible together, and only then does cargo get its answer. A
// crash at any point leaves the version fully there or fully absent; at worst a blob remains that nobody names.
package publish

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/crateyard/crateyard/registry/auth"
	"github.com/crateyard/crateyard/registry/catalog"
	"github.com/crateyard/crateyard/registry/crate"
	"github.com/crateyard/crateyard/registry/fault"
	"github.com/crateyard/crateyard/registry/index"
	"github.com/crateyard/crateyard/registry/storage"
)

// Catalog is what the write path needs of the catalog.
type Catalog interface {
	CheckPublish(ctx context.Context, p catalog.Publication, allow func(catalog.Standing) error) error
	Publish(ctx context.Context, p catalog.Publication, allow func(catalog.Standing) error) error
}

// Publisher publishes.
type Publisher struct {
	Catalog Catalog
	Store   storage.Store
	Limits  crate.Limits
	URL     string // public base of this registry, without a slash at its end

	// NewCratesRestricted has new crates be seen by their owners only.
	NewCratesRestricted bool
}

// Uploader is who publishes, and from where.
type Uploader struct {
	*auth.Principal
	Address string // of the client
	// Admit is asked once, before the archive is read, whether one more publish is not too many.
	Admit func(isNew bool) error
}

// Result is what was published.
type Result struct {
	Name, Version, SHA256 string
	Size                  int64    // bytes of the archive
	Warnings              []string // lines that cargo prints
}

// Publish reads one upload to its end and publishes it for who. Errors of the uploader are *fault.Error.
func (p *Publisher) Publish(ctx context.Context, who Uploader, body io.Reader) (Result, error) {
	f := frame{body: body}
	data, err := f.metadata()
	if err != nil {
		return Result{}, err
	}
	meta, err := crate.ParseMetadata(data)
	if err != nil {
		return Result{}, fault.New(fault.Invalid, "%v", err)
	}
	version, err := crate.ParseVersion(meta.Vers)
	if err != nil {
		return Result{}, fault.New(fault.Invalid, "%v", err)
	}
	pub := catalog.Publication{
		By: who.Actor(who.Address), Name: meta.Name, Version: version, Metadata: data, Details: details(meta), Dependencies: p.ownDependencies(meta),
		Restricted: p.NewCratesRestricted,
	}
	allow := func(s catalog.Standing) error { return auth.AllowPublish(who.Principal, meta.Name, s) }
	// Asked before the archive is read, so that an upload in vain costs no disk, and asked again in the transaction.
	isNew := false
	if err := p.Catalog.CheckPublish(ctx, pub, func(s catalog.Standing) error {
		isNew = !s.Exists
		return allow(s)
	}); err != nil {
		return Result{}, err
	}
	if err := who.Admit(isNew); err != nil {
		return Result{}, err
	}
	blob, err := p.Store.Create(ctx)
	if err != nil {
		return Result{}, err
	}
	defer func() { _ = blob.Cancel() }() // after a commit it does nothing; before, the error that led here says more
	if pub.SHA256, pub.Size, err = p.receive(f, meta, blob); err != nil {
		return Result{}, err
	}
	entry := index.NewEntry(meta, pub.SHA256, time.Now(), p.isOwn)
	pub.Line = entry.Line()
	durable, err := blob.Commit(ctx, storage.CrateKey(pub.Name, version.String(), pub.SHA256))
	if err != nil {
		return Result{}, fmt.Errorf("store crate: %w", err)
	}
	pub.Durable = sync.OnceValue(durable)
	defer func() { _ = pub.Durable() }() // where the catalog refused, the store is still not to be left at work
	if err := p.Catalog.Publish(ctx, pub, allow); err != nil {
		return Result{}, err
	}
	return Result{Name: pub.Name, Version: version.String(), SHA256: pub.SHA256, Size: pub.Size}, nil
}

// receive checks the archive while it goes to the blob and through the hash.
func (p *Publisher) receive(f frame, meta *crate.Metadata, blob io.Writer) (sum string, size int64, err error) {
	archive, err := f.archive(p.Limits.Archive)
	if err != nil {
		return "", 0, err
	}
	size = archive.left
	hash := sha256.New()
	stored := &storedWriter{w: io.MultiWriter(hash, blob)}
	err = crate.CheckArchive(io.TeeReader(archive, stored), meta.Name, meta.Vers, p.Limits)
	switch {
	case archive.err != nil:
		return "", 0, archive.err
	case stored.err != nil:
		return "", 0, fmt.Errorf("store crate: %w", stored.err)
	case err != nil:
		return "", 0, fault.New(fault.Invalid, "%v", err)
	}
	if err := f.end(); err != nil {
		return "", 0, err
	}
	return hex.EncodeToString(hash.Sum(nil)), size, nil
}

// storedWriter remembers that the store failed, which is our fault and not the archive's.
type storedWriter struct {
	w   io.Writer
	err error
}

func (s *storedWriter) Write(b []byte) (int, error) {
	n, err := s.w.Write(b)
	s.err = errors.Join(s.err, err)
	return n, err
}

// details are what is shown of a version.
func details(m *crate.Metadata) catalog.Details {
	return catalog.Details{
		Description: m.Description, Homepage: m.Homepage, Documentation: m.Documentation, Repository: m.Repository,
		License: m.License, LicenseFile: m.LicenseFile, RustVersion: m.RustVersion, Links: m.Links, Keywords: m.Keywords, Categories: m.Categories,
	}
}

// ownDependencies names the crates of this registry that a version depends on.
func (p *Publisher) ownDependencies(m *crate.Metadata) (names []string) {
	for _, d := range m.Deps {
		if d.Registry == "" || p.isOwn(d.Registry) {
			names = append(names, d.Name)
		}
	}
	return names
}

// isOwn reports whether a dependency's registry is this one, under whichever of its index addresses.
func (p *Publisher) isOwn(registry string) bool {
	u := strings.TrimSuffix(strings.TrimPrefix(registry, "sparse+"), "/")
	return u == p.URL+"/index" || u == p.URL+"/git/index"
}
