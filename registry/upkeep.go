package registry

import (
	"context"
	"time"

	"github.com/crateyard/crateyard/registry/backup"
	"github.com/crateyard/crateyard/registry/upkeep"
)

// pruneEvery is how often records of the audit that are too old are dropped.
const pruneEvery = time.Hour

// prepareUpkeep makes the work that comes by itself, and that one server does for all that share the catalog.
func (s *Server) prepareUpkeep(ctx context.Context) error {
	id, err := s.Catalog.RegistryID(ctx)
	if err != nil {
		return err
	}
	holder := upkeep.NewHolder()
	s.upkeep = &upkeep.Runner{Leases: s.Catalog, Holder: holder, Log: s.log}
	add := func(t upkeep.Task) { s.upkeep.Tasks = append(s.upkeep.Tasks, t) }
	if keep := time.Duration(s.config.Audit.Keep); keep > 0 {
		add(upkeep.Task{Name: "audit", Next: upkeep.Every(pruneEvery), First: time.Minute, Run: func(ctx context.Context) (upkeep.Outcome, error) {
			n, err := s.Catalog.PruneAudit(ctx, keep)
			return upkeep.Outcome{Items: n}, err
		}})
	}
	if every := time.Duration(s.config.Sweep.Every); every > 0 {
		add(upkeep.SweepTask(upkeep.Sweeper{Catalog: s.Catalog, Marks: s.Catalog, Store: s.Store, Leases: s.Catalog, Holder: holder,
			OlderThan: time.Duration(s.config.Sweep.OlderThan)}, every))
	}
	if rate := s.config.Scrub.Rate; rate > 0 {
		add(upkeep.ScrubTask(upkeep.Scrubber{Catalog: s.Catalog, Store: s.Store, Rate: rate}, s.upkeep))
	}
	b := s.config.Backup
	if b.Schedule == "" {
		return nil
	}
	schedule, err := backup.ParseSchedule(b.Schedule)
	if err != nil {
		return err
	}
	if s.backups, err = s.config.OpenStore(ctx, b.S3, b.Folder, s.log, nil); err != nil {
		return err
	}
	add(backup.Task(backup.Creator{Catalog: s.Catalog, Store: s.Store, Target: s.backups, Leases: s.Catalog, Holder: holder, Version: s.api.Version,
		Registry: backup.Registry{ID: id, Name: s.config.Name, URL: s.config.URL}}, schedule, b.Keep))
	return nil
}
