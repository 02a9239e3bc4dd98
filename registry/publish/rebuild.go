package publish

import (
	"archive/tar"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"time"
	"unicode/utf8"

	"github.com/klauspost/compress/gzip"

	"github.com/crateyard/crateyard/registry/catalog"
	"github.com/crateyard/crateyard/registry/crate"
	"github.com/crateyard/crateyard/registry/index"
)

// Rebuild makes of an archive alone what its publish made of archive and metadata together, for a registry whose catalog is lost. The
// line is the same but for its pubtime, which is published, and for yanked, which nobody knows any more. The error says why the archive
// could not be published.
func (p *Publisher) Rebuild(archive io.ReadSeeker, name, version string, published time.Time) (pub catalog.Publication, err error) {
	h := sha256.New()
	counted := &counting{r: io.TeeReader(archive, h)}
	checked, err := crate.CheckArchive(counted, name, version, p.Limits)
	if err != nil {
		return pub, err
	}
	meta, err := checked.Manifest.Metadata(p.isOwn)
	if err != nil {
		return pub, err
	}
	if checked.Manifest.Readme != "" {
		if meta.Readme, err = readme(archive, name+"-"+version+"/"+checked.Manifest.Readme); err != nil {
			return pub, err
		}
	}
	v, err := crate.ParseVersion(version)
	if err != nil {
		return pub, err
	}
	pub = catalog.Publication{Name: name, Version: v, SHA256: hex.EncodeToString(h.Sum(nil)), Size: counted.n, Dependencies: p.OwnDependencies(meta),
		Restricted: p.NewCratesRestricted, Details: details(meta, checked)}
	pub.Line = index.NewEntry(meta, pub.SHA256, published, p.isOwn).Line()
	pub.Metadata, err = marshal(meta)
	return pub, err
}

type counting struct {
	r io.Reader
	n int64
}

func (c *counting) Read(b []byte) (int, error) {
	n, err := c.r.Read(b)
	c.n += int64(n)
	return n, err
}

// readme gives the text of a file of an archive that is already checked; empty when it is not there, not UTF-8 or longer than cargo
// could have sent it.
func readme(archive io.ReadSeeker, path string) (string, error) {
	if _, err := archive.Seek(0, io.SeekStart); err != nil {
		return "", err
	}
	zr, err := gzip.NewReader(archive)
	if err != nil {
		return "", err
	}
	for tr := tar.NewReader(zr); ; {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			return "", nil
		}
		if err != nil {
			return "", fmt.Errorf("the archive cannot be read again: %w", err)
		}
		if h.Name != path || h.Typeflag != tar.TypeReg {
			continue
		}
		text, err := io.ReadAll(io.LimitReader(tr, MaxMetadata+1))
		if err != nil || len(text) > MaxMetadata || !utf8.Valid(text) {
			return "", err
		}
		return string(text), nil
	}
}
