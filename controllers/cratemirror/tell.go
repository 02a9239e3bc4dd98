package cratemirror

import (
	"fmt"
	"slices"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/crateyard/crateyard/api/v1alpha1"
)

// tell records as events what happened at the registry since before: syncs, upstream going and coming, and what somebody should look at.
func (s *scope) tell(before *v1alpha1.CrateMirror) {
	if s.facts.live == nil {
		return
	}
	s.tellSync(before.Status.Sync)
	s.tellUpstream(before)
	for _, p := range s.mirror.Status.Problems {
		if !slices.Contains(before.Status.Problems, p) {
			s.apply.Alert(s.mirror, "Problem", "%s", p)
		}
	}
	for _, name := range s.mirror.Status.Shadowed {
		if !slices.Contains(before.Status.Shadowed, name) {
			s.apply.Alert(s.mirror, "ShadowedCrate", "Crate %s is at Registry %s and at upstream: a build that asks for the one may get the other", name, s.mirror.Spec.RegistryRef.Name)
		}
	}
}

func (s *scope) tellSync(was v1alpha1.MirrorSyncStatus) {
	now := s.mirror.Status.Sync
	if nothingToSync(s.facts.live) {
		return
	}
	if s.isNews(was.StartedAt, now.StartedAt) {
		s.apply.Say(s.mirror, "SyncStarted", "A sync of mirror %s began at %s", s.mirror.MirrorName(), now.StartedAt.UTC().Format("15:04:05"))
	}
	if !s.isNews(was.EndedAt, now.EndedAt) || now.Running {
		return
	}
	got := ""
	if now.Fetched > 0 {
		got = fmt.Sprintf("; %d were fetched (%s)", now.Fetched, size(now.FetchedBytes))
	}
	if now.Failed > 0 || now.Message != "" {
		how := "ended with failures"
		if now.Failed == 0 {
			how = "did not end well"
		}
		s.apply.Alert(s.mirror, v1alpha1.ReasonSyncFailed, "A sync of mirror %s %s: %s%s", s.mirror.MirrorName(), how, s.facts.failed(), got)
		return
	}
	s.apply.Say(s.mirror, "SyncSucceeded", "A sync of mirror %s ended: all %d versions are cached%s", s.mirror.MirrorName(), now.Total, got)
}

// isNews reports whether something happened since it was last looked at, and not before this object was there.
func (s *scope) isNews(was, now *metav1.Time) bool {
	return now != nil && !now.Equal(was) && !now.Before(&s.mirror.CreationTimestamp)
}

// tellUpstream tells that upstream went or came back, unless Ready says so itself.
func (s *scope) tellUpstream(before *v1alpha1.CrateMirror) {
	was := meta.FindStatusCondition(before.Status.Conditions, v1alpha1.UpstreamReadyCondition)
	now := meta.FindStatusCondition(s.mirror.Status.Conditions, v1alpha1.UpstreamReadyCondition)
	ready := meta.FindStatusCondition(s.mirror.Status.Conditions, v1alpha1.ReadyCondition)
	if now == nil || ready == nil || ready.Reason == now.Reason {
		return
	}
	isAway := func(c *metav1.Condition) bool { return c != nil && c.Reason == v1alpha1.ReasonUpstreamUnreachable }
	switch {
	case isAway(now) && !isAway(was):
		s.apply.Alert(s.mirror, now.Reason, "%s", now.Message)
	case isAway(was) && now.Status == metav1.ConditionTrue:
		s.apply.Say(s.mirror, now.Reason, "Upstream answers again")
	}
}
