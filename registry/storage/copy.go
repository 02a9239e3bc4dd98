package storage

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strings"
)

// ErrDigest is the error for bytes that are not those which their key or list promises.
var ErrDigest = errors.New("wrong bytes")

// ParseCrateKey takes a key of CrateKey apart. It reports false for a key that CrateKey does not make.
func ParseCrateKey(key string) (name, version, sha256 string, ok bool) {
	rest, isCrate := strings.CutPrefix(key, "crates/")
	rest, hasEnd := strings.CutSuffix(rest, ".crate")
	name, rest, hasName := strings.Cut(rest, "/")
	at := strings.LastIndexByte(rest, '-')
	if !isCrate || !hasEnd || !hasName || name == "" || at < 1 || strings.Contains(rest, "/") || !isSHA256(rest[at+1:]) {
		return "", "", "", false
	}
	return name, rest[:at], rest[at+1:], true
}

func isSHA256(s string) bool { return len(s) == 64 && strings.Trim(s, "0123456789abcdef") == "" }

// Digest reads a blob to its end and gives its SHA-256, in lower-case hex, and its size. A reader that ends with the context is the
// caller's to make: it is asked between reads.
func Digest(ctx context.Context, s Store, key string, through func(io.Reader) io.Reader) (sum string, size int64, err error) {
	b, err := s.Open(ctx, key)
	if err != nil {
		return "", 0, err
	}
	defer func() { err = errors.Join(err, b.Close()) }()
	var r io.Reader = withContext{ctx, b}
	if through != nil {
		r = through(r)
	}
	h := sha256.New()
	size, err = io.CopyBuffer(onlyWriter{h}, r, make([]byte, 64<<10))
	return hex.EncodeToString(h.Sum(nil)), size, err
}

// Copy copies a blob into a store, durably. The copy gets its key only when its bytes have the digest and the size; otherwise nothing is
// kept and the error is ErrDigest. An empty digest and a negative size are not asked for: it gives what they are.
func Copy(ctx context.Context, from Store, key string, to Store, toKey, digest string, size int64) (sum string, n int64, err error) {
	b, err := from.Open(ctx, key)
	if err != nil {
		return "", 0, err
	}
	defer func() { err = errors.Join(err, b.Close()) }()
	w, err := to.Create(ctx)
	if err != nil {
		return "", 0, err
	}
	defer func() { err = errors.Join(err, w.Cancel()) }() // after a commit it does nothing
	h := sha256.New()
	n, err = io.CopyBuffer(io.MultiWriter(w, h), onlyReader{withContext{ctx, b}}, make([]byte, 64<<10))
	if err != nil {
		return "", n, fmt.Errorf("copy %s: %w", key, err)
	}
	sum = hex.EncodeToString(h.Sum(nil))
	if digest != "" && sum != digest || size >= 0 && n != size {
		return sum, n, fmt.Errorf("%s: %w: SHA-256 %s, %d bytes", key, ErrDigest, sum, n)
	}
	durable, err := w.Commit(ctx, toKey)
	if err != nil {
		return sum, n, fmt.Errorf("store %s: %w", toKey, err)
	}
	if err := durable(); err != nil {
		return sum, n, fmt.Errorf("store %s: %w", toKey, err)
	}
	return sum, n, nil
}

// withContext ends with its context.
type withContext struct {
	ctx context.Context
	r   io.Reader
}

func (w withContext) Read(p []byte) (int, error) {
	if err := w.ctx.Err(); err != nil {
		return 0, err
	}
	return w.r.Read(p)
}

// onlyReader and onlyWriter hide what else a value can do, so that io.CopyBuffer uses its buffer.
type (
	onlyReader struct{ io.Reader }
	onlyWriter struct{ io.Writer }
)
