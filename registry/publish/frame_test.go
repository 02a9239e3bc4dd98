package publish

import (
	"bytes"
	"encoding/binary"
	"io"
	"testing"
	"testing/iotest"

	"github.com/crateyard/crateyard/registry/fault"
)

// A frame that is read to its end consists of exactly its parts, however the bytes arrive; any other is the uploader's fault.
func FuzzFrame(f *testing.F) {
	build := func(meta, archive string) []byte {
		b := binary.LittleEndian.AppendUint32(nil, uint32(len(meta)))
		b = append(b, meta...)
		b = binary.LittleEndian.AppendUint32(b, uint32(len(archive)))
		return append(b, archive...)
	}
	whole := build("{}", "archive")
	for _, s := range [][]byte{nil, whole, whole[:3], whole[:5], whole[:8], whole[:len(whole)-1], append(bytes.Clone(whole), 'x'), build("", ""), {255, 255, 255, 255}, build("x", "")[:5]} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		const limit = 1 << 10
		for _, r := range []io.Reader{bytes.NewReader(data), iotest.OneByteReader(bytes.NewReader(data)), iotest.DataErrReader(bytes.NewReader(data))} {
			fr := frame{body: r}
			meta, archive, err := readFrame(fr, limit)
			if err != nil {
				if k := fault.KindOf(err); k != fault.Invalid && k != fault.TooLarge {
					t.Errorf("%v is of kind %v", err, k)
				}
				continue
			}
			if got := build(string(meta), string(archive)); !bytes.Equal(got, data) || len(archive) > limit || len(meta) > MaxMetadata {
				t.Errorf("%q was read as %q and %q", data, meta, archive)
			}
		}
	})
}

func readFrame(f frame, limit int64) (meta, archive []byte, err error) {
	if meta, err = f.metadata(func(int64) error { return nil }); err != nil {
		return nil, nil, err
	}
	r, err := f.archive(limit)
	if err != nil {
		return nil, nil, err
	}
	archive, err = io.ReadAll(r)
	return meta, archive, err
}
