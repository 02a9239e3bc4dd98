package backup

import (
	"context"
	"fmt"
	"time"

	"github.com/crateyard/crateyard/registry/cron"
	"github.com/crateyard/crateyard/registry/upkeep"
)

// Task is the backup that comes by itself: it makes one, and prunes after that, unless keep is 0. A backup that was due while no server ran is made at the
// next start.
func Task(c Creator, schedule *cron.Schedule, keep int) upkeep.Task {
	return upkeep.Task{
		Name: "backup",
		Next: schedule.Next,
		Last: func(ctx context.Context) (time.Time, error) {
			list, _, err := List(ctx, c.Target)
			if err != nil || len(list) == 0 {
				return time.Time{}, err
			}
			return list[len(list)-1].Finished, nil
		},
		Run: func(ctx context.Context) (upkeep.Outcome, error) {
			m, err := c.Create(ctx)
			if err != nil {
				return upkeep.Outcome{}, err
			}
			out := upkeep.Outcome{Items: m.Blobs, Bytes: m.Bytes, Text: m.Name}
			if keep == 0 {
				return out, upkeep.Final(m.Complete())
			}
			p := Pruner{Target: c.Target, Leases: c.Leases, Holder: c.Holder, Registry: c.Registry, Keep: keep}
			if _, err := p.Prune(ctx); err != nil {
				return upkeep.Outcome{}, fmt.Errorf("backup %s is made, but old ones stay: %w", m.Name, err)
			}
			return out, upkeep.Final(m.Complete())
		},
	}
}

// Complete is an error when the storage could not give all blobs.
func (m *Manifest) Complete() error {
	if m.MissingBlobs == 0 {
		return nil
	}
	archives := "archives"
	if m.MissingBlobs == 1 {
		archives = "archive"
	}
	return fmt.Errorf("backup %s lacks %d %s, which the storage could not give, such as %s: run `crateyard check`", m.Name, m.MissingBlobs, archives, m.Missing[0])
}
