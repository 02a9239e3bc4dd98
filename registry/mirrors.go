package registry

import (
	"context"
	"path/filepath"
	"time"

	"github.com/crateyard/crateyard/registry/metrics"
	"github.com/crateyard/crateyard/registry/mirror"
	"github.com/crateyard/crateyard/registry/upkeep"
	"github.com/crateyard/crateyard/registry/wire"
)

// startMirrors begins to serve and tend the mirrors.
func (s *Server) startMirrors(ctx context.Context) error {
	m := &mirror.Manager{
		Catalog: s.catalog, Store: s.store, Metrics: s.metrics.Mirrors(), Log: s.log, Name: s.config.Name, URL: s.config.URL, Version: s.api.Version,
		SpoolDir: filepath.Join(s.config.Data, "spool"), CacheDir: filepath.Join(s.config.Data, "advisories"),
		MaxArchive: s.config.Limits.MirroredCrateSize,
		Holder:     upkeep.NewHolder(), Shared: s.config.Catalog.Postgres != nil, MaySweep: s.backends.MaySweep,
	}
	if err := m.Start(ctx); err != nil {
		return err
	}
	s.metrics.MirrorStates(func() []metrics.MirrorState { return s.mirrorStates(m) })
	s.mirrors, s.api.Mirrors = m, m
	s.api.Publisher.Mirrors = m
	return nil
}

// scrapeTime bounds what a scrape of the metrics waits for.
const scrapeTime = 5 * time.Second

// mirrorStates says how the mirrors stand, for the metrics; nothing while the catalog is away.
func (s *Server) mirrorStates(m *mirror.Manager) []metrics.MirrorState {
	ctx, cancel := context.WithTimeout(context.Background(), scrapeTime)
	defer cancel()
	list, err := m.List(ctx)
	if err != nil {
		s.log.Warn("How the mirrors stand is in no metric now", "error", err)
		return nil
	}
	states := make([]metrics.MirrorState, 0, len(list))
	for _, one := range list {
		st := metrics.MirrorState{Name: one.Name, Wanted: one.Status.Sync.Total, Cached: one.Status.Sync.Done, Failed: one.Status.Sync.Failed,
			IndexFiles: one.Status.IndexFiles, Archives: one.Status.Crates, Bytes: one.Status.Bytes, Shadowed: int64(len(one.Status.Shadowed)),
			Running: one.Status.Sync.Running, Incomplete: !one.Spec.Suspend && incomplete(one.Status.Sync), UpstreamUp: one.Status.Upstream.Ready}
		if t := one.Status.Sync.LastSuccessful; t != nil {
			st.LastSuccessful = *t
		}
		states = append(states, st)
	}
	return states
}

// incomplete reports whether the last sync that ended did not cache all; what one that runs now has failed at so far says nothing of that.
func incomplete(s wire.MirrorSync) bool {
	return s.LastEnded != nil && (s.LastSuccessful == nil || s.LastSuccessful.Before(*s.LastEnded))
}
