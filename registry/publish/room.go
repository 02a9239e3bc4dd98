package publish

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/crateyard/crateyard/registry/fault"
)

// Of an upload only its metadata, its manifest and what tells its paths apart are held in memory, and those of most crates are small. What is larger
// needs room, which is the process's, for as long as it is held; who waits for it has sent nothing that is. One user's share takes any upload that is
// within the limits.
//
// An upload takes room in the order of these three, and none while it has one that stands behind, so that no two wait for each other. A
// sender that stands still or drips is ended by the API, and leaves then.
var (
	texts    = room{size: 8 << 20, wait: roomWait}  // JSON while it arrives, up to its end
	parsed   = room{size: 24 << 20, wait: roomWait} // metadata, from there to the end of the publish
	archives = room{size: 16 << 20, wait: roomWait} // Cargo.toml and paths of the archive, from where one of them is large to the end of the publish
)

const (
	// freely is what an upload holds of each without asking, in bytes: all that most crates need.
	freely = 128 << 10
	// roomWait is how long an upload waits. cargo ends one that moves nothing for 30 seconds.
	roomWait = 20 * time.Second
)

// room is memory that uploads share, in bytes. One user has half of it at most: whoever fills it does not keep others out.
type room struct {
	size int64
	wait time.Duration

	mu    sync.Mutex
	taken int64
	users map[int64]int64 // what each has taken
	queue []*waiting      // the oldest first
}

// waiting is an upload that waits for room.
type waiting struct {
	user, bytes int64
	in          chan struct{} // closed when it has it
}

// take waits until there is room for so many bytes, at most half of all; leave gives it back, and may be called more than once. Those who
// came before go first, but for users who have their half. Who waits too long is told to come again.
func (r *room) take(ctx context.Context, user, bytes int64) (leave func(), err error) {
	if bytes <= freely {
		return func() {}, nil
	}
	w := &waiting{user: user, bytes: min(bytes, r.size/2), in: make(chan struct{})}
	r.mu.Lock()
	r.queue = append(r.queue, w)
	r.admit()
	r.mu.Unlock()
	timer := time.NewTimer(r.wait)
	defer timer.Stop()
	select {
	case <-w.in:
		return sync.OnceFunc(func() { r.leave(w) }), nil
	case <-ctx.Done():
		err = ctx.Err()
	case <-timer.C:
		err = fault.New(fault.Unavailable, "too many uploads with long metadata, a long Cargo.toml or thousands of files are under way; nothing was published, try again in a moment")
	}
	r.leave(w)
	return nil, err
}

// leave ends a stay, or the waiting for one.
func (r *room) leave(w *waiting) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if i := slices.Index(r.queue, w); i >= 0 {
		r.queue = slices.Delete(r.queue, i, i+1)
	} else {
		r.taken -= w.bytes
		if r.users[w.user] -= w.bytes; r.users[w.user] == 0 {
			delete(r.users, w.user)
		}
	}
	r.admit()
}

// admit lets in those for whom there is room, with mu held. Where the next is too large for what is left, those behind wait as well, or a
// large upload would wait for ever; of a user who has half, all wait, and no other for them.
func (r *room) admit() {
	full := map[int64]bool{}
	r.queue = slices.DeleteFunc(r.queue, func(w *waiting) bool {
		switch {
		case full[w.user] || r.users[w.user]+w.bytes > r.size/2:
			full[w.user] = true
			return false
		case full[everybody] || r.taken+w.bytes > r.size:
			full[everybody] = true
			return false
		}
		if r.users == nil {
			r.users = map[int64]int64{}
		}
		r.taken += w.bytes
		r.users[w.user] += w.bytes
		close(w.in)
		return true
	})
}

// everybody is no user's id.
const everybody = -1
