package storage

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
)

// open gives a reader for what is being fetched. errEnded and errNotKept say where else the blob is.
func (f *fill) open(ctx context.Context) (Blob, error) {
	select {
	case <-f.opened:
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	if f.err != nil {
		select {
		case b := <-f.spare:
			return b, nil
		default:
			return nil, f.err
		}
	}
	file, err := f.c.root.Open(f.part)
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) && f.wasKept() {
			return nil, errEnded
		}
		return nil, errNotKept
	}
	return &fillBlob{ctx: ctx, fill: f, file: file}, nil
}

// wasKept tells how a fetch has ended whose file is gone.
func (f *fill) wasKept() bool {
	f.c.mu.Lock() // finish holds it until it is known
	defer f.c.mu.Unlock()
	return f.kept
}

// fillBlob reads a copy that still grows. When its fetch fails, it goes on with the store behind. It is for one goroutine, as files are.
type fillBlob struct {
	ctx    context.Context
	fill   *fill
	file   *os.File
	at     int64 // where the next read begins
	direct Blob  // nil: the file is read
}

// Stream implements Streamer: the kernel sends each piece as it comes.
func (b *fillBlob) Stream(w io.Writer) (n int64, err error) {
	for b.at < b.fill.info.size {
		end, err := b.await()
		if err != nil {
			return n, err
		}
		if b.direct != nil {
			m, err := stream(w, b.direct)
			b.at += m
			return n + m, err
		}
		if _, err := b.file.Seek(b.at, io.SeekStart); err != nil {
			return n, err
		}
		m, err := io.Copy(w, io.LimitReader(b.file, end-b.at))
		b.at, n = b.at+m, n+m
		if err != nil {
			return n, err
		}
		if m == 0 {
			return n, fmt.Errorf("%s: %w", b.fill.part, io.ErrUnexpectedEOF)
		}
	}
	return n, nil
}

// stream copies what is left of a blob.
func stream(w io.Writer, b Blob) (int64, error) {
	if s, ok := b.(Streamer); ok {
		return s.Stream(w)
	}
	return io.Copy(w, b)
}

// Read implements io.Reader.
func (b *fillBlob) Read(p []byte) (n int, err error) {
	if b.at >= b.fill.info.size {
		return 0, io.EOF
	}
	end, err := b.await()
	if err != nil {
		return 0, err
	}
	if b.direct != nil {
		n, err = b.direct.Read(p)
	} else {
		n, err = b.file.ReadAt(p[:min(int64(len(p)), end-b.at)], b.at)
	}
	b.at += int64(n)
	return n, err
}

// await waits for bytes to read and gives where they end. After a failure of the fetch there are those of the store behind.
func (b *fillBlob) await() (end int64, err error) {
	if b.direct != nil {
		return b.fill.info.size, nil
	}
	end, err = b.fill.wait(b.ctx, b.at)
	if err == nil || b.ctx.Err() != nil {
		return end, err
	}
	direct, err := b.fill.c.Store.Open(b.ctx, b.fill.key)
	if err != nil {
		return 0, err
	}
	info, err := direct.Stat()
	if err == nil && info.Size() != b.fill.info.size {
		err = fmt.Errorf("%s: %w: %d bytes, and %d a moment ago", b.fill.key, ErrDigest, info.Size(), b.fill.info.size)
	}
	if err == nil {
		_, err = direct.Seek(b.at, io.SeekStart)
	}
	if err != nil {
		return 0, errors.Join(err, direct.Close())
	}
	b.direct = direct
	return b.fill.info.size, nil
}

// Seek implements io.Seeker.
func (b *fillBlob) Seek(offset int64, whence int) (int64, error) {
	at, err := seekTo(offset, whence, b.at, b.fill.info.size)
	if err == nil && b.direct != nil {
		_, err = b.direct.Seek(at, io.SeekStart)
	}
	if err == nil {
		b.at = at
	}
	return at, err
}

// Stat gives what the store behind said.
func (b *fillBlob) Stat() (os.FileInfo, error) { return b.fill.info, nil }

// Close implements io.Closer.
func (b *fillBlob) Close() error {
	err := b.file.Close()
	if b.direct != nil {
		err = errors.Join(err, b.direct.Close())
	}
	return err
}
