// Package indextest holds index lines against cargo's published JSON schema, and against what cargo asks beyond it: a line that
// breaks a rule makes cargo pass over the version without a word.
package indextest

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"fmt"
	"regexp"
	"sync"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/crateyard/crateyard/registry/crate"
)

//go:embed index.schema.json
var schemaJSON []byte

var schema = sync.OnceValue(func() *jsonschema.Schema {
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(schemaJSON))
	if err != nil {
		panic(err) // it is part of the program
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("index.schema.json", doc); err != nil {
		panic(err)
	}
	return c.MustCompile("index.schema.json")
})

var (
	cksum   = regexp.MustCompile(`^[0-9a-f]{64}$`)
	pubtime = regexp.MustCompile(`^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$`)
)

// Check reports the first line of an index file that breaks a rule.
func Check(file []byte) error {
	for line := range bytes.Lines(file) {
		if !bytes.HasSuffix(line, []byte("\n")) {
			return fmt.Errorf("no newline at the end of %s", line)
		}
		if err := checkLine(line); err != nil {
			return fmt.Errorf("%w in %s", err, line)
		}
	}
	return nil
}

func checkLine(line []byte) error {
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(line))
	if err != nil {
		return err
	}
	if err := schema().Validate(doc); err != nil {
		return err
	}
	var e struct {
		Cksum, PubTime string
		RustVersion    string `json:"rust_version"`
		Deps           []struct{ Name, Req, Target, Registry string }
	}
	if err := json.Unmarshal(line, &e); err != nil {
		return err
	}
	if !cksum.MatchString(e.Cksum) {
		return fmt.Errorf("cksum is no SHA-256 in lower-case hex")
	}
	if !pubtime.MatchString(e.PubTime) {
		return fmt.Errorf("pubtime is of another form than cargo reads")
	}
	deps := make([]crate.Dependency, 0, len(e.Deps))
	for _, d := range e.Deps {
		deps = append(deps, crate.Dependency{Name: d.Name, Req: d.Req, Target: d.Target, Registry: d.Registry})
	}
	return crate.CheckLine(deps, e.RustVersion)
}
