package mirror

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/crateyard/crateyard/registry/fault"
)

// shadowWait is how long a publish waits for what upstreams say of a name.
const shadowWait = 5 * time.Second

// Having gives the mirrors whose upstream has a crate of a name, whatever its case, '-' and '_', as far as is known. With ask, the upstreams are asked
// where none is known to have it; one that cannot be asked is an error where no other has it. Nobody asks that of a mirror with mode Pinned: of it, what is
// cached is known.
func (m *Manager) Having(ctx context.Context, name string, ask bool) ([]string, error) {
	have, err := m.Catalog.KnowsMirrored(ctx, name)
	if err != nil || !ask || len(have) > 0 {
		return have, err
	}
	ctx, cancel := context.WithTimeout(ctx, shadowWait)
	defer cancel()
	var away error
	for mirror, found := range m.all() {
		if found.pinnedOnly() {
			continue
		}
		for _, spelling := range spellings(name) {
			e, err := found.fresh(ctx, spelling, time.Time{})
			if err != nil {
				if away == nil {
					away = found.cannotTell(err)
				}
				break // another may have it, which is enough
			}
			if e.file != nil {
				have = append(have, mirror)
				break
			}
		}
	}
	if len(have) == 0 && away != nil {
		return nil, away
	}
	slices.Sort(have)
	return have, nil
}

// cannotTell is the error for who asks whether upstream has a crate, which failed.
func (m *Mirror) cannotTell(err error) error {
	why := fmt.Sprintf("no answer in %s", shadowWait)
	if h := m.up.health.Load(); h != nil && h.err != "" {
		why = h.err
	}
	return fault.Wrap(fault.Unavailable, err, "publishing.shadowing is Refuse, and whether the upstream of mirror `%s`, %s, has a crate of this name, too, cannot be found out (%s); "+
		"try again when it answers. If it will not, an administrator can give the mirror mode Pinned, which asks nobody, or set publishing.shadowing to Warn", m.Name(), m.up.host, why)
}

// spellings are those under which the index file of a crate of a name may lie, as far as cargo tries them.
func spellings(name string) []string {
	n := strings.ToLower(name)
	all := []string{n, strings.ReplaceAll(n, "-", "_"), strings.ReplaceAll(n, "_", "-")}
	slices.Sort(all)
	return slices.Compact(all)
}
