package storage

import (
	"net/http"
	"sync/atomic"
	"time"
)

// serverClock is how far the clock of the S3 server is ahead of this machine's, as its answers tell. A request that is refused for its time the SDK signs
// anew by it; a presigned address is used by others, and would have ended before it began, or not have begun.
type serverClock struct{ ahead atomic.Int64 }

// clockSlack is what an offset is no reason for: answers tell whole seconds, and take their time.
const clockSlack = 30 * time.Second

// hear takes in an answer that has just come.
func (c *serverClock) hear(resp *http.Response) {
	at, err := http.ParseTime(resp.Header.Get("Date"))
	if err != nil {
		return
	}
	ahead := time.Until(at)
	if ahead.Abs() < clockSlack {
		ahead = 0
	}
	c.ahead.Store(int64(ahead))
}

// of tells what time it is there.
func (c *serverClock) of(here time.Time) time.Time { return here.Add(time.Duration(c.ahead.Load())) }
