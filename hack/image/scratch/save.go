package scratch

import (
	"archive/tar"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
)

// Annotations of the index, by which importers name the image: the tag, as the OCI's image layout has it, and the reference in full,
// as containerd has it.
const (
	refNameAnnotation   = "org.opencontainers.image.ref.name"
	imageNameAnnotation = "io.containerd.image.name"
)

// Save writes the image as an OCI archive (the OCI's image layout in a tar), which containerd, kind, podman, skopeo and docker from 25 on
// all read. The file appears under its name only when it is whole.
// The reference is written in full ("crateyard:dev" becomes "docker.io/library/crateyard:dev"),
// as that is what a kubelet looks for when a pod says image: crateyard:dev.
func Save(img v1.Image, reference, file string) (err error) {
	tag, err := Tag(reference)
	if err != nil {
		return err
	}
	config, err := img.ConfigFile()
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp(filepath.Dir(file), "."+filepath.Base(file)+".*")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	root := filepath.Join(dir, "layout")
	l, err := layout.Write(root, empty.Index)
	if err != nil {
		return err
	}
	err = l.AppendImage(img, layout.WithPlatform(v1.Platform{OS: config.OS, Architecture: config.Architecture}),
		layout.WithAnnotations(map[string]string{refNameAnnotation: tag.TagStr(), imageNameAnnotation: tag.String()}))
	if err != nil {
		return err
	}
	whole := filepath.Join(dir, "whole")
	if err := pack(root, whole); err != nil {
		return err
	}
	return os.Rename(whole, file)
}

// pack writes a folder into a tar, in the order of the names, with one time for all: the same content gives the same bytes.
func pack(dir, file string) (err error) {
	out, err := os.OpenFile(file, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	w := tar.NewWriter(out)
	err = filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || path == dir {
			return err
		}
		return packEntry(w, dir, path, e)
	})
	return errors.Join(err, w.Close())
}

func packEntry(w *tar.Writer, dir, path string, e fs.DirEntry) error {
	name, err := filepath.Rel(dir, path)
	if err != nil {
		return err
	}
	h := &tar.Header{Name: name, Mode: 0o644, ModTime: time.Unix(0, 0), Typeflag: tar.TypeReg}
	if e.IsDir() {
		h.Name, h.Mode, h.Typeflag = name+"/", 0o755, tar.TypeDir
		return w.WriteHeader(h)
	}
	in, err := os.Open(path)
	if err != nil {
		return err
	}
	defer func() { _ = in.Close() }() // it was only read
	info, err := in.Stat()
	if err != nil {
		return err
	}
	h.Size = info.Size()
	if err := w.WriteHeader(h); err != nil {
		return err
	}
	_, err = io.Copy(w, in)
	return err
}
