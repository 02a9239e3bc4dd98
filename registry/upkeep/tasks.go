package upkeep

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"
)

// sweepAfter is how soon after a start the first sweep is due: servers that are replaced every day shall sweep, too.
const sweepAfter = 10 * time.Minute

// SweepTask is the periodic sweep.
func SweepTask(s Sweeper, every time.Duration) Task {
	return Task{Name: "sweep", Next: Every(every), First: min(every, sweepAfter), Run: func(ctx context.Context) (Outcome, error) {
		rep, err := s.Run(ctx)
		text := fmt.Sprintf("%d of %d blobs removed", rep.Removed+rep.Finished, rep.Seen)
		if rep.Spared > 0 {
			text += fmt.Sprintf(", %d spared: the catalog has lost versions of their crates; run `crateyard check`", rep.Spared)
		}
		return Outcome{Items: rep.Removed + rep.Finished, Bytes: rep.Bytes, Problems: rep.Spared, Text: text}, err
	}}
}

// ScrubName is the name of the scrub's task, whose Status.Last.Problems are what is known to be damaged, whoever found it.
const ScrubName = "scrub"

// Damaged takes in a damage that was found between two ends of a scrub: it is told at once. Which blobs the last scrub found is not known any
// more, so what was found before and since counts once, as far as it can be the same.
func (r *Runner) Damaged(f Finding) {
	r.Log.Error("A stored archive is damaged; run `crateyard check --repair --from BACKUP`", "finding", string(f.Kind), "crate", f.Crate, "version", f.Version, "detail", f.Detail)
	r.tellIf(ScrubName, func(st *Status) (news bool) {
		if r.damaged == nil || !r.since.Equal(st.LastSucceeded) {
			r.damaged, r.since = map[string]bool{}, st.LastSucceeded
		}
		if len(r.damaged) < maxFindings {
			r.damaged[f.Key] = true
		}
		n := int64(len(r.damaged))
		if news = n > st.Last.Problems; news {
			st.Last.Problems, st.Last.Text = n, fmt.Sprintf("%s %s: %s", f.Crate, f.Version, f.Detail)
		}
		return news
	})
}

// suspected gives the keys of what was found damaged since the scrub last went over everything.
func (r *Runner) suspected() (keys []string) {
	r.note(ScrubName, func(st *Status) {
		if r.since.Equal(st.LastSucceeded) {
			keys = slices.Sorted(maps.Keys(r.damaged))
		}
	})
	return keys
}

// scrubAgain is how soon another replica takes over from one that stopped scrubbing.
const scrubAgain = time.Minute

// ScrubTask is the scrub. Each of its runs lasts as long as the replica does; Status.Last is of the last whole pass.
func ScrubTask(s Scrubber, r *Runner) Task {
	s.suspected = r.suspected
	found, passed := s.Found, s.Passed
	s.Found = func(f Finding) {
		r.Damaged(f)
		if found != nil {
			found(f)
		}
	}
	s.Passed = func(rep *Report) {
		text := fmt.Sprintf("%d blobs read, %d damaged", rep.Blobs, rep.Damaged())
		r.tell(ScrubName, func(st *Status) {
			st.LastSucceeded, st.LastError, st.Last = time.Now(), "", Outcome{Items: rep.Blobs, Bytes: rep.ReadBytes, Problems: rep.Damaged(), Text: text}
		})
		r.Log.Info("Read all stored archives", "blobs", rep.Blobs, "bytes", rep.ReadBytes, "damaged", rep.Damaged())
		if passed != nil {
			passed(rep)
		}
	}
	return Task{Name: ScrubName, Next: Every(scrubAgain), Run: func(ctx context.Context) (Outcome, error) {
		return Outcome{}, s.Run(ctx)
	}}
}
