package crate

import (
	"fmt"

	"github.com/pelletier/go-toml/v2"
)

// Manifest is what the server reads from the Cargo.toml inside an archive: the words of the author, against which the
// metadata that came with the upload is held.
type Manifest struct {
	Name    string
	Version string
}

// ParseManifest reads a normalised Cargo.toml, as `cargo package` writes it.
func ParseManifest(data []byte) (Manifest, error) {
	var doc struct {
		Package *struct {
			Name    string `toml:"name"`
			Version string `toml:"version"`
		} `toml:"package"`
	}
	if err := toml.Unmarshal(data, &doc); err != nil {
		return Manifest{}, fmt.Errorf("Cargo.toml in the archive: %w", err)
	}
	if doc.Package == nil {
		return Manifest{}, fmt.Errorf("Cargo.toml in the archive has no [package] section")
	}
	return Manifest{Name: doc.Package.Name, Version: doc.Package.Version}, nil
}
