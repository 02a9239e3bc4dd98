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
// for what is not known; one that cannot be asked is an error. Nobody asks that of a mirror with mode Pinned: of it, what is cached is known.
func (m *Manager) Having(ctx context.Context, name string, ask bool) ([]string, error) {
	have, err := m.Catalog.KnowsMirrored(ctx, name)
	if err != nil || !ask {
		return have, err
	}
	ctx, cancel := context.WithTimeout(ctx, shadowWait)
	defer cancel()
	for mirror, found := range m.all() {
		if slices.Contains(have, mirror) || found.pinnedOnly() {
			continue
		}
		for _, spelling := range spellings(name) {
			e, err := found.fresh(ctx, spelling)
			if err != nil {
				why := fmt.Sprintf("no answer in %s", shadowWait)
				if h := found.up.health.Load(); h != nil && h.err != "" {
					why = h.err
				}
				return nil, fault.Wrap(fault.Unavailable, err, "publishing.shadowing is Refuse, and whether the upstream of mirror `%s`, %s, has a crate of this name, too, cannot be found out (%s); "+
					"try again when it answers. If it will not, an administrator can give the mirror mode Pinned, which asks nobody, or set publishing.shadowing to Warn", mirror, found.up.host, why)
			}
			if e.file != nil {
				have = append(have, mirror)
				break
			}
		}
	}
	slices.Sort(have)
	return have, nil
}

// spellings are those under which the index file of a crate of a name may lie, as far as cargo tries them.
func spellings(name string) []string {
	n := strings.ToLower(name)
	all := []string{n, strings.ReplaceAll(n, "-", "_"), strings.ReplaceAll(n, "_", "-")}
	slices.Sort(all)
	return slices.Compact(all)
}
