package importer

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"sync"
)

// fewBytes is what several archives may have in memory at a time, each. Nearly all have less.
const fewBytes = 16 << 20

// large lets one archive of more than fewBytes be in memory at a time.
type large struct{ mu sync.Mutex }

// read gives the archive, of limit bytes at most. The caller calls done when it needs it no longer.
func (v *Version) read(ctx context.Context, limit int64, l *large) (archive []byte, done func(), err error) {
	r, err := v.Open(ctx)
	if err != nil {
		return nil, nil, err
	}
	defer func() { _ = r.Close() }() // it was read only
	var buf bytes.Buffer
	done = func() {}
	n, err := io.Copy(&buf, io.LimitReader(r, min(limit, fewBytes)+1))
	if err == nil && n > fewBytes {
		l.mu.Lock()
		done = l.mu.Unlock
		var more int64
		more, err = io.Copy(&buf, io.LimitReader(r, limit+1-n))
		n += more
	}
	if err == nil && n > limit {
		err = fmt.Errorf("the archive has more than %d bytes", limit)
	}
	if err != nil {
		done()
		return nil, nil, err
	}
	return buf.Bytes(), done, nil
}
