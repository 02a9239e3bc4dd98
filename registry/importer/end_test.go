package importer_test

import (
	"context"
	"errors"
	"iter"
	"testing"

	"github.com/crateyard/crateyard/registry/client"
	"github.com/crateyard/crateyard/registry/importer"
	"github.com/crateyard/crateyard/registry/wire"
)

// refusing is a registry that takes nothing.
type refusing struct{}

var errRefused = errors.New("refused")

func (refusing) IndexLines(context.Context, string) ([]client.IndexLine, error) {
	return nil, errRefused
}

func (refusing) ImportVersion(context.Context, client.ImportedVersion) error { return errRefused }

func (refusing) Yank(context.Context, string, string, string) (wire.Version, error) {
	return wire.Version{}, errRefused
}

func (refusing) StoredCrate(context.Context, string, string) ([]wire.MirroredCrate, error) {
	return nil, errRefused
}

func (refusing) AddCrate(context.Context, string, string, string, []byte) (wire.MirroredCrate, error) {
	return wire.MirroredCrate{}, errRefused
}

// cutOff is a source that is read until the import ends.
type cutOff struct{}

func (cutOff) Crates(ctx context.Context) iter.Seq2[importer.Crate, error] {
	return func(yield func(importer.Crate, error) bool) {
		if yield(importer.Crate{Name: "demo"}, nil) {
			<-ctx.Done()
			yield(importer.Crate{}, ctx.Err())
		}
	}
}

// What ends an import is told, and not that its source was cut off by that.
func TestReasonOfTheEnd(t *testing.T) {
	var source *importer.SourceError
	_, err := (&importer.MirrorImporter{Target: refusing{}, Mirror: "m"}).Run(t.Context(), cutOff{})
	if !errors.Is(err, errRefused) || errors.As(err, &source) {
		t.Errorf("into a mirror: %v", err)
	}
	if _, err = (&importer.Importer{Target: refusing{}}).Run(t.Context(), cutOff{}); !errors.Is(err, errRefused) || errors.As(err, &source) {
		t.Errorf("into a registry: %v", err)
	}
}
