package publish

import (
	"bytes"
	"context"

	"github.com/crateyard/crateyard/registry/crate"
	"github.com/crateyard/crateyard/registry/fault"
)

// holding is what one upload holds in memory.
type holding struct {
	ctx    context.Context // of the request
	user   int64
	leaves []func()
	err    error // of the archive's room: ours, and not the archive's
}

func (h *holding) take(r *room, bytes int64) (leave func(), err error) {
	leave, err = r.take(h.ctx, h.user, bytes)
	if err == nil {
		h.leaves = append(h.leaves, leave)
	}
	return leave, err
}

func (h *holding) end() {
	for _, leave := range h.leaves {
		leave()
	}
}

// metadata reads the metadata of an upload. Beside an error of kind Invalid there is metadata where the JSON could be read.
func (h *holding) metadata(f frame) (*crate.Metadata, error) {
	leave := func() {}
	data, err := f.metadata(func(bytes int64) (err error) {
		leave, err = h.take(&texts, bytes)
		return err
	})
	if err != nil {
		return nil, err
	}
	defer leave()
	if _, err := h.take(&parsed, parsedSize(data)); err != nil {
		return nil, err
	}
	meta, err := crate.ParseMetadata(data)
	if err != nil {
		return meta, fault.New(fault.Invalid, "%v", err)
	}
	return meta, nil
}

// archive asks for room for an archive with a Cargo.toml of so many bytes, what is read of it included, and so many bytes of paths.
func (h *holding) archive(manifest, paths int64) error {
	_, h.err = h.take(&archives, 3*manifest+paths)
	return h.err
}

// What metadata takes beside its text: a value of an array or object each, told by the sign behind it, in a slice that was grown to hold
// it. There are never many more than crate.MaxDeps lists and crate.MaxFeatures of crate.MaxFeatures.
const (
	perValue   = 32 // bytes
	mostValues = (crate.MaxDeps + crate.MaxFeatures) * crate.MaxFeatures
)

// parsedSize is what metadata takes in memory at most, about.
func parsedSize(text []byte) int64 {
	values := min(bytes.Count(text, []byte{','}), mostValues)
	return int64(len(text)) + perValue*int64(values)
}
