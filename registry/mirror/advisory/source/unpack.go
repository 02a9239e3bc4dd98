package source

import (
	"bytes"
	"fmt"
	"io"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/filemode"
	"github.com/go-git/go-git/v5/plumbing/format/packfile"
	"github.com/go-git/go-git/v5/plumbing/object"
	"github.com/go-git/go-git/v5/storage/memory"

	"github.com/crateyard/crateyard/registry/mirror/advisory"
)

// Limits of a commit. RustSec's has 1 MiB, 2,300 objects and 2 MiB when unpacked.
const (
	maxSent     = 64 << 20  // bytes
	maxObjects  = 500_000   // in a pack
	maxUnpacked = 256 << 20 // bytes of all objects
)

// unpack gives the files of a commit's tree that may be advisories, by path.
func unpack(pack []byte, commit string) (map[string][]byte, error) {
	if err := measure(pack); err != nil {
		return nil, fmt.Errorf("its pack: %w", err)
	}
	store := memory.NewStorage()
	if err := packfile.UpdateObjectStorage(store, bytes.NewReader(pack)); err != nil {
		return nil, fmt.Errorf("its pack: %w", err)
	}
	c, err := object.GetCommit(store, plumbing.NewHash(commit))
	if err != nil {
		return nil, err
	}
	root, err := c.Tree()
	if err != nil {
		return nil, err
	}
	files, total := map[string][]byte{}, 0
	crates, err := root.Tree(advisory.Root)
	if err != nil {
		return nil, fmt.Errorf("this is no advisory database: it has no folder %s: %w", advisory.Root, err)
	}
	for _, folder := range crates.Entries {
		if folder.Mode != filemode.Dir {
			continue
		}
		tree, err := object.GetTree(store, folder.Hash)
		if err != nil {
			return nil, err
		}
		for _, f := range tree.Entries {
			name := advisory.Root + "/" + folder.Name + "/" + f.Name
			if !f.Mode.IsFile() || f.Mode == filemode.Symlink || !advisory.IsAdvisory(name) {
				continue
			}
			if files[name], err = content(store, f.Hash); err != nil {
				return nil, err
			}
			// A tree may name one blob a million times.
			if total += len(files[name]); total > advisory.MaxBytes || len(files) > advisory.MaxFiles {
				return nil, fmt.Errorf("it has more than %d advisories, or %d MiB of them", advisory.MaxFiles, advisory.MaxBytes>>20)
			}
		}
	}
	return files, nil
}

// content reads a blob, but of one that is too long for an advisory only as much as shows that.
func content(store *memory.Storage, hash plumbing.Hash) ([]byte, error) {
	blob, err := object.GetBlob(store, hash)
	if err != nil {
		return nil, err
	}
	r, err := blob.Reader()
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return io.ReadAll(io.LimitReader(r, advisory.MaxFile+1))
}

// measure reads through a pack without keeping anything, and fails where it would need more than we give: go-git trusts what a pack says of
// itself, and a few bytes can say much.
func measure(pack []byte) error {
	s := packfile.NewScanner(bytes.NewReader(pack))
	_, objects, err := s.Header()
	if err != nil {
		return err
	}
	if objects > maxObjects {
		return fmt.Errorf("it has %d objects, the limit is %d", objects, maxObjects)
	}
	left := int64(maxUnpacked)
	for range objects {
		h, err := s.NextObjectHeader()
		if err != nil {
			return err
		}
		w := &meter{left: left}
		if _, _, err := s.NextObject(w); err != nil {
			return err
		}
		left = w.left
		if h.Type == plumbing.OFSDeltaObject || h.Type == plumbing.REFDeltaObject {
			left -= deltaResult(w.head)
		}
		if left < 0 {
			return errTooLarge
		}
	}
	return nil
}

var errTooLarge = fmt.Errorf("it has more than %d MiB when unpacked", maxUnpacked>>20)

// meter counts what is written, and keeps the first bytes.
type meter struct {
	left int64
	head []byte
}

func (m *meter) Write(p []byte) (int, error) {
	if m.left -= int64(len(p)); m.left < 0 {
		return 0, errTooLarge
	}
	m.head = append(m.head, p[:min(len(p), 20-len(m.head))]...)
	return len(p), nil
}

// deltaResult is the size of what a delta makes: the second of the two numbers that it begins with. What is none counts as too large.
func deltaResult(delta []byte) int64 {
	var size uint64
	for range 2 {
		size = 0
		for shift := 0; ; shift += 7 {
			if len(delta) == 0 || shift > 28 { // 35 bits are more than the limit, and no overflow
				return maxUnpacked + 1
			}
			b := delta[0]
			delta = delta[1:]
			size |= uint64(b&0x7f) << shift
			if b < 0x80 {
				break
			}
		}
	}
	return int64(size)
}
