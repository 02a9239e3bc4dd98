package importer

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"path"
	"slices"
	"unicode/utf8"

	"github.com/crateyard/crateyard/registry/crate"
)

// limits of an archive from elsewhere: those of the largest that a server can be told to take.
var limits = crate.Limits{Archive: maxSize, Unpacked: 8 << 30, Entries: 200_000}

// metadata makes what cargo would have sent with an archive, its readme included, and names the registries that its dependencies are
// in, besides crates.io and the one that is imported to. known is what the addresses in the manifest mean; where the source's index says
// that a dependency is on a crate of its own, no address is asked.
func metadata(archive []byte, name string, v *Version, known map[string]string) (_ []byte, registries []string, err error) {
	checked, err := crate.CheckArchive(bytes.NewReader(archive), name, v.Vers, limits)
	if err != nil {
		return nil, nil, err
	}
	m := checked.Manifest
	for i, d := range m.Deps {
		if now, ok := known[d.Registry]; ok {
			m.Deps[i].Registry = now
		} else if d.Registry != CratesIO && v.Own[d.TOMLName()] {
			m.Deps[i].Registry = ""
		}
		if r := m.Deps[i].Registry; r != "" && r != CratesIO && !slices.Contains(registries, r) {
			registries = append(registries, r)
		}
	}
	meta, err := m.Metadata(func(registry string) bool { return registry == "" })
	if err != nil {
		return nil, nil, err
	}
	if m.Readme != "" {
		if meta.Readme, err = file(archive, path.Join(name+"-"+v.Vers, m.Readme), maxReadme); err != nil {
			return nil, nil, err
		}
	}
	for _, list := range []*[]string{&meta.Authors, &meta.Keywords, &meta.Categories} {
		*list = append([]string{}, *list...) // cargo sends no null for a list
	}
	meta.Deps = append([]crate.Dependency{}, meta.Deps...)
	for i, d := range meta.Deps {
		meta.Deps[i].Features = append([]string{}, d.Features...)
	}
	features := make(map[string][]string, len(meta.Features))
	for f, enables := range meta.Features {
		features[f] = append([]string{}, enables...)
	}
	meta.Features = features
	data, err := json.Marshal(meta)
	return data, registries, err
}

// maxReadme bounds a readme, which travels in the metadata, of 1 MiB at most; a longer one is left out.
const maxReadme = 512 << 10

// file gives the text of one file of an archive; empty when it is not there, not text, or too long.
func file(archive []byte, name string, most int64) (string, error) {
	zr, err := gzip.NewReader(bytes.NewReader(archive))
	if err != nil {
		return "", err
	}
	for tr := tar.NewReader(zr); ; {
		h, err := tr.Next()
		if err == io.EOF {
			return "", nil
		}
		if err != nil {
			return "", err
		}
		if h.Name != name {
			continue
		}
		text, err := io.ReadAll(io.LimitReader(tr, most+1))
		if err != nil || int64(len(text)) > most || !utf8.Valid(text) {
			return "", err
		}
		return string(text), nil
	}
}

// named reads the name and version of a crate from its archive: those of the folder that all its files lie in, which
// CheckArchive holds against the manifest.
func named(r io.Reader) (m *crate.Manifest, err error) {
	zr, err := gzip.NewReader(r)
	if err != nil {
		return nil, fmt.Errorf("it is no .crate file: %w", err)
	}
	for tr := tar.NewReader(zr); ; {
		h, err := tr.Next()
		if err == io.EOF {
			return nil, fmt.Errorf("it has no Cargo.toml")
		}
		if err != nil {
			return nil, fmt.Errorf("it is no .crate file: %w", err)
		}
		if dir, base := path.Split(path.Clean(h.Name)); base != "Cargo.toml" || path.Dir(path.Clean(dir)) != "." {
			continue
		}
		text, err := io.ReadAll(io.LimitReader(tr, maxManifest))
		if err != nil {
			return nil, err
		}
		return crate.ParseManifest(text)
	}
}

const maxManifest = 1 << 20

// CratesIO is how a manifest names crates.io.
const CratesIO = crate.CratesIOIndex
