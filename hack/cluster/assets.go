package main

import (
	"bytes"
	"embed"
	"fmt"
	"text/template"
)

// The configuration files are kept as files, so that they can be read and
// compared with the programs' documentation.
//
//go:embed assets
var assets embed.FS

var templates = template.Must(template.New("").Option("missingkey=error").ParseFS(assets, "assets/*"))

// render fills in one of the files in assets/.
func render(name string, data any) ([]byte, error) {
	var out bytes.Buffer
	if err := templates.ExecuteTemplate(&out, name, data); err != nil {
		return nil, fmt.Errorf("assets/%s: %w", name, err)
	}
	return out.Bytes(), nil
}
