package main

import (
	"context"
	"fmt"
	"time"
)

// launchAndWait starts a process and waits until it answers. When it dies or
// takes too long, the error carries the end of its log.
func (c *Cluster) launchAndWait(ctx context.Context, s spec, timeout time.Duration, ready func(context.Context) error) error {
	start := time.Now()
	p, err := c.launch(s)
	if err != nil {
		return err
	}
	err = poll(ctx, timeout, func(ctx context.Context) error {
		if !p.Alive() {
			return final{fmt.Errorf("%s ended", s.name)}
		}
		return ready(ctx)
	})
	if err != nil {
		return fmt.Errorf("%s does not start: %w\n--- the end of %s:\n%s", s.name, err, c.Log(s.name), tail(c.Log(s.name), 20))
	}
	step(start, s.name)
	return nil
}

// final is an error that more waiting cannot mend.
type final struct{ error }

// poll tries until it succeeds. Its error is the last one of the attempts,
// which says more than "timed out".
func poll(ctx context.Context, timeout time.Duration, try func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	for {
		attempt, done := context.WithTimeout(ctx, 5*time.Second)
		err := try(attempt)
		done()
		if err == nil {
			return nil
		}
		if f, ok := err.(final); ok {
			return f.error
		}
		select {
		case <-ctx.Done():
			if context.Cause(ctx) == context.DeadlineExceeded {
				return fmt.Errorf("not ready after %s: %w", timeout, err)
			}
			return ctx.Err()
		case <-time.After(100 * time.Millisecond):
		}
	}
}
