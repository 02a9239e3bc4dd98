package registry

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"path/filepath"
	"time"

	"github.com/crateyard/crateyard/registry/backup"
	"github.com/crateyard/crateyard/registry/catalog"
	"github.com/crateyard/crateyard/registry/fault"
	"github.com/crateyard/crateyard/registry/storage"
)

// A catalog and a storage belong together. Each carries the other's mark: the storage the id of the registry, so that no second catalog takes its
// archives for rubbish, and the catalog the id of the storage, so that no second storage takes half of them. Both are looked at before anything is
// written, at each start, by each command and before each sweep. How far the catalog was is in the storage, too: see SetBack.

// storageName is where the storage is, for people: nothing in it is secret.
func (c *Config) storageName() string {
	s := c.Storage.S3
	if s == nil {
		dir := c.StorageFolder()
		if abs, err := filepath.Abs(dir); err == nil {
			dir = abs
		}
		return "the folder " + dir
	}
	name := "s3://" + s.Bucket
	if s.Prefix != "" {
		name += "/" + s.Prefix
	}
	if s.Endpoint != "" {
		name += " at " + s.Endpoint
	}
	return name
}

// claim makes sure that catalog and storage belong together, and to nobody else.
func (b *Backends) claim(ctx context.Context, c *Config, log *slog.Logger) error {
	if _, err := b.Catalog.Claim(ctx, c.Instance, c.TakeOver); err != nil {
		return fmt.Errorf("catalog: %w", err)
	}
	if !c.TakeOver {
		if err := b.Verify(ctx); err != nil {
			return err
		}
	}
	was, err := b.Take(ctx, c.TakeOver)
	if err == nil && was.ID != "" && was.Where != b.where { // the same storage under another name, or a copy of it, which no mark can tell
		log.Warn("The storage goes by another address than before; where it is a copy, nobody may go on with the other", "was", was.Where, "is", b.where)
	}
	if err == nil && c.TakeOver {
		back, isBack := errors.AsType[*SetBackError](b.SetBack(ctx)) // another error is the next one's, too
		if err = b.AcceptCatalog(ctx); err == nil && isBack {
			log.Warn("The catalog is taken over as it is, though it is older than the storage: sweeps may remove archives that it does not name", "why", back.Detail())
		}
	}
	if err == nil {
		err = backup.EndRestore(ctx, b.Catalog)
	}
	return err
}

// Take marks catalog and storage as each other's, and gives the storage that was the catalog's before. A storage of another registry, or a
// catalog with another storage, is refused, unless they are taken over.
func (b *Backends) Take(ctx context.Context, over bool) (was catalog.Storage, err error) {
	id, err := b.Catalog.RegistryID(ctx)
	if err != nil {
		return was, fmt.Errorf("catalog: %w", err)
	}
	if over {
		return b.takeOver(ctx, id)
	}
	if err := storage.Claim(ctx, b.Store, id, false); err != nil {
		return was, fmt.Errorf("storage: %w", err)
	}
	return b.name(ctx)
}

// name makes the storage the catalog's by its name, and gives a storage without one that which the catalog knows or, where it knows none, a new one. The
// catalog is told first: it is what decides between servers that do so at once, since not every storage can.
func (b *Backends) name(ctx context.Context) (was catalog.Storage, err error) {
	for try := 1; ; try++ {
		is := catalog.Storage{Where: b.where}
		if is.ID, err = storage.ID(ctx, b.Store); err != nil {
			return was, fmt.Errorf("storage: %w", err)
		}
		if is.ID != "" {
			return b.claimStorage(ctx, is, false)
		}
		own, err := b.Catalog.Storage(ctx)
		if err != nil {
			return was, fmt.Errorf("catalog: %w", err)
		}
		is.ID = storage.NewID()
		if own.ID != "" && own.Where == b.where {
			is.ID = own.ID
		}
		was, err = b.claimStorage(ctx, is, false)
		if err == nil {
			given, err := storage.Identify(ctx, b.Store, is.ID)
			if err != nil {
				return was, fmt.Errorf("storage: %w", err)
			}
			if given != is.ID { // somebody else gave it: the catalog has another one
				_, err = b.claimStorage(ctx, catalog.Storage{ID: given, Where: b.where}, false)
			}
			return was, err
		}
		if fault.KindOf(err) != fault.Conflict || try == nameTries {
			return was, err
		}
		select { // another server was faster, and is about to name the storage
		case <-time.After(nameWait):
		case <-ctx.Done():
			return was, ctx.Err()
		}
	}
}

// How often, and after what time each, a server looks for the name that another one gives.
const (
	nameTries = 150
	nameWait  = 100 * time.Millisecond
)

// takeOver is Take where nobody can refuse. The catalog is told first, and the storage gets its owner last: where it is cut off, the storage never has
// a name that the catalog does not know, which would be that of another one, so Adopt goes on with it.
func (b *Backends) takeOver(ctx context.Context, registry string) (was catalog.Storage, err error) {
	is := catalog.Storage{Where: b.where}
	if is.ID, err = storage.ID(ctx, b.Store); err != nil {
		return was, fmt.Errorf("storage: %w", err)
	}
	if is.ID == "" {
		is.ID = storage.NewID()
	}
	if was, err = b.claimStorage(ctx, is, true); err != nil {
		return was, err
	}
	given, err := storage.Identify(ctx, b.Store, is.ID)
	if err != nil {
		return was, fmt.Errorf("storage: %w", err)
	}
	if given != is.ID { // another server took it over meanwhile, and was faster
		is.ID = given
		if _, err := b.claimStorage(ctx, is, true); err != nil {
			return was, err
		}
	}
	if err := storage.Claim(ctx, b.Store, registry, true); err != nil {
		return was, fmt.Errorf("storage: %w", err)
	}
	return was, nil
}

func (b *Backends) claimStorage(ctx context.Context, is catalog.Storage, over bool) (was catalog.Storage, err error) {
	was, err = b.Catalog.ClaimStorage(ctx, is, over)
	if fault.KindOf(err) == fault.Conflict {
		return was, fmt.Errorf("storage: %w", err)
	}
	if err != nil {
		return was, fmt.Errorf("catalog: %w", err)
	}
	return was, nil
}

// Verify makes sure that the storage is the catalog's: that it is nobody else's, and the one that the catalog is used with. Where it is nobody's, it must
// have what the catalog names, and nothing where the catalog names nothing. Whoever removes or repairs blobs asks first.
func (b *Backends) Verify(ctx context.Context) error { return b.verify(ctx, false) }

// verify is Verify. With mayLack the storage may be a new one, which a repair is about to fill.
func (b *Backends) verify(ctx context.Context, mayLack bool) error {
	id, err := b.Catalog.RegistryID(ctx)
	if err != nil {
		return fmt.Errorf("catalog: %w", err)
	}
	own, err := b.Catalog.Storage(ctx)
	if err != nil {
		return fmt.Errorf("catalog: %w", err)
	}
	owner, err := storage.Owner(ctx, b.Store)
	is := catalog.Storage{Where: b.where}
	damaged := false
	if err == nil {
		is.ID, damaged, err = storage.LookID(ctx, b.Store)
	}
	if err != nil {
		return fmt.Errorf("storage: ask whose it is: %w", err)
	}
	if owner != "" && owner != id {
		return fmt.Errorf("storage: %w. If it was this registry's, whose catalog was lost, `crateyard restore --from-blobs` makes the catalog anew", &storage.ForeignError{Owner: owner})
	}
	if owner == "" {
		if err := b.verifyUnclaimed(ctx, mayLack); err != nil {
			return err
		}
	}
	if is.ID == "" && own.Where == b.where && (owner != "" || damaged) {
		found, err := b.compare(ctx)
		if err != nil {
			return err
		}
		if found.archive || !found.named {
			return nil // its name was lost, as by a crash of the machine, and all else says that it is the catalog's: Take gives the name again
		}
	}
	if own.ID != "" && own.ID != is.ID && (is.ID != "" || !mayLack) {
		return fmt.Errorf("storage: %w", catalog.OtherStorage(own, is))
	}
	return nil
}

// Adopt makes a storage the catalog's that has become one by a repair: it has archives that the catalog names, and is nobody's, or this registry's from before
// storages had names. It reports whether it did.
func (b *Backends) Adopt(ctx context.Context) (bool, error) {
	registry, err := b.Catalog.RegistryID(ctx)
	if err != nil {
		return false, fmt.Errorf("catalog: %w", err)
	}
	owner, oerr := storage.Owner(ctx, b.Store)
	name, nerr := storage.ID(ctx, b.Store)
	if err := errors.Join(oerr, nerr); err != nil {
		return false, fmt.Errorf("storage: ask whose it is: %w", err)
	}
	if owner != "" && (owner != registry || name != "") {
		return false, nil
	}
	found, err := b.compare(ctx)
	if err != nil || !found.archive {
		return false, err
	}
	_, err = b.Take(ctx, true)
	return err == nil, err
}

// looked is how many versions are looked for in a storage that nobody has claimed: some may be lost, and the rest is served all the same.
const looked = 100

// compared is what a storage has of the first versions of a catalog.
type compared struct {
	archive bool             // it has one of them
	missing *catalog.BlobRef // the first that it lacks; nil: none
	named   bool             // the catalog has versions, deleted ones too
}

func (b *Backends) compare(ctx context.Context) (found compared, err error) {
	seen := 0
	for ref, err := range b.Catalog.BlobsAfter(ctx, catalog.CrateBlob{}) {
		if err != nil {
			return found, fmt.Errorf("catalog: %w", err)
		}
		if found.named = true; ref.DeletedAt != nil {
			continue
		}
		_, err := b.Store.Stat(ctx, storage.CrateKey(ref.Crate, ref.Num, ref.SHA256))
		if err == nil {
			found.archive = true
			break
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return found, fmt.Errorf("storage: %w", err)
		}
		if found.missing == nil {
			found.missing = &ref
		}
		if seen++; seen == looked {
			break
		}
	}
	return found, nil
}

func (b *Backends) verifyUnclaimed(ctx context.Context, mayLack bool) error {
	found, err := b.compare(ctx)
	switch {
	case err != nil:
		return err
	case found.archive:
		return nil
	case found.missing != nil && !mayLack:
		return fmt.Errorf("storage: it is nobody's and lacks what the catalog names, such as %s %s: it is the wrong folder or bucket, or it was emptied. "+
			"`crateyard check --repair --from BACKUPS` fills it again", found.missing.Crate, found.missing.Num)
	case found.named:
		return nil
	}
	for blob, err := range b.Store.List(ctx, "crates/", "") {
		if err != nil {
			return fmt.Errorf("storage: %w", err)
		}
		return fmt.Errorf("storage: it holds archives, such as %s, and the catalog is empty: `crateyard restore` brings the catalog back, from a backup or, with --from-blobs, "+
			"from the archives. To serve without them, start once with takeOver: true", blob.Key)
	}
	return nil
}
