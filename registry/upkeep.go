package registry

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/crateyard/crateyard/registry/backup"
	"github.com/crateyard/crateyard/registry/catalog"
	"github.com/crateyard/crateyard/registry/cron"
	"github.com/crateyard/crateyard/registry/upkeep"
	"github.com/crateyard/crateyard/registry/wire"
)

// pruneEvery is how often records of the audit that are too old are dropped.
const pruneEvery = time.Hour

// prepareUpkeep makes the work that comes by itself, and that one server does for all that share the catalog. What copies or examines blobs
// sees those of the storage itself, and not what a cache has of them.
func (s *Server) prepareUpkeep(ctx context.Context) error {
	id, err := s.catalog.RegistryID(ctx)
	if err != nil {
		return err
	}
	holder := upkeep.NewHolder()
	s.upkeep = &upkeep.Runner{Leases: s.catalog, Holder: holder, Log: s.log, Keep: s.keepTask}
	add := func(t upkeep.Task) { s.upkeep.Tasks = append(s.upkeep.Tasks, t) }
	if keep := time.Duration(s.config.Audit.Keep); keep > 0 {
		add(upkeep.Task{Name: "audit", Next: upkeep.Every(pruneEvery), First: time.Minute, Run: func(ctx context.Context) (upkeep.Outcome, error) {
			n, err := s.catalog.PruneAudit(ctx, keep)
			return upkeep.Outcome{Items: n}, err
		}})
	}
	if every := time.Duration(s.config.Sweep.Every); every > 0 {
		add(upkeep.SweepTask(upkeep.Sweeper{Catalog: s.catalog, Marks: s.catalog, Store: s.store, Leases: s.catalog, Holder: holder,
			Owns: s.backends.MaySweep, OlderThan: time.Duration(s.config.Sweep.OlderThan)}, every))
	}
	if rate := s.config.Scrub.Rate; rate > 0 {
		add(upkeep.ScrubTask(upkeep.Scrubber{Catalog: s.catalog, Store: s.backends.Store, Rate: rate}, s.upkeep))
	} else {
		add(upkeep.Task{Name: upkeep.ScrubName, Next: upkeep.Every(0)}) // never due; what downloads and checks find is told under its name
	}
	s.upkeep.Suspects = upkeep.NewSuspects(s.catalog, s.backends.Store, s.upkeep.Damaged)
	s.api.Suspect = s.upkeep.Suspects.Suspect
	if s.cache != nil {
		s.cache.Damaged = s.upkeep.Suspects.Suspect
	}
	defer s.learnTasks(ctx) // when all are known
	b := s.config.Backup
	if b.Schedule == "" {
		return nil
	}
	schedule, err := cron.Parse(b.Schedule)
	if err != nil {
		return err
	}
	add(s.backupTask(schedule, backup.Creator{Catalog: s.catalog, Store: s.backends.Store, Leases: s.catalog, Holder: holder, Version: s.api.Version,
		Registry: backup.Registry{ID: id, Name: s.config.Name, URL: s.config.URL, Instance: s.config.Instance}}))
	return nil
}

// backupTask opens where to each time: that it cannot be opened is a backup that failed, and no reason not to serve.
func (s *Server) backupTask(schedule *cron.Schedule, creator backup.Creator) upkeep.Task {
	b := s.config.Backup
	with := func(ctx context.Context, do func(upkeep.Task) error) error {
		keep := b.Keep
		if err := s.backends.SetBack(ctx); err != nil {
			keep = 0 // old backups have what the catalog does not know any more
		}
		target, err := s.config.OpenStore(ctx, b.S3, b.Folder, BackendOptions{Beside: true, Setting: "backup.s3", Log: s.log})
		if err != nil {
			return fmt.Errorf("where backups go: %w", err)
		}
		c := creator
		c.Target = target
		return errors.Join(do(backup.Task(c, schedule, keep)), target.Close())
	}
	return upkeep.Task{
		Name: "backup", Next: schedule.Next,
		Last: func(ctx context.Context) (last time.Time, err error) {
			err = with(ctx, func(t upkeep.Task) error {
				last, err = t.Last(ctx)
				return err
			})
			return last, err
		},
		Run: func(ctx context.Context) (out upkeep.Outcome, err error) {
			err = with(ctx, func(t upkeep.Task) error {
				out, err = t.Run(ctx)
				return err
			})
			return out, err
		},
	}
}

// taskNote is where the servers of a registry tell each other how a task stands.
const taskNote = "task/"

// noteTimeout bounds the writing of a note; one that is lost is written again with the next run.
const noteTimeout = 10 * time.Second

// learnTasks hears how the tasks stand that other servers did, or this one before it was started again.
func (s *Server) learnTasks(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, noteTimeout)
	defer cancel()
	known, err := tasks(ctx, s.catalog)
	if err != nil {
		s.log.Debug("Cannot hear how the tasks stand", "error", err) // that the catalog is away is said elsewhere
		return
	}
	s.upkeep.Learn(known)
}

// keepTask tells the other servers how a task stands. What one of them knows better, because it did the task since, stays.
func (s *Server) keepTask(st upkeep.Status) {
	ctx, cancel := context.WithTimeout(context.Background(), noteTimeout)
	defer cancel()
	known, err := tasks(ctx, s.catalog)
	if err == nil {
		st = st.Newer(known[st.Name])
		if old := known[st.Name]; old.LastFailed.After(st.LastFailed) {
			st.LastFailed = old.LastFailed
		}
		err = setTask(ctx, s.catalog, st)
	}
	if err != nil {
		s.log.Warn("Cannot tell how a task stands", "task", st.Name, "error", err)
	}
}

func setTask(ctx context.Context, c *catalog.Catalog, st upkeep.Status) error {
	text, err := json.Marshal(st)
	if err != nil {
		return err
	}
	return c.SetNote(ctx, taskNote+st.Name, string(text))
}

// NoteCheck tells the servers what a check has left damaged, as if a scrub had ended: it went over everything, in one go and reading all. So what it
// repaired is not told as damaged until the next scrub ends.
func (b *Backends) NoteCheck(ctx context.Context, r *upkeep.Report) error {
	known, err := tasks(ctx, b.Catalog)
	if err != nil {
		return err
	}
	damaged := r.Damaged() - r.Counts[upkeep.WrongFeed] - r.Counts[upkeep.SetBack] // which a scrub does not look at
	st := known[upkeep.ScrubName]
	at := time.Now()
	if !at.After(st.LastSucceeded) { // a clock that is behind
		at = st.LastSucceeded.Add(time.Millisecond)
	}
	st.Name, st.LastSucceeded = upkeep.ScrubName, at
	st.Last = upkeep.Outcome{Items: r.Blobs, Bytes: r.ReadBytes, Problems: damaged, Text: fmt.Sprintf("%d blobs checked, %d damaged", r.Blobs, damaged)}
	return setTask(ctx, b.Catalog, st)
}

// tasks gives how each task stood when a server last told.
func tasks(ctx context.Context, c *catalog.Catalog) (map[string]upkeep.Status, error) {
	notes, err := c.Notes(ctx)
	if err != nil {
		return nil, err
	}
	known := map[string]upkeep.Status{}
	for name, text := range notes {
		task, isTask := strings.CutPrefix(name, taskNote)
		var st upkeep.Status
		if isTask && json.Unmarshal([]byte(text), &st) == nil { // another version may have written it
			known[task] = st
		}
	}
	return known, nil
}

// status fills in how the backends are and what the tasks did.
func (s *Server) status(ctx context.Context, st *wire.Status) error {
	st.Catalog, st.Storage = &wire.Backend{Backend: "sqlite", Ready: true}, &wire.Backend{Backend: "filesystem", Ready: true}
	if s.config.Catalog.Postgres != nil {
		st.Catalog.Backend = "postgres"
	}
	if s.config.Storage.S3 != nil {
		st.Storage.Backend = "s3"
	}
	look, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	if err := s.catalog.Ping(look); err != nil { // it has just been read, and may take no writes
		st.Catalog.Ready, st.Catalog.Message = false, upkeep.Clean(err)
	}
	if err := s.store.Check(look); err != nil {
		st.Storage.Ready, st.Storage.Message = false, upkeep.Clean(err)
	}
	known, err := tasks(ctx, s.catalog)
	if err != nil {
		return err
	}
	if s.config.Backup.Schedule != "" {
		t := known["backup"]
		st.Backup = &wire.BackupStatus{LastStarted: moment(t.LastStarted), LastSuccessful: moment(t.LastSucceeded), LastFailed: moment(t.LastFailed),
			Message: t.LastError, Name: t.Last.Text, Bytes: t.Last.Bytes, Blobs: t.Last.Items}
	}
	if s.config.Sweep.Every > 0 {
		t := known["sweep"]
		st.Sweep = &wire.SweepStatus{LastCompleted: moment(t.LastSucceeded), LastFailed: moment(t.LastFailed), Message: t.LastError,
			Removed: t.Last.Items, Bytes: t.Last.Bytes}
	}
	if t := known[upkeep.ScrubName]; s.config.Scrub.Rate > 0 || t.Last.Problems > 0 {
		st.Scrub = &wire.ScrubStatus{LastCompleted: moment(t.LastSucceeded), Problems: t.Last.Problems}
		if t.Last.Problems > 0 {
			st.Scrub.Message = t.Last.Text
		}
	}
	if said := s.setBack.Load(); said != nil {
		st.Catalog.SetBack = *said
	}
	return nil
}

func moment(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC()
	return &t
}
