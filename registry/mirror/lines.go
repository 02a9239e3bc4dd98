package mirror

import (
	"bytes"
	"fmt"

	"github.com/crateyard/crateyard/registry/crate"
	"github.com/crateyard/crateyard/registry/mirror/policy"
)

// line is what counts of a line of an index file. The line itself is kept as bytes and never written anew.
type line struct {
	Name, Vers, Cksum string
	bytes             []byte
}

// lines are the lines of a file by version. Of two with one version the last counts, as to cargo before 1.96; upstreams have none.
type lines map[string]line

// readLines reads upstream's file of a crate. A line that cannot be read is passed over, as cargo does; a file without any line that can be read
// is none. What belongs to another crate makes it the wrong file.
func readLines(name string, file []byte) (lines, error) {
	all := lines{}
	want, spelled := crate.Canonical(name), ""
	for text := range bytes.Lines(file) {
		text = bytes.TrimSpace(text)
		if len(text) == 0 {
			continue
		}
		of, vers, cksum, ok := policy.Line(text)
		if !ok || len(of) == 0 || len(vers) == 0 || len(cksum) == 0 {
			continue
		}
		if string(of) != spelled {
			spelled = string(of)
		}
		l := line{Name: spelled, Vers: string(vers), Cksum: string(cksum), bytes: text}
		if crate.Canonical(l.Name) != want {
			return nil, fmt.Errorf("%w: its index file of %s is about another crate", errNoUse, name)
		}
		if _, err := crate.ParseVersion(l.Vers); err != nil {
			continue
		}
		all[l.Vers] = l
	}
	if isBlank(file) {
		return nil, fmt.Errorf("%w: its index file of %s is empty", errNoUse, name)
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("%w: its index file of %s has no line that cargo could read", errNoUse, name)
	}
	return all, nil
}

// isBlank reports whether a file has nothing in it.
func isBlank(file []byte) bool { return len(bytes.TrimSpace(file)) == 0 }

// name is the crate's name as upstream spells it.
func (ls lines) name() string {
	for _, l := range ls {
		return l.Name
	}
	return ""
}

// changed names a version whose checksum differs between two files, or nothing. Such a file is refused: archives never change.
func (ls lines) changed(newer lines) string {
	for num, l := range ls {
		if n, ok := newer[num]; ok && n.Cksum != l.Cksum {
			return num
		}
	}
	return ""
}
