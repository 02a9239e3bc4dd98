// Package publish is the write path: frame → archive check → blob → catalog → index.
//
// The archive is checked, hashed and stored in one pass while it arrives. Its blob is durable before the catalog's
// transaction commits, which makes version, index line and change visible together, and only then does cargo get its answer. A
// crash at any point leaves the version fully there or fully absent; at worst a blob remains that nobody names.
//
// What the catalog would refuse is refused before an archive is read, unless that is small: then the catalog is asked in its transaction, which
// has the blob stored once nothing speaks against the version.
package publish

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
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
	MissingDependencies(ctx context.Context, p catalog.Publication) ([]string, error)
	Publish(ctx context.Context, p catalog.Publication, allow func(catalog.Standing) error) error
}

// Publisher publishes.
type Publisher struct {
	Catalog Catalog
	Store   storage.Store
	Limits  crate.Limits
	URL     string   // public base of this registry, without a slash at its end
	Aliases []string // other bases under which it is reached; their index addresses mean this registry, too
	Policy  Policy
	// AllowedRegistries are the registries that crates may depend on besides this one: index addresses, or crates-io. Nil
	// means crates-io alone; empty means none.
	AllowedRegistries []string
	// Mirrors know what upstream registries have; nil: there are none.
	Mirrors interface {
		// Having gives the mirrors whose upstream has a crate of the name; see mirror.Manager.
		Having(ctx context.Context, name string, ask bool) ([]string, error)
	}
	Shadowing Shadowing // of new crates that a mirror has, too; empty: Allow
	// NewCratesRestricted has new crates be seen by their owners only.
	NewCratesRestricted bool
}

// Uploader is who publishes, and from where.
type Uploader struct {
	*auth.Principal
	Address string // of the client
	// Admit is asked before the archive is stored whether one more publish is not too many, and again after giveBack. giveBack is called when nothing was
	// published after all, for whatever reason: that does not count.
	Admit func(isNew bool) (giveBack func(), err error)
	// Imported has the version be one of another registry, as it was there: what this registry asks of a publish beyond the rules for
	// all crates is not asked of it, and the metadata may name other registries than the archive, because they have moved. Nil: a publish.
	Imported *catalog.Imported
}

// Result is what was published.
type Result struct {
	Name, Version, SHA256 string
	Size                  int64    // bytes of the archive
	InvalidCategories     []string // cargo warns of each
	Warnings              []string // lines that cargo prints
}

// Publish reads one upload to its end and publishes it for who. Errors of the uploader are *fault.Error.
func (p *Publisher) Publish(ctx context.Context, who Uploader, body io.Reader) (_ Result, err error) {
	f := frame{body: body}
	held := holding{ctx: ctx, user: who.UserID}
	defer held.end()
	var broken violations
	meta, err := held.metadata(f)
	if meta == nil || err != nil && !broken.note(err) {
		return Result{}, err
	}
	if who.Imported == nil {
		broken = append(broken, p.foreign(meta)...)
	}
	version, badVersion := crate.ParseVersion(meta.Vers)
	if badVersion != nil {
		version = unpublished
	}
	pub := catalog.Publication{
		By: who.Actor(who.Address), Name: meta.Name, Version: version, Restricted: p.NewCratesRestricted,
		Imported: who.Imported,
		// That one has no name a crate can have is said already.
		Dependencies: slices.DeleteFunc(p.OwnDependencies(meta), func(name string) bool { return crate.CheckDependencyName(name) != nil }),
	}
	allow := func(s catalog.Standing) error { return auth.AllowPublish(who.Principal, meta.Name, s) }
	archive, tooLarge := f.archive(p.Limits.Archive)
	receive := func(to io.Writer) (*crate.Archive, error) {
		if tooLarge != nil {
			return nil, tooLarge
		}
		return p.receive(archive, &held, meta, to, &pub)
	}
	// The catalog is asked before the archive is read, so that an upload in vain costs no disk, and asked again in the transaction. A small
	// one costs less than the question: it is asked before only to say all that is wrong at once.
	late := archive != nil && archive.left <= smallArchive && len(broken) == 0 && who.Imported == nil && storage.CommitsAtOnce(p.Store)
	var said answer
	if !late {
		if said, err = p.ask(ctx, who, pub, allow, &broken); err != nil {
			return Result{}, err
		}
	}
	if len(broken) > 0 || said.taken != nil {
		// Its archive is read to its end all the same, and kept nowhere: what is wrong there is part of one answer.
		if _, err := receive(io.Discard); err != nil && !broken.note(err) && !broken.noteTooLarge(err) {
			return Result{}, err
		}
		broken.add(p.refused(meta, who))
		return Result{}, broken.refuseBeside(said.taken)
	}
	giveBack := func() {}
	defer func() {
		if err != nil {
			giveBack()
		}
	}()
	admit := func(isNew bool) error {
		back, err := who.Admit(isNew)
		if err == nil {
			giveBack = back
		}
		return err
	}
	if !late {
		if err := admit(said.isNew); err != nil {
			return Result{}, err
		}
	}
	var blob storage.Writer
	if late {
		blob = beginStore(ctx, p.Store)
	} else if blob, err = p.Store.Create(ctx); err != nil {
		return Result{}, err
	}
	defer func() { _ = blob.Cancel() }() // after a commit it does nothing; before, the error that led here says more
	var wrong violations
	checked, err := receive(blob)
	if err != nil && !wrong.note(err) {
		return Result{}, err
	}
	wrong.add(p.refused(meta, who))
	if len(wrong) > 0 {
		if late {
			if said, err = p.ask(ctx, who, pub, allow, &broken); err != nil {
				return Result{}, err
			}
		}
		broken.add(wrong)
		return Result{}, broken.refuseBeside(said.taken)
	}
	_, warnings, invalidCategories := p.Policy.check(meta)
	if who.Imported == nil {
		warnings = append(warnings, checked.Odd...)
	}
	pub.Details = details(meta, checked)
	if pub.Metadata, err = marshal(meta); err != nil {
		return Result{}, err
	}
	published := time.Now()
	if i := who.Imported; i != nil && !i.PublishedAt.IsZero() {
		published = i.PublishedAt
	}
	entry := index.NewEntry(meta, pub.SHA256, published, p.isOwn)
	pub.Line = entry.Line()
	st := storing{ctx: ctx, blob: blob, key: storage.CrateKey(pub.Name, version.String(), pub.SHA256)}
	defer st.end()
	pub.Store, pub.Durable = st.begin, st.durable
	if late {
		err = p.Catalog.Publish(ctx, pub, allowKnown(allow, func() error { return admit(false) }))
		if err == nil {
			return result(pub, invalidCategories, warnings), nil
		}
		if !errors.Is(err, errNew) && fault.KindOf(err) != fault.Conflict && fault.KindOf(err) != fault.Invalid {
			return Result{}, err
		}
		giveBack()
		giveBack = func() {}
		if said, err = p.ask(ctx, who, pub, allow, &broken); err != nil {
			return Result{}, err
		}
		if len(broken) > 0 || said.taken != nil {
			return Result{}, broken.refuseBeside(said.taken)
		}
		if err := admit(said.isNew); err != nil {
			return Result{}, err
		}
	}
	if err := st.begin(); err != nil { // before the transaction: a store may take its time
		return Result{}, err
	}
	if err := p.Catalog.Publish(ctx, pub, allow); err != nil {
		return Result{}, err
	}
	return result(pub, invalidCategories, append(warnings, said.shadowed...)), nil
}

func result(pub catalog.Publication, invalidCategories, warnings []string) Result {
	return Result{Name: pub.Name, Version: pub.Version.String(), SHA256: pub.SHA256, Size: pub.Size, InvalidCategories: invalidCategories, Warnings: warnings}
}

// unpublished stands for a version that could not be read where the catalog is asked about its crate: no version is this one.
var unpublished = crate.Version{Pre: "?"}

// refused is what the registry's policy refuses of a publish: of the archive's manifest, where that could be read, else of the metadata.
func (p *Publisher) refused(meta *crate.Metadata, who Uploader) []string {
	if who.Imported != nil {
		return nil
	}
	lines, _, _ := p.Policy.check(meta)
	return lines
}

// receive checks the archive while it goes to the blob and through the hash, and holds its manifest against the metadata,
// which from then on says of the crate what the manifest does.
func (p *Publisher) receive(archive *exactReader, held *holding, meta *crate.Metadata, blob io.Writer, pub *catalog.Publication) (*crate.Archive, error) {
	pub.Size = archive.left
	hash := sha256.New()
	stored := &storedWriter{w: io.MultiWriter(hash, blob)}
	limits := p.Limits
	limits.Hold = held.archive
	checked, err := crate.CheckArchive(io.TeeReader(archive, stored), meta.Name, meta.Vers, limits)
	switch {
	case held.err != nil:
		return nil, held.err
	case archive.err != nil:
		return nil, archive.err
	case stored.err != nil:
		return nil, fmt.Errorf("store crate: %w", stored.err)
	}
	var broken violations
	if err != nil {
		broken.note(fault.New(fault.Invalid, "%v", err))
	}
	if checked != nil && pub.Imported == nil {
		if err := checked.Manifest.CheckMetadata(meta, p.isOwn, p.mayBeOwn); err != nil {
			broken.note(fault.New(fault.Invalid, "%v", err))
		}
	}
	if checked != nil {
		if err := checked.Manifest.Describe(meta); err != nil {
			broken.note(fault.New(fault.Invalid, "%v", err))
		}
	}
	if len(broken) > 0 {
		return nil, broken.refuse()
	}
	pub.SHA256 = hex.EncodeToString(hash.Sum(nil))
	return checked, nil
}

// marshal gives what was read of the metadata, not what was sent: nobody shall find a second meaning in it later.
func marshal(m *crate.Metadata) ([]byte, error) {
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false) // a README is full of it
	if err := enc.Encode(m); err != nil {
		return nil, fmt.Errorf("store metadata: %w", err)
	}
	return buf.Bytes(), nil
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
func details(m *crate.Metadata, archive *crate.Archive) catalog.Details {
	var categories []string
	for _, c := range m.Categories {
		if crate.IsCategorySlug(c) {
			categories = append(categories, c)
		}
	}
	return catalog.Details{
		Description: m.Description, Homepage: m.Homepage, Documentation: m.Documentation, Repository: m.Repository,
		License: m.License, LicenseFile: m.LicenseFile, RustVersion: m.RustVersion, Links: m.Links, Keywords: m.Keywords, Categories: categories,
		Edition: archive.Manifest.Edition, HasLib: archive.Lib, BinNames: archive.Bins,
	}
}
