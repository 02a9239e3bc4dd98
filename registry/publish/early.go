package publish

import (
	"context"

	"github.com/crateyard/crateyard/registry/storage"
)

// begun is a blob that its store makes while its first bytes arrive: a filesystem that looks for a free inode may take as long as the check of a
// small archive. It is for one goroutine.
type begun struct {
	ready chan struct{}  // closed when the store has made it, or failed to
	blob  storage.Writer // nil where it failed
	err   error          // of the store, so far
	early []byte         // came before it was ready
}

// mostEarly bounds what waits in memory for the store, in bytes.
const mostEarly = 32 << 10

// beginStore is store.Create; that it failed is told by the first call that needs it.
func beginStore(ctx context.Context, store storage.Store) *begun {
	b := &begun{ready: make(chan struct{})}
	go func() {
		defer close(b.ready)
		b.blob, b.err = store.Create(ctx)
	}()
	return b
}

// Write implements io.Writer.
func (b *begun) Write(p []byte) (int, error) {
	if len(b.early)+len(p) <= mostEarly {
		select {
		case <-b.ready:
		default:
			b.early = append(b.early, p...)
			return len(p), nil
		}
	}
	if err := b.catchUp(); err != nil {
		return 0, err
	}
	return b.blob.Write(p)
}

// catchUp waits for the store, and gives it what came before.
func (b *begun) catchUp() error {
	<-b.ready
	if b.err != nil || len(b.early) == 0 {
		return b.err
	}
	_, b.err = b.blob.Write(b.early)
	b.early = nil
	return b.err
}

// Commit implements storage.Writer.
func (b *begun) Commit(ctx context.Context, key string) (durable func() error, err error) {
	if err := b.catchUp(); err != nil {
		return nil, err
	}
	return b.blob.Commit(ctx, key)
}

// Cancel implements storage.Writer.
func (b *begun) Cancel() error {
	<-b.ready
	if b.blob == nil {
		return nil
	}
	return b.blob.Cancel()
}
