package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"github.com/crateyard/crateyard/hack/image/scratch"
)

// pauseImage is named in containerd's configuration. Its version only changes
// with the program in build/pause.
const pauseImage = "crateyard.dev/cluster/pause:1"

func corednsImage(v Versions) string { return "crateyard.dev/cluster/coredns:" + v.CoreDNS }

// loadImages makes and imports the two images that the cluster itself needs.
func (c *Cluster) loadImages(ctx context.Context, v Versions) error {
	start := time.Now()
	for program, reference := range map[string]string{"pause": pauseImage, "coredns": corednsImage(v)} {
		if c.hasImage(ctx, reference) {
			continue
		}
		archive, err := c.imageArchive(program, reference)
		if err != nil {
			return fmt.Errorf("image %s: %w", reference, err)
		}
		if _, err := c.importImage(ctx, archive); err != nil {
			return err
		}
	}
	step(start, "images")
	return nil
}

// imageArchive packs a program. The archive lies beside the programs, for
// other clusters to use.
func (c *Cluster) imageArchive(program, reference string) (string, error) {
	archive := filepath.Join(filepath.Dir(c.Bin), "images", program+".tar")
	if exists(archive) {
		return archive, nil
	}
	img, err := scratch.Build(scratch.Options{
		Architecture: runtime.GOARCH,
		Created:      time.Unix(0, 0).UTC(),
		Entrypoint:   []string{"/" + program},
		Layers:       []scratch.Layer{{Files: []scratch.File{{Path: "/" + program, Mode: 0o755, Source: c.Program(program)}}}},
	})
	if err != nil {
		return "", err
	}
	if err := os.MkdirAll(filepath.Dir(archive), 0o755); err != nil {
		return "", err
	}
	return archive, scratch.Save(img, reference, archive)
}
