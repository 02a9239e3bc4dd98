package cratemirror

import (
	"fmt"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/crateyard/crateyard/api/v1alpha1"
	"github.com/crateyard/crateyard/controllers/internal/conditions"
	"github.com/crateyard/crateyard/controllers/internal/outcome"
	"github.com/crateyard/crateyard/controllers/internal/parent"
	"github.com/crateyard/crateyard/registry/wire"
)

// Bounds of what the status repeats; those of the schema are no smaller.
const (
	maxAnnotation = 250
	maxListed     = 20
	maxName       = 120
	maxVersion    = 500
)

// facts are what the steps saw.
type facts struct {
	registryReady bool
	missing       finding      // what spec.upstream names and is not there
	accepted      bool         // the registry has the spec
	refused       refusal      // what it has against it
	live          *wire.Mirror // as it last said; nil: there is none, or it was not asked
	again         bool         // the spec was given to it in this reconcile
	applied       applied      // to be remembered, once the lockfiles are there, too

	lockfiles        []lockfile
	lockfilesRead    bool
	lockfilesChanged bool
	syncAsked        bool
	secret           string // the token for upstream, which no text may hold
}

// text makes what the registry says fit for the status.
func (f *facts) text(s string) string {
	if f.secret != "" {
		s = strings.ReplaceAll(s, f.secret, "…")
	}
	return outcome.Message(s)
}

// status computes a CrateMirror's status from what it was, what the steps saw, and how they ended.
func status(m *v1alpha1.CrateMirror, f facts, err error, now time.Time) v1alpha1.CrateMirrorStatus {
	st := *m.Status.DeepCopy()
	st.LastHandledReconcileAt = outcome.Clip(m.Annotations[v1alpha1.RequestedAtAnnotation], maxAnnotation)
	if asked := outcome.Clip(m.Annotations[v1alpha1.SyncRequestedAtAnnotation], maxAnnotation); f.syncAsked || asked == "" {
		st.LastHandledSyncAt = asked
	}
	if f.live != nil {
		live(&st, m, &f)
	}
	_, stalled := outcome.IsStalled(err)
	if err == nil || stalled {
		st.ObservedGeneration = m.Generation
	}
	was := func(typ string) *metav1.Condition { return meta.FindStatusCondition(m.Status.Conditions, typ) }
	upstream, synced := upstreamReady(&f, was), synced(m, &f, was)
	causes := []metav1.Condition{parent.Ready(m.Spec.RegistryRef.Name, f.registryReady, err, was(v1alpha1.RegistryReadyCondition)), policyValid(&f, was), upstream}
	var working *metav1.Condition
	if len(m.Spec.Lockfiles) > 0 {
		read := lockfilesReady(&f, was)
		causes = append(causes, read)
		if read.Status == metav1.ConditionFalse {
			working = &read
		}
	}
	if l := f.live; l != nil {
		switch {
		case upstream.Status == metav1.ConditionFalse && l.Status.IndexFiles+l.Status.Crates == 0 && needsUpstream(l):
			working = &upstream
		case working == nil && l.Spec.Mode == string(v1alpha1.MirrorPinned) && l.Status.Sync.LastEnded == nil && synced.Status == metav1.ConditionFalse:
			working = &synced
		}
	}
	conds := conditions.Summary(err, working, fmt.Sprintf("mirror %s of Registry %s serves at %s", m.MirrorName(), m.Spec.RegistryRef.Name, st.IndexURL))
	conds = append(conds, append(causes, synced)...)
	st.Conditions = conditions.Merge(m.Status.Conditions, conds, m.Generation, now)
	return st
}

// needsUpstream reports whether a mirror asks upstream for anything. One that is filled from bundles may stand where there is none.
func needsUpstream(l *wire.Mirror) bool {
	return l.Spec.Mode != string(v1alpha1.MirrorPinned) || !nothingToSync(l)
}

// live fills in what the registry says of the mirror.
func live(st *v1alpha1.CrateMirrorStatus, m *v1alpha1.CrateMirror, f *facts) {
	l := f.live
	st.MirrorName, st.IndexURL, st.CargoConfig = l.Name, l.IndexURL, cargoConfig(m.Spec.Upstream.Index, *l)
	st.Crates, st.IndexFiles, st.Bytes, st.Size = l.Status.Crates, l.Status.IndexFiles, l.Status.Bytes, size(l.Status.Bytes)
	st.Problems, st.Shadowed = nil, nil
	for _, p := range firsts(l.Status.Problems) {
		st.Problems = append(st.Problems, f.text(p))
	}
	for _, name := range firsts(l.Status.Shadowed) {
		st.Shadowed = append(st.Shadowed, outcome.Clip(f.text(name), maxName))
	}
	st.Sync = syncStatus(f)
	if !f.lockfilesRead {
		return
	}
	st.Lockfiles = nil
	for _, lock := range f.lockfiles {
		s := v1alpha1.LockfileStatus{ConfigMap: lock.configMap, Key: lock.key, Message: f.text(lock.wrong.message)}
		if h := lock.held; h != nil {
			s.SHA256, s.Versions, s.Skipped = outcome.Clip(h.SHA256, 64), int64(h.Versions), int64(h.SkippedTotal)
		}
		st.Lockfiles = append(st.Lockfiles, s)
	}
}

func syncStatus(f *facts) v1alpha1.MirrorSyncStatus {
	s := f.live.Status.Sync
	st := v1alpha1.MirrorSyncStatus{
		Running: s.Running, Total: s.Total, Done: s.Done, Failed: s.Failed, Fetched: s.Fetched, FetchedBytes: s.FetchedBytes, Message: f.text(s.Message),
		StartedAt: seconds(s.LastStarted), EndedAt: seconds(s.LastEnded), LastSuccessful: seconds(s.LastSuccessful), NextAt: seconds(s.Next),
	}
	if s.Total > 0 {
		st.Progress = fmt.Sprintf("%d/%d", s.Done, s.Total)
		if s.Counting {
			st.Progress += "+"
		}
	}
	if nothingToSync(f.live) {
		st.LastSuccessful = nil // else a mirror that reached nothing looked as if it had
	}
	for _, failure := range firsts(s.Failures) {
		st.Failures = append(st.Failures, v1alpha1.MirrorFailure{
			Crate: outcome.Clip(f.text(failure.Crate), maxName), Version: outcome.Clip(f.text(failure.Version), maxVersion),
			From: f.from(failure.From), Reason: f.text(failure.Reason),
		})
	}
	return st
}

// from says who wants a version as the CrateMirror calls them.
func (f *facts) from(text string) string {
	if text == "crates" {
		return "spec.crates"
	}
	for _, l := range f.lockfiles {
		if text == "lockfile "+l.nameAt() {
			return l.String()
		}
	}
	return f.text(text)
}

func firsts[T any](list []T) []T { return list[:min(len(list), maxListed)] }

// seconds gives a time as the API server stores it; nil: never.
func seconds(t *time.Time) *metav1.Time {
	if t == nil || t.IsZero() {
		return nil
	}
	s := metav1.NewTime(t.Truncate(time.Second))
	return &s
}

// size writes bytes for people, as Kubernetes writes quantities.
func size(n int64) string {
	value, unit := float64(n), ""
	for _, u := range []string{"Ki", "Mi", "Gi", "Ti", "Pi"} {
		if value < 1023.95 { // what would be written as 1024.0 is one of the next
			break
		}
		value, unit = value/1024, u
	}
	if unit == "" {
		return fmt.Sprintf("%d", n)
	}
	return fmt.Sprintf("%.1f%s", value, unit)
}
