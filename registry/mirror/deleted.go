package mirror

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/crateyard/crateyard/registry/catalog"
	"github.com/crateyard/crateyard/registry/crate"
	"github.com/crateyard/crateyard/registry/index"
	"github.com/crateyard/crateyard/registry/mirror/policy"
)

// What upstream deletes as a whole, mostly since its author wants it gone or since it is malware, is treated as what it yanks: who has a version in a
// lockfile, and nobody else, gets it on, if its archive is stored here. So no build breaks that worked, and none begins to need it. Whoever wants it gone
// says so in the policy, where all that is yanked can be denied, a name, or what an advisory is about; or has the mirror forget it.

// deletedBegins is how problems begin that tell of crates that upstream has deleted, and aboutDeleted how that of one does.
const deletedBegins = "upstream deleted "

func aboutDeleted(name string) string { return deletedBegins + name + " altogether;" }

// deleted gives the entry of a crate that upstream has no longer: the versions that are stored, as yanked ones. nil: none is, and nothing is left of it. It is
// believed no longer than that there is no such crate.
func (m *Mirror) deleted(ctx context.Context, name string, old *entry, now time.Time) (*entry, error) {
	if old == nil || old.file == nil || !m.knows(ctx, name) {
		return nil, nil
	}
	spelled := old.lines.name()
	rows, err := m.Catalog.MirrorCratesOf(ctx, m.Row.ID, spelled)
	if err != nil {
		return nil, err
	}
	stored := lines{}
	for _, row := range rows {
		if l, ok := old.lines[row.Num]; ok && l.Cksum == row.SHA256 && m.ours(&row) {
			stored[row.Num] = l
		}
	}
	var file []byte
	same := len(stored) == len(old.lines)
	for _, num := range slices.SortedFunc(maps.Keys(stored), byVersion) {
		if line, ok := policy.Yanked(stored[num].bytes); ok {
			file = append(append(file, line...), '\n')
			same = same && bytes.Equal(line, stored[num].bytes)
		}
	}
	if file == nil {
		if m.problems.dropPrefix(aboutDeleted(spelled)) { // the last of it was evicted
			m.tellStatus()
		}
		return nil, nil
	}
	checked := now.Add(-max(0, m.maxAge()-missingFor))
	if text := fmt.Sprintf("%s the versions of it that are cached are given to whoever has them in a lockfile, and chosen for nobody. "+
		"`crateyard mirror forget %s %s` removes them", aboutDeleted(spelled), m.Name(), spelled); m.problems.add(text) {
		m.Log.Warn("Upstream has deleted a crate of which versions are cached", "mirror", m.Name(), "crate", spelled, "versions", len(stored))
		m.tellStatus()
	}
	if same {
		old.asked.Store(now.UnixNano())
		old.checked.Store(checked.UnixNano())
		m.writer.checked(m.Row.ID, name, checked)
		return old, nil
	}
	packed, err := index.Compress(file)
	if err != nil {
		return nil, err
	}
	ls, err := readLines(name, file)
	if err != nil {
		return nil, err
	}
	m.writer.index(m.Row.ID, catalog.MirrorIndexFile{Crate: name, CheckedAt: checked, File: packed, Generation: m.Row.Generation})
	e, err := m.render(ctx, name, file, packed, ls, "", "", checked)
	if err == nil {
		e.asked.Store(now.UnixNano())
	}
	return e, err
}

func byVersion(a, b string) int {
	x, _ := crate.ParseVersion(a) // it was read once
	y, _ := crate.ParseVersion(b)
	return x.Compare(y)
}
