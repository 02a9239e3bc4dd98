// Package scratch makes container images from files alone: no base image, no
// registry and no container engine. The same input gives the same bytes, so a
// rebuilt image has the digest of the one before it.
package scratch

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"os"
	"path"
	"sort"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// File is one entry of a layer: a directory when Dir is set, else a regular
// file with Content, or with the bytes of the file Source when that is set.
type File struct {
	Path    string
	Mode    int64
	Dir     bool
	Content []byte
	Source  string
}

// Layer is what one layer adds. Files that change rarely belong in a layer
// of their own, so that a push or an import only moves what has changed.
type Layer struct {
	Comment string
	Files   []File
}

// Options describe an image.
type Options struct {
	Layers       []Layer
	Entrypoint   []string
	User         string
	WorkingDir   string
	Env          []string
	Labels       map[string]string
	ExposedPorts []string // such as "8080/tcp"
	Architecture string   // of the binaries inside, as GOARCH names it
	Created      time.Time
}

// Build makes the image in memory.
func Build(o Options) (v1.Image, error) {
	base := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON)
	img, err := mutate.ConfigFile(base, &v1.ConfigFile{
		Architecture: o.Architecture,
		OS:           "linux",
		Created:      v1.Time{Time: o.Created},
		RootFS:       v1.RootFS{Type: "layers"},
		Config: v1.Config{
			Entrypoint:   o.Entrypoint,
			User:         o.User,
			WorkingDir:   o.WorkingDir,
			Env:          o.Env,
			Labels:       o.Labels,
			ExposedPorts: portSet(o.ExposedPorts),
		},
	})
	if err != nil {
		return nil, err
	}
	for _, l := range o.Layers {
		data, err := layerTar(l.Files, o.Created)
		if err != nil {
			return nil, fmt.Errorf("layer %q: %w", l.Comment, err)
		}
		layer, err := tarball.LayerFromOpener(
			func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(data)), nil },
			// Go binaries gain little from a higher level, and each end-to-end run waits for this.
			tarball.WithCompressionLevel(gzip.BestSpeed),
			tarball.WithCompressedCaching,
			tarball.WithMediaType(types.OCILayer),
		)
		if err != nil {
			return nil, fmt.Errorf("layer %q: %w", l.Comment, err)
		}
		img, err = mutate.Append(img, mutate.Addendum{
			Layer:   layer,
			History: v1.History{Created: v1.Time{Time: o.Created}, CreatedBy: "hack/image", Comment: l.Comment},
		})
		if err != nil {
			return nil, fmt.Errorf("layer %q: %w", l.Comment, err)
		}
	}
	return img, nil
}

// Tag parses a reference and spells it in full.
func Tag(reference string) (name.Tag, error) {
	// WeakValidation fills in what is left out; a digest makes no sense for a local image.
	short, err := name.NewTag(reference, name.WeakValidation)
	if err != nil {
		return name.Tag{}, fmt.Errorf("image reference %q: %w", reference, err)
	}
	full := strings.Replace(short.Name(), "index.docker.io/", "docker.io/", 1)
	return name.NewTag(full, name.WeakValidation)
}

// layerTar writes the files, and the directories that lead to them, in a fixed
// order with a fixed time and root as the owner.
func layerTar(files []File, created time.Time) ([]byte, error) {
	entries := map[string]File{}
	for _, f := range files {
		f.Path = strings.TrimPrefix(path.Clean(f.Path), "/")
		for dir := path.Dir(f.Path); dir != "."; dir = path.Dir(dir) {
			if _, ok := entries[dir]; !ok {
				entries[dir] = File{Path: dir, Mode: 0o755, Dir: true}
			}
		}
		entries[f.Path] = f
	}
	names := make([]string, 0, len(entries))
	for n := range entries {
		names = append(names, n)
	}
	sort.Strings(names) // "etc" comes before "etc/passwd", so parents precede children

	var out bytes.Buffer
	w := tar.NewWriter(&out)
	for _, n := range names {
		if err := writeEntry(w, entries[n], created); err != nil {
			return nil, err
		}
	}
	err := w.Close()
	return out.Bytes(), err
}

func writeEntry(w *tar.Writer, f File, created time.Time) error {
	h := &tar.Header{Name: f.Path, Mode: f.Mode, ModTime: created, Format: tar.FormatPAX}
	if f.Dir {
		h.Typeflag, h.Name = tar.TypeDir, f.Path+"/"
		return w.WriteHeader(h)
	}
	content := f.Content
	if f.Source != "" {
		var err error
		if content, err = os.ReadFile(f.Source); err != nil {
			return err
		}
	}
	h.Typeflag, h.Size = tar.TypeReg, int64(len(content))
	if err := w.WriteHeader(h); err != nil {
		return err
	}
	_, err := w.Write(content)
	return err
}

func portSet(ports []string) map[string]struct{} {
	if len(ports) == 0 {
		return nil
	}
	set := map[string]struct{}{}
	for _, p := range ports {
		set[p] = struct{}{}
	}
	return set
}
