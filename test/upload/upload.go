// Package upload makes small crates and the bodies that publish them, for tests and benchmarks that need many of them and cargo's
// own packaging not at all.
package upload

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
)

// Crate is a version ready to be published.
type Crate struct {
	Name, Version string
	SHA256        string // of Archive, in hex
	Archive       []byte // the .crate file
	Frame         []byte // the body of the publish
}

// New makes a crate without dependencies, whose library is the given text.
func New(name, version string, library []byte) Crate {
	return made(name, version, "", library)
}

// NewWith is New with more in Cargo.toml, whose archive alone is of use: the metadata of the publish says nothing of it.
func NewWith(name, version, manifest string) Crate { return made(name, version, manifest, nil) }

func made(name, version, manifest string, library []byte) Crate {
	c := Crate{Name: name, Version: version, Archive: pack(name+"-"+version+"/", map[string][]byte{
		"Cargo.toml": fmt.Appendf(nil, "[package]\nname = %q\nversion = %q\n%s", name, version, manifest),
		"src/lib.rs": library,
	})}
	sum := sha256.Sum256(c.Archive)
	c.SHA256 = hex.EncodeToString(sum[:])
	c.Frame = Frame(fmt.Sprintf(`{"name":%q,"vers":%q,"deps":[],"features":{}}`, name, version), c.Archive)
	return c
}

// Archive makes the .crate file of a version with these files, by their paths in the crate.
func Archive(name, version string, files map[string][]byte) []byte {
	return pack(name+"-"+version+"/", files)
}

// Frame makes the body of a publish.
func Frame(metadata string, archive []byte) []byte {
	b := binary.LittleEndian.AppendUint32(nil, uint32(len(metadata)))
	b = append(b, metadata...)
	b = binary.LittleEndian.AppendUint32(b, uint32(len(archive)))
	return append(b, archive...)
}

// pack makes a .crate file. It writes to memory, where nothing can fail.
func pack(dir string, files map[string][]byte) []byte {
	var out bytes.Buffer
	zw, err := gzip.NewWriterLevel(&out, gzip.BestSpeed) // many are made
	if err != nil {
		panic(err)
	}
	tw := tar.NewWriter(zw)
	for path, data := range files {
		if err := tw.WriteHeader(&tar.Header{Name: dir + path, Mode: 0o644, Size: int64(len(data)), Format: tar.FormatGNU}); err != nil {
			panic(err)
		}
		if _, err := tw.Write(data); err != nil {
			panic(err)
		}
	}
	if err := tw.Close(); err != nil {
		panic(err)
	}
	if err := zw.Close(); err != nil {
		panic(err)
	}
	return out.Bytes()
}
