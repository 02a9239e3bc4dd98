package mirror

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/crateyard/crateyard/registry/fault"
)

// shadowWait is how long a publish waits for what upstreams say of a name.
const shadowWait = 5 * time.Second

// Having gives the mirrors whose upstream has a crate of a name, whatever its case, '-' and '_', as far as is known. With ask, the upstreams are asked
// for what is not known; one that cannot be asked is an error.
func (m *Manager) Having(ctx context.Context, name string, ask bool) ([]string, error) {
	have, err := m.Catalog.KnowsMirrored(ctx, name)
	if err != nil || !ask {
		return have, err
	}
	ctx, cancel := context.WithTimeout(ctx, shadowWait)
	defer cancel()
	for mirror, found := range m.all() {
		if slices.Contains(have, mirror) {
			continue
		}
		for _, spelling := range spellings(name) {
			e, err := found.fresh(ctx, spelling)
			if err != nil {
				return nil, fault.Wrap(fault.Unavailable, err, "whether the upstream of mirror `%s` has a crate of this name, too, cannot be found out at the moment; try again", mirror)
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
