package publish

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/crateyard/crateyard/registry/fault"
)

// Room is given in the order in which it is asked for, half of it to one user at most, and nobody waits for a user who has that.
func TestRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const mib = 1 << 20
		r := &room{size: 8 * mib, wait: time.Hour}
		var mu sync.Mutex
		var in []string
		enter := func(name string, user, bytes int64) (leave func()) {
			left := make(chan struct{})
			go func() {
				leave, err := r.take(t.Context(), user, bytes)
				if err != nil {
					t.Error(name, err)
					return
				}
				mu.Lock()
				in = append(in, name)
				mu.Unlock()
				<-left
				leave()
				leave() // again, which does nothing
			}()
			synctest.Wait()
			return func() { close(left); synctest.Wait() }
		}
		inside := func(want string) { // since the last time, sorted: those let in by one who left come in at once
			t.Helper()
			slices.Sort(in)
			if got := strings.Join(in, " "); got != want {
				t.Errorf("%q came in; want %q", got, want)
			}
			in = nil
		}
		a1, a2 := enter("a1", 1, 3*mib), enter("a2", 1, 2*mib)
		inside("a1") // a has half with it
		a3 := enter("a3", 1, mib)
		small := enter("small", 1, freely)
		b1 := enter("b1", 2, 3*mib)
		inside("b1 small")
		c1, d1 := enter("c1", 3, 3*mib), enter("d1", 4, mib)
		inside("") // d1 stands behind c1, for whom there is not enough
		b1()
		inside("c1 d1")
		a1()
		inside("a2 a3")
		huge := enter("huge", 2, 100*mib)
		inside("")
		for _, leave := range []func(){a2, a3, c1, d1, small} {
			leave()
		}
		inside("huge") // as much as one can have
		huge()
		if r.taken != 0 || len(r.users) != 0 || len(r.queue) != 0 {
			t.Errorf("left: %d bytes, %v, %d waiting", r.taken, r.users, len(r.queue))
		}
	})
}

// Who waits too long, or goes away, is in nobody's way afterwards.
func TestRoomIsWaitedForInVain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &room{size: 2 << 20, wait: 20 * time.Second}
		leave, err := r.take(t.Context(), 1, 1<<20)
		if err != nil {
			t.Fatal(err)
		}
		begin := time.Now()
		if _, err := r.take(t.Context(), 1, 1<<20); fault.KindOf(err) != fault.Unavailable || time.Since(begin) != r.wait {
			t.Errorf("%v after %s", err, time.Since(begin))
		}
		gone, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := r.take(gone, 1, 1<<20); !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
		leave()
		if r.taken != 0 || len(r.queue) != 0 {
			t.Errorf("left: %d bytes, %d waiting", r.taken, len(r.queue))
		}
	})
}
