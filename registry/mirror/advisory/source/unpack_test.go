package source

import (
	"bytes"
	"compress/zlib"
	"crypto/sha1"
	"encoding/binary"
	"errors"
	"strings"
	"testing"
)

// packOf makes a pack of objects as they are.
func packOf(count int, objects ...[]byte) []byte {
	pack := binary.BigEndian.AppendUint32([]byte("PACK\x00\x00\x00\x02"), uint32(count))
	pack = append(pack, bytes.Join(objects, nil)...)
	sum := sha1.Sum(pack)
	return append(pack, sum[:]...)
}

// Types of objects in a pack.
const (
	blob  = 3
	delta = 7 // of an object that is named by its hash
)

// packed is an object that says it has size bytes, and has content; base is what a delta is of.
func packed(t *testing.T, kind byte, size int, base string, content []byte) []byte {
	t.Helper()
	head := []byte{kind<<4 | byte(size&15)}
	for size >>= 4; size > 0; size >>= 7 {
		head[len(head)-1] |= 0x80
		head = append(head, byte(size&0x7f))
	}
	out := bytes.NewBuffer(append(head, base...))
	w := zlib.NewWriter(out)
	if _, err := w.Write(content); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// A few bytes that would become many are refused before anything is made of them.
func TestMeasure(t *testing.T) {
	const big = 32 << 20
	zeros := make([]byte, big)
	bomb := packed(t, blob, big, "", zeros)
	hash := strings.Repeat("\x01", 20)
	small := packed(t, blob, 3, "", []byte("abc"))
	repeat := func(n int, o []byte) []byte { return bytes.Repeat(o, n) }
	for name, tc := range map[string]struct {
		pack []byte
		want error
	}{
		"within":        {packOf(maxUnpacked/big, repeat(maxUnpacked/big, bomb)), nil},
		"many blobs":    {packOf(maxUnpacked/big+1, repeat(maxUnpacked/big+1, bomb)), errTooLarge},
		"wide delta":    {packOf(2, small, packed(t, delta, 7, hash, []byte{3, 0xff, 0xff, 0xff, 0xff, 0x7f, 0})), errTooLarge},
		"absurd delta":  {packOf(2, small, packed(t, delta, 13, hash, append(bytes.Repeat([]byte{0xff}, 12), 0))), errTooLarge},
		"delta of none": {packOf(2, small, packed(t, delta, 0, hash, nil)), errTooLarge},
		"small delta":   {packOf(2, small, packed(t, delta, 4, hash, []byte{3, 1, 1, 'x'})), nil},
	} {
		if err := measure(tc.pack); !errors.Is(err, tc.want) {
			t.Errorf("%s: %v, want %v", name, err, tc.want)
		}
	}
	for name, pack := range map[string][]byte{"nothing": nil, "short": []byte("PACK"), "count": packOf(maxObjects+1, small), "fewer": packOf(2, small)} {
		if err := measure(pack); err == nil {
			t.Errorf("%s passes", name)
		}
	}
}

// Whatever a pack is, reading it ends without a panic.
func FuzzUnpack(f *testing.F) {
	f.Add([]byte("PACK\x00\x00\x00\x02\x00\x00\x00\x00"))
	f.Add(packOf(1, []byte("\x33x\x9cKLJ\x06\x00\x02M\x01'")))
	f.Fuzz(func(t *testing.T, pack []byte) {
		if files, err := unpack(pack, strings.Repeat("1", 40)); err == nil {
			t.Errorf("a pack without the commit has %d files", len(files))
		}
	})
}
