package catalog

import (
	"context"
	"database/sql"
	"errors"

	"github.com/crateyard/crateyard/registry/fault"
)

// RegistryID is the random name that the catalog got when it was made, 32 hex digits. A dump carries it, so that a restored catalog goes
// on with the blobs of the old one.
func (c *Catalog) RegistryID(ctx context.Context) (string, error) {
	return metaValue(ctx, c.ro, "registry_id")
}

// Claim makes the catalog that of one registry, named by instance ("namespace/name" on Kubernetes), and gives its RegistryID. The servers of
// one registry claim with the same name. One with another name is refused with a Conflict, unless it takes over: then it is the others
// that are refused at their next start. An empty instance claims nothing and is refused by a catalog that is claimed: who
// gives no name could be anybody.
func (c *Catalog) Claim(ctx context.Context, instance string, takeOver bool) (registryID string, err error) {
	err = c.write(ctx, func(tx *tx) ([]change, error) {
		if err := tx.lock(ctx, lockClaim, 0); err != nil {
			return nil, err
		}
		owner, err := metaValue(ctx, tx, "instance")
		switch {
		case err != nil:
			return nil, err
		case owner != "" && owner != instance && !takeOver:
			return nil, fault.New(fault.Conflict, "the catalog's database belongs to registry %s; this is %s: give it a database of its own, "+
				"or, if that registry is gone for good, start once with takeOver: true", owner, orUnnamed(instance))
		case instance != owner && instance != "":
			if _, err := tx.ExecContext(ctx, `INSERT INTO meta (key, value) VALUES ('instance', ?)
				ON CONFLICT (key) DO UPDATE SET value = excluded.value`, instance); err != nil {
				return nil, err
			}
		}
		registryID, err = metaValue(ctx, tx, "registry_id")
		return nil, err
	})
	return registryID, err
}

// Storage is the storage that a catalog's archives are in.
type Storage struct {
	ID    string // see storage.ID; empty: the catalog has never been used with one
	Where string // its address, for people
}

// Storage gives the storage that the catalog is used with. It is of the database, not of what is in it: a dump does not carry it.
func (c *Catalog) Storage(ctx context.Context) (s Storage, err error) {
	return s, c.read(ctx, func(q querier) error {
		s, err = storageOf(ctx, q)
		return err
	})
}

func storageOf(ctx context.Context, q querier) (s Storage, err error) {
	if s.ID, err = metaValue(ctx, q, "storage_id"); err != nil {
		return s, err
	}
	s.Where, err = metaValue(ctx, q, "storage")
	return s, err
}

// ClaimStorage makes a storage the one that the catalog is used with, and gives the one before it. Where that is another one, it is a
// Conflict, unless it takes over: then it is the servers with the other one that are refused at their next start.
func (c *Catalog) ClaimStorage(ctx context.Context, s Storage, takeOver bool) (was Storage, err error) {
	err = c.write(ctx, func(tx *tx) ([]change, error) {
		if err := tx.lock(ctx, lockClaim, 0); err != nil {
			return nil, err
		}
		if was, err = storageOf(ctx, tx); err != nil || was == s {
			return nil, err
		}
		if was.ID != "" && was.ID != s.ID && !takeOver {
			return nil, OtherStorage(was, s)
		}
		for _, m := range [][2]string{{"storage_id", s.ID}, {"storage", s.Where}} {
			if _, err := tx.ExecContext(ctx, `INSERT INTO meta (key, value) VALUES (?, ?)
				ON CONFLICT (key) DO UPDATE SET value = excluded.value`, m[0], m[1]); err != nil {
				return nil, err
			}
		}
		return nil, nil
	})
	return was, err
}

// OtherStorage is the error of a catalog that is opened with another storage than its own.
func OtherStorage(own, other Storage) error {
	then := "`crateyard check --repair --from BACKUPS` brings its archives here and takes a storage that has them; or start once with takeOver: true"
	if other.ID != "" { // no repair may write there: it may be in use
		then = "start once with takeOver: true, and run `crateyard check --repair --from BACKUPS`"
	}
	return fault.New(fault.Conflict, "the catalog's archives are in another storage, %s, and this one is %s: one catalog with two storages would put some archives here and "+
		"some there. Give this server the other one. If that is gone for good, %s", own.Where, other.Where, then)
}

func orUnnamed(instance string) string {
	if instance == "" {
		return "a server without a name (instance)"
	}
	return instance
}

func metaValue(ctx context.Context, q querier, key string) (value string, err error) {
	err = q.QueryRowContext(ctx, "SELECT value FROM meta WHERE key = ?", key).Scan(&value)
	if errors.Is(err, sql.ErrNoRows) {
		return "", nil
	}
	return value, err
}
