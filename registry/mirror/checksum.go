package mirror

import (
	"context"
	"fmt"

	"github.com/crateyard/crateyard/registry/fault"
)

// The bytes of a version never change. An index file that says otherwise is refused, and the one from before is served.

// changedMeanwhile names a version that an index file from before did not have, and of which an archive with another checksum is stored, from before it was
// taken away: a name or a version that was deleted upstream and is another's now. Nothing: there is none.
func (m *Mirror) changedMeanwhile(ctx context.Context, before, now lines) (num string, err error) {
	fresh := false
	for num := range now {
		if _, known := before[num]; !known {
			fresh = true
			break
		}
	}
	if !fresh {
		return "", nil
	}
	rows, err := m.Catalog.MirrorCratesOf(ctx, m.Row.ID, now.name())
	if err != nil {
		return "", err
	}
	for _, row := range rows {
		if l, ok := now[row.Num]; ok && l.Cksum != row.SHA256 && m.ours(&row) && !m.moved(ctx) {
			return row.Num, nil
		}
	}
	return "", nil
}

// aboutChecksums is how problems begin that tell of a checksum.
const aboutChecksums = "upstream changed the checksum of "

// checksumChanged refuses a file in which a version has other bytes than before.
func (m *Mirror) checksumChanged(name, num, meanwhile string) error {
	text := fmt.Sprintf(aboutChecksums+"%s %s, whose bytes must never change; %s. "+
		"If upstream can explain it, `crateyard mirror forget %s %s` takes the new one", name, num, meanwhile, m.Name(), name)
	m.Metrics.ChecksumChanged(m.Name())
	if m.problems.add(text) {
		m.Log.Error("Upstream changed a checksum", "mirror", m.Name(), "crate", name, "version", num)
		m.tellStatus()
	}
	return fault.New(fault.Unavailable, "%s", text)
}
