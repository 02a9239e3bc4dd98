package catalog

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/crateyard/crateyard/registry/fault"
	"github.com/crateyard/crateyard/test/postgres"
)

// Each message to PostgreSQL during a change is late, once, or the network breaks before it or before its answer. What is late goes well; what breaks
// is Unavailable; and where the caller's time ends meanwhile it is told so, soon. A change is there whole or not at all, an acknowledged one is there.
func TestNetworkFaults(t *testing.T) {
	for _, tc := range []struct {
		fault    postgres.Fault
		patience time.Duration // of the caller; 0: no end
	}{{postgres.Slow, 0}, {postgres.Slow, 20 * time.Millisecond}, {postgres.Cut, 0}, {postgres.LostAnswer, 0}} {
		t.Run(fmt.Sprintf("%s, patience %s", tc.fault, tc.patience), func(t *testing.T) {
			t.Parallel()
			uri := postgres.Database(t)
			plain := openPostgres(t, uri)
			p := postgres.NewProxy(t, uri)
			faulty := openPostgres(t, p.URI)
			faulty.feed.stop() // it would send messages, too
			faulty.feed = nil
			by := users(t, plain, "alice", "bob")[0]
			publishWith(t, plain, "base", "1.0.0", nil)
			n := 0
			setUp := func(op operation) string {
				n++
				name := fmt.Sprintf("crate%d", n)
				if !op.fresh {
					beforeOperation(t, plain, by, name)
				}
				return name
			}
			for _, op := range faultOperations(t) {
				name := setUp(op)
				old := state(t, plain, name)
				if err := op.do(t.Context(), plain, by, name); err != nil {
					t.Fatal(err)
				}
				changed := state(t, plain, name)
				for nth, patience := 1, tc.patience; ; nth++ {
					name := setUp(op)
					if err := faulty.Ping(t.Context()); err != nil { // so that there is a connection
						t.Fatal(err)
					}
					ctx, cancel := t.Context(), context.CancelFunc(func() {})
					if patience > 0 {
						ctx, cancel = context.WithTimeout(ctx, patience)
					}
					p.Fail(nth, tc.fault)
					begin := time.Now()
					err := op.do(ctx, faulty, by, name)
					took := time.Since(begin)
					cancel()
					messages := p.Messages()
					p.Fail(0, "")
					where := fmt.Sprintf("%s, message %d (%v, %s)", op.name, nth, err, took)
					got := settled(t, plain, name, old, changed)
					switch {
					case err == nil && got != changed:
						t.Errorf("%s: acknowledged, and the state is\n%s\nwant\n%s", where, got, changed)
					case got != old && got != changed:
						t.Errorf("%s: half a change:\n%s", where, got)
					case err != nil && tc.fault == postgres.Slow && tc.patience == 0:
						t.Errorf("%s: it was only late", where)
					case err != nil && fault.KindOf(err) != fault.Unavailable && !errors.Is(err, context.DeadlineExceeded):
						t.Errorf("%s: not Unavailable: %T", where, err)
					case took > readTimeout:
						t.Errorf("%s: it hung", where)
					}
					if messages < nth && patience > 0 && err != nil { // the machine was late, and not yet the network: once more, with more patience
						nth, patience = nth-1, 2*patience
						continue
					}
					if messages < nth {
						if nth < 3 {
							t.Errorf("%s made %d messages", op.name, nth-1)
						}
						t.Logf("%s: %d messages", op.name, nth-1)
						break
					}
				}
			}
		})
	}
}

// settled gives the state of a crate. What the server was still at work on when its client was cut off is done, or undone, in a moment.
func settled(t *testing.T, c *Catalog, name, old, changed string) (got string) {
	t.Helper()
	for range 600 {
		if got = state(t, c, name); got == old || got == changed {
			return got
		}
		time.Sleep(50 * time.Millisecond)
	}
	return got
}
