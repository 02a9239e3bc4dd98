package upkeep

import (
	"bytes"
	"encoding/json"
	"fmt"
	"time"

	"github.com/crateyard/crateyard/registry/catalog"
	"github.com/crateyard/crateyard/registry/crate"
	"github.com/crateyard/crateyard/registry/index"
)

// checkLine reports the first thing in which the index line of a version contradicts its row, or for which cargo would pass over it
// without a word.
func checkLine(v catalog.Version) error {
	line, ended := bytes.CutSuffix(v.Line, []byte("\n"))
	if !ended || bytes.ContainsRune(line, '\n') {
		return fmt.Errorf("it is not one line with a newline at its end")
	}
	dec := json.NewDecoder(bytes.NewReader(line))
	dec.DisallowUnknownFields()
	var e index.Entry
	if err := dec.Decode(&e); err != nil {
		return fmt.Errorf("it cannot be read: %w", err)
	}
	for _, f := range []struct{ key, inLine, want string }{
		{"name", e.Name, v.Crate}, {"vers", e.Vers, v.Num}, {"cksum", e.Cksum, v.SHA256}, {"yanked", fmt.Sprint(e.Yanked), fmt.Sprint(v.Yanked)},
	} {
		if f.inLine != f.want {
			return fmt.Errorf("its %s is %q, the catalog says %q", f.key, f.inLine, f.want)
		}
	}
	if _, err := time.Parse(index.PubTimeLayout, e.PubTime); err != nil {
		return fmt.Errorf("its pubtime %q is of another form than cargo reads", e.PubTime)
	}
	if e.Deps == nil || e.Features == nil {
		return fmt.Errorf("its deps or features are null")
	}
	for _, d := range e.Deps {
		if _, err := crate.ParseRequirement(d.Req); err != nil {
			return fmt.Errorf("dependency %s: %w", d.Name, err)
		}
		if d.Features == nil || d.Kind != "normal" && d.Kind != "build" && d.Kind != "dev" {
			return fmt.Errorf("dependency %s: features are null, or kind %q is none of normal, build, dev", d.Name, d.Kind)
		}
	}
	if len(e.Features2) > 0 && e.V < 2 {
		return fmt.Errorf("it has features2 and not v 2")
	}
	if !bytes.Equal(e.Line(), v.Line) {
		return fmt.Errorf("it is written otherwise than this registry writes lines: a key twice, or another order")
	}
	return nil
}
