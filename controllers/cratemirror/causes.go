package cratemirror

import (
	"fmt"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/crateyard/crateyard/api/v1alpha1"
	"github.com/crateyard/crateyard/controllers/internal/conditions"
	"github.com/crateyard/crateyard/controllers/internal/outcome"
	"github.com/crateyard/crateyard/registry/wire"
)

// maxNamed is how many entries a condition names; the status lists more.
const maxNamed = 3

// kept gives a condition as it was when this reconcile did not come so far as to know.
func kept(typ string, was func(string) *metav1.Condition) metav1.Condition {
	if c := was(typ); c != nil {
		return *c
	}
	return conditions.Unknown(typ, v1alpha1.ReasonUnknown, "not looked at yet")
}

func policyValid(f *facts, was func(string) *metav1.Condition) metav1.Condition {
	const typ = v1alpha1.PolicyValidCondition
	switch wrong := f.refused.ofPolicy(); {
	case f.accepted:
		return advised(f)
	case len(wrong) > 0:
		return conditions.False(typ, v1alpha1.ReasonPolicyInvalid, wrong.String())
	}
	return kept(typ, was)
}

// advised is PolicyValid of a policy that the registry has: one that goes by advisories is in effect when they were read.
func advised(f *facts) metav1.Condition {
	const typ, inEffect = v1alpha1.PolicyValidCondition, "the policy is in effect"
	if f.live == nil || f.live.Status.Advisories == nil {
		return conditions.True(typ, v1alpha1.ReasonPolicyAccepted, inEffect)
	}
	a, means := f.live.Status.Advisories, "no version is warned of before they are"
	if f.live.Unadvised() {
		means = "nothing is given out before they are"
	}
	switch {
	case !a.Ready && a.Message == "":
		return conditions.Unknown(typ, v1alpha1.ReasonReadingAdvisories, f.text(fmt.Sprintf("the advisories of %s are being read: %s", a.Backend, means)))
	case !a.Ready:
		return conditions.False(typ, v1alpha1.ReasonAdvisoriesUnreadable, f.text(fmt.Sprintf("the advisories of %s cannot be read: %s; %s: check spec.policy.advisories.source, which is an address that the registry's pods reach, or a folder in them",
			a.Backend, a.Message, means)))
	case a.Message != "":
		return conditions.True(typ, v1alpha1.ReasonPolicyAccepted, f.text(fmt.Sprintf("%s, with the advisories of %s that were read before; now they cannot be: %s", inEffect, a.Backend, a.Message)))
	}
	return conditions.True(typ, v1alpha1.ReasonPolicyAccepted, inEffect)
}

func upstreamReady(f *facts, was func(string) *metav1.Condition) metav1.Condition {
	const typ = v1alpha1.UpstreamReadyCondition
	switch {
	case f.missing.reason != "":
		return conditions.False(typ, f.missing.reason, f.missing.message)
	case f.live == nil:
		return kept(typ, was)
	}
	up, never := f.live.Status.Upstream, f.live.Status.NeverReached()
	if up.Ready && never && f.live.Spec.Mode != string(v1alpha1.MirrorPinned) {
		return conditions.Unknown(typ, v1alpha1.ReasonAskingUpstream, f.text(up.Backend+" has not answered yet"))
	}
	if up.Ready && never { // whom nobody asks by itself
		return conditions.Unknown(typ, v1alpha1.ReasonUnknown, f.text(up.Backend+" was not asked yet"))
	}
	if up.Ready {
		return conditions.True(typ, v1alpha1.ReasonUpstreamAnswers, f.text(up.Backend+" answers, or was not asked since the server started"))
	}
	refuses := f.live.Spec.Upstream.Index != "" && strings.Contains(up.Message, "wants a token") // it was reached; crates.io itself takes no token
	if never && !refuses {
		up.Backend += " was never reached"
	}
	does := "what is cached is served"
	switch {
	case refuses && !givesNothing(f.live):
		does += "; check the token in the Secret of spec.upstream.tokenSecretRef"
	case refuses:
		does = "check the token in the Secret of spec.upstream.tokenSecretRef"
	case givesNothing(f.live):
		does = "check spec.upstream.index, and whether the registry's pods can reach it"
	}
	return conditions.False(typ, v1alpha1.ReasonUpstreamUnreachable, f.text(fmt.Sprintf("%s: %s; %s", up.Backend, up.Message, does)))
}

// givesNothing reports whether a mirror has nothing to give out without its upstream: archives without the index files that name them are none.
func givesNothing(m *wire.Mirror) bool { return m.Status.IndexFiles == 0 }

func lockfilesReady(f *facts, was func(string) *metav1.Condition) metav1.Condition {
	const typ = v1alpha1.LockfilesReadyCondition
	if !f.lockfilesRead {
		return kept(typ, was)
	}
	var wrong, skipped []string
	reason, versions := "", 0
	for _, l := range f.lockfiles {
		if l.wrong.reason != "" {
			wrong = append(wrong, l.wrong.message)
			if reason == "" {
				reason = l.wrong.reason
			}
		}
		if h := l.held; h != nil {
			versions += h.Versions
			if h.SkippedTotal > 0 {
				skipped = append(skipped, fmt.Sprintf("%s: %s", l, skippedOf(*h)))
			}
		}
	}
	all := outcome.Count(len(f.lockfiles), "lockfile names ", "lockfiles name ") + outcome.Count(versions, "version", "versions")
	switch {
	case len(wrong) > 0:
		return conditions.False(typ, reason, f.text(some(wrong, "lockfiles")+"; the others are in effect, and of these what they last held"))
	case len(skipped) > 0:
		return conditions.True(typ, v1alpha1.ReasonPackagesSkipped, f.text(fmt.Sprintf("%s; packages of other sources are left out: %s", all, some(skipped, "lockfiles"))))
	}
	return conditions.True(typ, v1alpha1.ReasonLockfilesRead, all)
}

// skippedOf names packages that no mirror can have.
func skippedOf(l wire.MirrorLockfile) string {
	var names []string
	for _, s := range l.Skipped {
		names = append(names, fmt.Sprintf("%s %s (%s)", s.Crate, s.Version, s.Reason))
	}
	return someOf(names, l.SkippedTotal, "packages")
}

// syncing reports whether a sync runs, or is due since the mirror changed.
func syncing(m *wire.Mirror) bool {
	return m.Status.Sync.Running || !m.Spec.Suspend && behind(m)
}

// behind reports whether the mirror changed since what was looked at by the last sync.
func behind(m *wire.Mirror) bool {
	return m.Status.Sync.LastEnded == nil || m.Status.Sync.Generation != m.Generation
}

func synced(m *v1alpha1.CrateMirror, f *facts, was func(string) *metav1.Condition) metav1.Condition {
	const typ = v1alpha1.SyncedCondition
	if f.live == nil {
		return kept(typ, was)
	}
	s := f.live.Status.Sync
	switch {
	case nothingToSync(f.live):
		return conditions.True(typ, v1alpha1.ReasonNothingToSync, "spec.crates and spec.lockfiles are empty: everything is cached when it is asked for")
	case syncing(f.live) && s.LastEnded != nil && s.Generation == f.live.Generation && was(typ) != nil:
		return kept(typ, was) // one by schedule or request: what is cached already stays so meanwhile
	case syncing(f.live) && s.Total == 0:
		return conditions.False(typ, v1alpha1.ReasonSyncing, "what is to be cached is being found out")
	case syncing(f.live):
		soFar := ""
		if s.Counting {
			soFar = "; more are still being found"
		}
		return conditions.False(typ, v1alpha1.ReasonSyncing, fmt.Sprintf("%d of %d versions are cached, %d failed%s", s.Done, s.Total, s.Failed, soFar))
	case behind(f.live): // and suspended
		return conditions.False(typ, v1alpha1.ReasonSyncSuspended, "spec or lockfiles changed since the last sync, and spec.suspend holds back the next; the annotation "+
			v1alpha1.SyncRequestedAtAnnotation+" has it run once")
	case s.Message != "" || s.Failed > 0:
		return conditions.False(typ, v1alpha1.ReasonSyncFailed, f.failed())
	}
	suspended := ""
	if f.live.Spec.Suspend {
		suspended = "; spec.suspend holds back further syncs"
	}
	return conditions.True(typ, v1alpha1.ReasonSynced, fmt.Sprintf("all %d versions are cached%s", s.Total, suspended))
}

// nothingToSync reports whether nothing is cached ahead.
func nothingToSync(m *wire.Mirror) bool { return len(m.Spec.Crates)+len(m.Lockfiles) == 0 }

// failed says what of the last sync failed.
func (f *facts) failed() string {
	s := f.live.Status.Sync
	var entries []string
	for _, failure := range s.Failures {
		entries = append(entries, fmt.Sprintf("%s %s of %s: %s", failure.Crate, failure.Version, f.from(failure.From), failure.Reason))
	}
	text := fmt.Sprintf("%d of %d versions are cached, %d failed", s.Done, s.Total, s.Failed)
	if s.Message != "" {
		text = s.Message + "; " + text
	}
	if len(entries) > 0 {
		text += ": " + someOf(entries, int(s.Failed), "failures")
	}
	return f.text(text)
}

// some joins the first entries, and says how many more there are.
func some(entries []string, what string) string { return someOf(entries, len(entries), what) }

func someOf(entries []string, total int, what string) string {
	n := min(len(entries), maxNamed)
	text := strings.Join(entries[:n], "; ")
	if total > n {
		text += fmt.Sprintf("; and %d more %s", total-n, what)
	}
	return text
}
