package importer

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/crateyard/crateyard/registry/index"
)

// line is what counts of a line of an index: the rest is in the archive.
type line struct {
	Name, Vers, Cksum, Pubtime string
	Yanked                     bool
	Deps                       []struct {
		Name     string // as the manifest calls it
		Registry *string
	}
}

// parseIndex reads an index file. The versions come without a way to open them.
func parseIndex(file []byte) (name string, versions []Version, err error) {
	for text := range strings.Lines(string(file)) {
		if strings.TrimSpace(text) == "" {
			continue
		}
		var l line
		if err := json.Unmarshal([]byte(text), &l); err != nil {
			return name, nil, fmt.Errorf("line %d of its index file: %w", len(versions)+1, err)
		}
		v := Version{Vers: l.Vers, SHA256: strings.ToLower(l.Cksum), Yanked: l.Yanked}
		if at, err := time.Parse(index.PubTimeLayout, l.Pubtime); err == nil { // most registries do not say
			v.PublishedAt = at
		}
		v.Own = l.own()
		name, versions = l.Name, append(versions, v)
	}
	return name, versions, nil
}

// own names the dependencies on crates of the same registry.
func (l line) own() map[string]bool {
	own := map[string]bool{}
	for _, d := range l.Deps {
		own[d.Name] = d.Registry == nil || *d.Registry == ""
	}
	return own
}
