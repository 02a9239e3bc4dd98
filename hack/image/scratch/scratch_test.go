package scratch

import (
	"archive/tar"
	"bytes"
	"errors"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/google/go-containerregistry/pkg/v1/validate"
)

var epoch = time.Unix(0, 0).UTC()

func options() Options {
	return Options{
		Architecture: "amd64", Created: epoch, Entrypoint: []string{"/app"}, User: "65532:65532",
		Layers: []Layer{{Comment: "files", Files: []File{
			{Path: "/etc/ssl/ca.crt", Mode: 0o644, Content: []byte("ca")},
			{Path: "/tmp", Mode: 0o1777, Dir: true},
		}}},
	}
}

func TestSameInputSameImage(t *testing.T) {
	var archives [2][]byte
	for i := range archives {
		img, err := Build(options())
		if err != nil {
			t.Fatal(err)
		}
		file := filepath.Join(t.TempDir(), "image.tar")
		if err := Save(img, "crateyard:dev", file); err != nil {
			t.Fatal(err)
		}
		if archives[i], err = os.ReadFile(file); err != nil {
			t.Fatal(err)
		}
	}
	if !bytes.Equal(archives[0], archives[1]) {
		t.Error("two builds differ")
	}
}

// The archive is read back as the OCI's image layout, with what importers look at.
func TestArchiveIsAnOCILayout(t *testing.T) {
	img, err := Build(options())
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "image.tar")
	if err := Save(img, "crateyard:dev", file); err != nil {
		t.Fatal(err)
	}
	if left, err := filepath.Glob(filepath.Join(filepath.Dir(file), ".*")); err != nil || len(left) > 0 {
		t.Errorf("left behind: %q, %v", left, err)
	}
	index, err := layout.ImageIndexFromPath(unpack(t, file))
	if err != nil {
		t.Fatal(err)
	}
	manifest, err := index.IndexManifest()
	if err != nil {
		t.Fatal(err)
	}
	if len(manifest.Manifests) != 1 {
		t.Fatalf("%d images", len(manifest.Manifests))
	}
	d := manifest.Manifests[0]
	want := map[string]string{"org.opencontainers.image.ref.name": "dev", "io.containerd.image.name": "docker.io/library/crateyard:dev"}
	if !maps.Equal(d.Annotations, want) || d.MediaType != types.OCIManifestSchema1 || d.Platform == nil || d.Platform.String() != "linux/amd64" {
		t.Errorf("index: %+v", d)
	}
	read, err := index.Image(d.Digest)
	if err != nil {
		t.Fatal(err)
	}
	if err := validate.Image(read); err != nil {
		t.Error(err)
	}
	m, err := read.Manifest()
	if err != nil {
		t.Fatal(err)
	}
	if m.MediaType != types.OCIManifestSchema1 || m.Config.MediaType != types.OCIConfigJSON || m.Layers[0].MediaType != types.OCILayer {
		t.Errorf("manifest: %+v", m)
	}
	config, err := read.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	if config.Config.User != "65532:65532" || !slices.Equal(config.Config.Entrypoint, []string{"/app"}) || config.OS != "linux" {
		t.Errorf("unexpected configuration: %+v", config)
	}
}

// unpack gives a folder with what a tar holds.
func unpack(t *testing.T, file string) string {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	dir := t.TempDir()
	for r := tar.NewReader(f); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return dir
		}
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(dir, h.Name)
		if h.Typeflag == tar.TypeDir {
			err = os.Mkdir(path, 0o755) // its parent came before
		} else {
			var content []byte
			if content, err = io.ReadAll(r); err == nil {
				err = os.WriteFile(path, content, 0o600)
			}
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

func TestLayerHasParentsFirst(t *testing.T) {
	data, err := layerTar(options().Layers[0].Files, epoch)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for r := tar.NewReader(bytes.NewReader(data)); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if !h.ModTime.Equal(epoch) || h.Uid != 0 {
			t.Errorf("%s: time %v, owner %d", h.Name, h.ModTime, h.Uid)
		}
		if h.Name == "tmp/" && h.Mode != 0o1777 {
			t.Errorf("tmp has mode %o", h.Mode)
		}
		names = append(names, h.Name)
	}
	if want := []string{"etc/", "etc/ssl/", "etc/ssl/ca.crt", "tmp/"}; !slices.Equal(names, want) {
		t.Errorf("got %q, want %q", names, want)
	}
}

func TestTag(t *testing.T) {
	for given, want := range map[string]string{
		"crateyard:dev":                   "docker.io/library/crateyard:dev",
		"docker.io/library/crateyard:dev": "docker.io/library/crateyard:dev",
		"someone/crateyard:1":             "docker.io/someone/crateyard:1",
		"registry.example:5000/a/b:1.2":   "registry.example:5000/a/b:1.2",
	} {
		tag, err := Tag(given)
		if err != nil || tag.String() != want {
			t.Errorf("%s: got %q, %v; want %q", given, tag.String(), err, want)
		}
	}
	if _, err := Tag("UPPER:case"); err == nil {
		t.Error("an invalid reference must be refused")
	}
}
