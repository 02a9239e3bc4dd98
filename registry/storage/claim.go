package storage

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
)

// Where a store says whose blobs it holds, and which store it is.
const (
	ownerKey = metaDir + "registry"
	idKey    = metaDir + "storage"
	// noteKey says how far its catalog was.
	noteKey = metaDir + "catalog"
)

// ownerMost bounds what is read of either, in bytes.
const ownerMost = 1 << 10

// ForeignError tells that a store holds the blobs of another registry.
type ForeignError struct {
	Owner string // the id that the store names
}

// Error implements error.
func (e *ForeignError) Error() string {
	return fmt.Sprintf("the storage belongs to another registry, of id %s: two registries in one place would remove each other's files as "+
		"rubbish. Give this one a bucket, prefix or folder of its own, or take the storage over when the other registry is gone for good", e.Owner)
}

// claimable is a store that can say something of itself, beside its blobs.
type claimable interface {
	// mark gives what stands under a key, and whether it is there: one that is empty was damaged.
	mark(ctx context.Context, key string) (text string, there bool, err error)
	// setMark writes it. Unless replace is set, what is there already stays, and the error is fs.ErrExist where the store
	// can tell.
	setMark(ctx context.Context, key, text string, replace bool) error
}

// asClaimable finds what can name its owner in a store that may be wrapped in others, which then have an Unwrap.
func asClaimable(store Store) (claimable, error) {
	for s := store; ; {
		if c, ok := s.(claimable); ok {
			return c, nil
		}
		u, ok := s.(interface{ Unwrap() Store })
		if !ok {
			return nil, fmt.Errorf("a store of type %T cannot be claimed", store)
		}
		s = u.Unwrap()
	}
}

// Owner gives the id of the registry whose blobs a store holds; empty: nobody has claimed it.
func Owner(ctx context.Context, store Store) (string, error) {
	c, err := asClaimable(store)
	if err != nil {
		return "", err
	}
	owner, _, err := c.mark(ctx, ownerKey)
	return owner, err
}

// ID gives the random name of a store, by which a catalog knows its own from another; empty: Identify has not given it one. A copy of a store that
// takes its marks along has the same.
func ID(ctx context.Context, store Store) (string, error) {
	id, _, err := LookID(ctx, store)
	return id, err
}

// LookID is ID, and tells a store that had a name, which was damaged and is empty now, from one that had none.
func LookID(ctx context.Context, store Store) (id string, damaged bool, err error) {
	c, err := asClaimable(store)
	if err != nil {
		return "", false, err
	}
	id, there, err := c.mark(ctx, idKey)
	return id, there && id == "", err
}

// NewID makes up a name for a store.
func NewID() string { return rand.Text() }

// Identify is ID, and gives a store that has no name this one. Several servers may do so at once: all get the same name.
func Identify(ctx context.Context, store Store, name string) (string, error) {
	c, err := asClaimable(store)
	if err != nil {
		return "", err
	}
	for range 3 { // read again after a write: another server may have been faster
		id, damaged, err := c.mark(ctx, idKey)
		if err != nil || id != "" {
			return id, err
		}
		if err := c.setMark(ctx, idKey, name, damaged); err != nil && !errors.Is(err, fs.ErrExist) {
			return "", fmt.Errorf("give the storage a name: %w", err)
		}
	}
	return "", errors.New("give the storage a name: it does not keep what is written")
}

// ClaimedAt gives when the registry that has the store claimed it, by the store's clock. It is an error if nobody has.
func ClaimedAt(ctx context.Context, store Store) (time.Time, error) {
	info, err := store.Stat(ctx, ownerKey)
	return info.Modified, err
}

// CatalogNote gives what SetCatalogNote has kept; empty: nothing, or what was kept was damaged.
func CatalogNote(ctx context.Context, store Store) (string, error) {
	c, err := asClaimable(store)
	if err != nil {
		return "", err
	}
	text, _, err := c.mark(ctx, noteKey)
	return text, err
}

// SetCatalogNote keeps a text of at most 1 KiB beside the blobs, in the place of the one before. It is the registry's who has the store.
func SetCatalogNote(ctx context.Context, store Store, text string) error {
	c, err := asClaimable(store)
	if err != nil {
		return err
	}
	return c.setMark(ctx, noteKey, text, true)
}

// Claim makes sure that the store holds the blobs of the registry of this id and of no other. A store without an owner, or whose mark is empty, gets this
// one. One of another registry is refused with a *ForeignError, unless takeOver is set. Several servers of one registry may claim it at once.
func Claim(ctx context.Context, store Store, registryID string, takeOver bool) error {
	c, err := asClaimable(store)
	if err != nil {
		return err
	}
	if registryID == "" || registryID != strings.TrimSpace(registryID) || len(registryID) > ownerMost {
		return fmt.Errorf("registry id %q: it must not be empty, nor begin or end with a space", registryID)
	}
	// Read again after a write: another registry may have been faster.
	for range 3 {
		owner, there, err := c.mark(ctx, ownerKey)
		switch {
		case err != nil:
			return fmt.Errorf("ask whose storage this is: %w", err)
		case owner == registryID:
			return nil
		case owner != "" && !takeOver:
			return &ForeignError{Owner: owner}
		}
		if err := c.setMark(ctx, ownerKey, registryID, there); err != nil && !errors.Is(err, fs.ErrExist) {
			return fmt.Errorf("claim the storage: %w", err)
		}
	}
	return errors.New("claim the storage: another registry claims it at the same time; stop one of them")
}

func (f *Filesystem) mark(_ context.Context, key string) (text string, there bool, err error) {
	file, err := f.root.Open(key)
	if errors.Is(err, fs.ErrNotExist) {
		return "", false, nil
	}
	if err != nil {
		return "", false, diskFault(err)
	}
	defer func() { _ = file.Close() }() // it was read only
	return readMark(file)
}

func readMark(r io.Reader) (text string, there bool, err error) {
	data, err := io.ReadAll(io.LimitReader(r, ownerMost+1))
	return strings.TrimSpace(string(data)), err == nil, err
}

func (f *Filesystem) setMark(_ context.Context, key, text string, replace bool) error {
	w, err := f.create()
	if err != nil {
		return err
	}
	defer func() { _ = w.Cancel() }() // its file has a second name, or the error says more
	if _, err := io.WriteString(w, text+"\n"); err != nil {
		return err
	}
	if err := w.file.Sync(); err != nil {
		return diskFault(err)
	}
	if _, err := f.mkdirAll(strings.TrimSuffix(metaDir, "/")); err != nil {
		return diskFault(err)
	}
	give := f.root.Link
	if replace {
		give = f.root.Rename
	}
	err = give(w.name, key)
	if err != nil && !replace && !errors.Is(err, fs.ErrExist) { // a filesystem without links
		err = f.root.Rename(w.name, key)
	}
	return diskFault(errors.Join(err, f.syncDir(metaDir), f.syncDir(".")))
}

func (s *S3) mark(ctx context.Context, key string) (text string, there bool, err error) {
	ctx, cancel := bounded(ctx)
	defer cancel()
	b, err := s.Open(ctx, key)
	if errors.Is(err, fs.ErrNotExist) {
		return "", false, nil
	}
	if err != nil {
		return "", false, err
	}
	defer func() { _ = b.Close() }() // it was read only
	return readMark(b)
}

func (s *S3) setMark(ctx context.Context, key, text string, replace bool) error {
	ctx, cancel := bounded(ctx)
	defer cancel()
	sp := s.spools.open()
	defer func() { _ = sp.close() }() // it is in memory
	if _, err := io.WriteString(sp, text+"\n"); err != nil {
		return err
	}
	object := aws.String(s.prefix + key)
	err := s.put(ctx, object, sp, !replace && !s.plainPuts.Load())
	switch {
	case err == nil:
		return nil
	case !replace && statusOf(err) == http.StatusPreconditionFailed:
		return fs.ErrExist
	case !replace && knowsNoConditions(err):
		s.plainPuts.Store(true)
		err = s.put(ctx, object, sp, false)
	}
	if err != nil {
		return s.failed(ctx, "PutObject", key, err)
	}
	return nil
}
