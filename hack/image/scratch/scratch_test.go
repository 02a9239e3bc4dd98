package scratch

import (
	"archive/tar"
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/v1/tarball"
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

func TestArchiveCanBeReadBack(t *testing.T) {
	img, err := Build(options())
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "image.tar")
	if err := Save(img, "crateyard:dev", file); err != nil {
		t.Fatal(err)
	}
	tag, err := Tag("docker.io/library/crateyard:dev")
	if err != nil {
		t.Fatal(err)
	}
	read, err := tarball.ImageFromPath(file, &tag)
	if err != nil {
		t.Fatal(err)
	}
	config, err := read.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	if config.Config.User != "65532:65532" || !slices.Equal(config.Config.Entrypoint, []string{"/app"}) || config.OS != "linux" {
		t.Errorf("unexpected configuration: %+v", config)
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
