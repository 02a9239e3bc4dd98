package mirror

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
)

const (
	smallIndexFile = 2 << 20 // bytes: all but a handful of crates.io's are smaller
	indexChunk     = 1 << 20
)

var errLongIndex = errors.New("it is too long for an index file")

// readIndexFile reads an answer. The file stays in memory, so it takes no more of it than it has. Of what is
// more than a small file, one at a time is read: an upstream whose answers do not end would else take that much of the memory for each request.
func readIndexFile(ctx context.Context, resp *http.Response, large chan struct{}) ([]byte, error) {
	buf := bytes.NewBuffer(make([]byte, 0, min(max(resp.ContentLength, 0), smallIndexFile)+bytes.MinRead))
	_, err := buf.ReadFrom(io.LimitReader(resp.Body, smallIndexFile))
	file := buf.Bytes()
	switch {
	case err != nil:
		return nil, err
	case len(file) == smallIndexFile:
		return readRest(ctx, file, resp.Body, large)
	case cap(file)-len(file) <= bytes.MinRead:
		return file, nil
	}
	return append(make([]byte, 0, len(file)), file...), nil
}

// readRest reads what comes after the beginning of a large file, in pieces, which are put together once it is known how many there are.
func readRest(ctx context.Context, begin []byte, r io.Reader, large chan struct{}) ([]byte, error) {
	select {
	case large <- struct{}{}:
		defer func() { <-large }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	chunks, size := [][]byte{begin}, len(begin)
	for {
		chunk := make([]byte, indexChunk)
		n := 0
		var err error
		for n < len(chunk) && err == nil {
			var more int
			more, err = r.Read(chunk[n:])
			n += more
		}
		chunks, size = append(chunks, chunk[:n]), size+n
		switch {
		case size > maxIndexFile:
			return nil, errLongIndex
		case errors.Is(err, io.EOF):
			return bytes.Join(chunks, nil), nil
		case err != nil: // cut off, which io.ReadFull would tell as the end
			return nil, err
		}
	}
}
