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
