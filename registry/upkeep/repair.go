package upkeep

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/crateyard/crateyard/registry/storage"
)

// Quarantine is where repaired blobs lie as they were: quarantine/{time}-{random}/{key}. Nothing removes them but a person.
const Quarantine = "quarantine/"

// Source is a place that may have a right copy of a blob: at Prefix and the blob's key.
type Source struct {
	Name   string // for people
	Store  storage.Store
	Prefix string // empty, or with a slash at its end
}

// Rows is a catalog whose rows can be corrected.
type Rows interface {
	// CorrectSize sets the size of a version that has this id and digest.
	CorrectSize(ctx context.Context, id int64, sha256 string, size int64) error
}

// Repairer puts back the bytes of versions, and corrects the catalog where it contradicts bytes that are right. It deletes nothing that it has not copied before, and believes no copy whose digest
// is not the version's.
type Repairer struct {
	Store   storage.Store
	Sources []Source // asked in this order, before what lies in the storage itself
	Rows    Rows     // nil: rows stay as they are
}

// copyOf is a place where the right bytes are.
type copyOf struct {
	store     storage.Store
	key, name string
}

// Repair mends a finding for which Kind.Repairable holds, and says so in f.Repaired. Where no right copy is found, the finding stays as it
// is, and so does what lies in the storage. An error means that storage or catalog failed; what it said belongs beside the finding.
func (r *Repairer) Repair(ctx context.Context, f *Finding) error {
	if f.Kind == WrongRow {
		return r.correct(ctx, f)
	}
	good, err := r.find(ctx, *f)
	if err != nil || good == nil {
		return err
	}
	aside, err := r.setAside(ctx, f.Key)
	if err != nil {
		return fmt.Errorf("keep the old bytes of %s: %w", f.Key, err)
	}
	// A store may keep what it has under a key that is written again, so the wrong bytes go first. A crash right here leaves a blob
	// that is missing, which the next repair brings back from the same copy.
	if err := r.Store.Delete(ctx, f.Key); err != nil {
		return err
	}
	if _, _, err := storage.Copy(ctx, good.store, good.key, r.Store, f.Key, f.sha256, f.size); err != nil {
		return err
	}
	f.Repaired = "restored from " + good.name
	if aside != "" {
		f.Repaired += "; what was there lies at " + aside
	}
	return nil
}

// correct makes the catalog say of an archive what it is: its digest is the version's, which nobody can make up.
func (r *Repairer) correct(ctx context.Context, f *Finding) error {
	if r.Rows == nil {
		return nil
	}
	err := r.Rows.CorrectSize(ctx, f.versionID, f.sha256, f.size)
	if err == nil {
		f.Repaired = fmt.Sprintf("the catalog says %d bytes now", f.size)
	}
	return err
}

// find looks for the first place that has the right bytes.
func (r *Repairer) find(ctx context.Context, f Finding) (*copyOf, error) {
	candidates := make([]copyOf, 0, len(r.Sources))
	for _, s := range r.Sources {
		candidates = append(candidates, copyOf{s.Store, s.Prefix + f.Key, s.Name})
	}
	for _, where := range []string{prefix + f.Crate + "/", Quarantine} {
		for info, err := range r.Store.List(ctx, where, "") {
			if err != nil {
				return nil, err
			}
			_, _, sum, named := storage.ParseCrateKey(info.Key)
			if info.Key != f.Key && info.Size == f.size && (!named || sum == f.sha256) {
				candidates = append(candidates, copyOf{r.Store, info.Key, info.Key})
			}
		}
	}
	for _, c := range candidates {
		sum, n, err := storage.Digest(ctx, c.store, c.key, nil)
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if err == nil && sum == f.sha256 && n == f.size { // where it cannot be read, there may be another
			return &c, nil
		}
	}
	return nil, nil
}

// setAside copies what lies under a key into the quarantine and gives its new key; empty when nothing was there, or nothing that
// can be read.
func (r *Repairer) setAside(ctx context.Context, key string) (string, error) {
	if _, err := r.Store.Stat(ctx, key); errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if _, _, err := storage.Digest(ctx, r.Store, key, nil); err != nil {
		return "", ctx.Err()
	}
	aside := Quarantine + time.Now().UTC().Format("20060102T150405Z") + "-" + rand.Text()[:6] + "/" + key
	_, _, err := storage.Copy(ctx, r.Store, key, r.Store, aside, "", -1)
	return aside, err
}
