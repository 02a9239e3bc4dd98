package catalog

import (
	"testing"

	"github.com/crateyard/crateyard/registry/fault"
	"github.com/crateyard/crateyard/test/postgres"
)

// What is not there cannot be locked, and is not taken for locked: the next statement might find it.
func TestNoLockOfWhatIsNotThere(t *testing.T) {
	c := openPostgres(t, postgres.Database(t))
	for what, lock := range map[string]func(*tx) error{
		"crate":           func(tx *tx) error { return tx.lockCrate(t.Context(), "fresh") },
		"user":            func(tx *tx) error { return tx.lockUser(t.Context(), "fresh") },
		"user and crates": func(tx *tx) error { return tx.lockUserAndCrates(t.Context(), "fresh") },
	} {
		if err := c.write(t.Context(), func(tx *tx) ([]change, error) { return nil, lock(tx) }); fault.KindOf(err) != fault.NotFound {
			t.Errorf("%s: %v", what, err)
		}
	}
}
