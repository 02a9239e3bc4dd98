package crate

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"
)

// readLicenseMost bounds what is unpacked of an archive to find its manifest, which cargo writes among the first.
const readLicenseMost = 1 << 30

// ReadLicense reads what the manifest of an unpacked archive says of the licence. It holds the archive to no rule: whoever published it had his own.
func ReadLicense(unpacked io.Reader) (license, licenseFile string, err error) {
	tr := tar.NewReader(io.LimitReader(unpacked, readLicenseMost))
	for {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			return "", "", fmt.Errorf("there is no Cargo.toml in the archive")
		}
		if err != nil {
			return "", "", err
		}
		dir, file := path.Split(path.Clean(h.Name))
		if h.Typeflag != tar.TypeReg || file != "Cargo.toml" || strings.Count(dir, "/") != 1 {
			continue
		}
		data, err := io.ReadAll(io.LimitReader(tr, maxManifest+1))
		if err != nil {
			return "", "", err
		}
		if len(data) > maxManifest {
			return "", "", fmt.Errorf("its Cargo.toml has more than %d bytes", maxManifest)
		}
		doc, err := parseTOML(data)
		if err != nil {
			return "", "", err
		}
		p, ok := doc["package"].(map[string]any)
		if !ok {
			p, _ = doc["project"].(map[string]any) // what cargo called it once
		}
		license, _ = p["license"].(string)
		licenseFile, _ = p["license-file"].(string)
		return license, licenseFile, nil
	}
}
