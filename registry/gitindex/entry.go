package gitindex

import (
	"bytes"
	"fmt"
	"io"
	"sync"

	"github.com/klauspost/compress/zlib"
)

// maxDepth is how many deltas may lean on each other: git's own default. Each object that has so many before it is written
// whole.
const maxDepth = 50

// appendEntry adds the pack entry of a whole object, of which z is the deflated content and size the size before.
func appendEntry(pack []byte, t objectType, size int, z []byte) []byte {
	return append(appendEntryHeader(pack, t, size), z...)
}

// appendDelta adds the pack entry of a delta against the object base.
func appendDelta(pack []byte, base oid, delta []byte) []byte {
	pack = append(appendEntryHeader(pack, typeRefDelta, len(delta)), base[:]...)
	return append(pack, deflate(delta)...)
}

// appendEntryHeader adds type and size: three and four bits in the first byte, seven bits in each one after it.
func appendEntryHeader(pack []byte, t objectType, size int) []byte {
	b := byte(t)<<4 | byte(size&0x0f)
	for size >>= 4; size > 0; size >>= 7 {
		pack = append(pack, b|0x80)
		b = byte(size & 0x7f)
	}
	return append(pack, b)
}

// diff gives the delta that makes target of base: what they begin and end with in common is copied, what lies between is
// inserted. Changes of the index are of that kind: a line at the end, a word, an entry of a tree.
func diff(base, target []byte) []byte {
	n := min(len(base), len(target))
	head := 0
	for head < n && base[head] == target[head] {
		head++
	}
	tail := 0
	for tail < n-head && base[len(base)-1-tail] == target[len(target)-1-tail] {
		tail++
	}
	d := appendDeltaSize(appendDeltaSize(nil, len(base)), len(target))
	d = appendCopy(d, 0, head)
	for insert := target[head : len(target)-tail]; len(insert) > 0; {
		k := min(len(insert), 127) // the most that one instruction inserts
		d = append(append(d, byte(k)), insert[:k]...)
		insert = insert[k:]
	}
	return appendCopy(d, len(base)-tail, tail)
}

func appendDeltaSize(d []byte, n int) []byte {
	for ; n >= 0x80; n >>= 7 {
		d = append(d, byte(n)|0x80)
	}
	return append(d, byte(n))
}

// appendCopy adds instructions that copy from the base: a byte that says which bytes of offset and length follow, then those.
func appendCopy(d []byte, offset, length int) []byte {
	for length > 0 {
		k := min(length, 0xffff)
		at := len(d)
		d = append(d, 0x80)
		for i, n := 0, offset; n > 0; i, n = i+1, n>>8 {
			if byte(n) != 0 {
				d[at] |= 1 << i
				d = append(d, byte(n))
			}
		}
		for i, n := 4, k; n > 0; i, n = i+1, n>>8 {
			if byte(n) != 0 {
				d[at] |= 1 << i
				d = append(d, byte(n))
			}
		}
		offset, length = offset+k, length-k
	}
	return d
}

// deflaters are kept, for one has tables of some hundred KiB.
var deflaters = sync.Pool{New: func() any { return zlib.NewWriter(nil) }}

func deflate(raw []byte) []byte {
	var b bytes.Buffer
	w := deflaters.Get().(*zlib.Writer)
	defer deflaters.Put(w)
	w.Reset(&b)
	_, err := w.Write(raw)
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		panic(err) // a buffer takes everything
	}
	return b.Bytes()
}

// inflate gives the size bytes that z was made of.
func inflate(z []byte, size int) ([]byte, error) {
	r, err := zlib.NewReader(bytes.NewReader(z))
	if err != nil {
		return nil, err
	}
	raw := make([]byte, size)
	if _, err := io.ReadFull(r, raw); err != nil {
		return nil, err
	}
	if n, err := r.Read(make([]byte, 1)); n != 0 || err != io.EOF {
		return nil, fmt.Errorf("a file of %d bytes is longer than that: %w", size, err)
	}
	return raw, nil
}
