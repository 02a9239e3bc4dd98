package cratemirror

import (
	"errors"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/crateyard/crateyard/api/v1alpha1"
	"github.com/crateyard/crateyard/controllers/internal/conditions"
	"github.com/crateyard/crateyard/controllers/internal/outcome"
	"github.com/crateyard/crateyard/registry/wire"
)

var t0 = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// cached is a mirror whose last sync, of one crate, succeeded.
func cached(change func(*wire.Mirror)) *wire.Mirror {
	m := &wire.Mirror{Name: "deps", IndexURL: "sparse+https://a.example/mirrors/deps/", Generation: 2, Spec: wire.MirrorSpec{Crates: []wire.MirrorCrate{{Name: "one"}}}}
	m.Status = wire.MirrorStatus{Upstream: wire.Backend{Backend: "https://up.example/", Ready: true}, IndexFiles: 1, Crates: 1, Bytes: 100,
		Sync: wire.MirrorSync{Generation: 2, LastStarted: &t0, LastEnded: &t0, LastSuccessful: &t0, Total: 1, Done: 1}}
	if change != nil {
		change(m)
	}
	return m
}

// withAdvisories is a mirror whose policy goes by advisories.
func withAdvisories(action string, read bool, why string) *wire.Mirror {
	return cached(func(m *wire.Mirror) {
		m.Spec.Policy.Advisories = &wire.MirrorAdvisories{Source: "/srv/db", Action: action}
		m.Status.Advisories = &wire.Backend{Backend: "/srv/db", Ready: read, Message: why}
	})
}

func TestStatus(t *testing.T) {
	const (
		yes = metav1.ConditionTrue
		no  = metav1.ConditionFalse
	)
	for _, tt := range []struct {
		name   string
		spec   func(*v1alpha1.CrateMirrorSpec)
		facts  facts
		err    error
		typ    string
		status metav1.ConditionStatus
		reason string
		says   string
	}{
		{name: "well", facts: facts{live: cached(nil)}, typ: "Ready", status: yes, reason: "Succeeded", says: "serves at sparse+https://a.example/mirrors/deps/"},
		{name: "synced", facts: facts{live: cached(nil)}, typ: "Synced", status: yes, reason: "Synced", says: "all 1 versions"},
		{name: "nothing asked", typ: "Synced", status: metav1.ConditionUnknown, reason: "Unknown"},
		{name: "nothing listed", facts: facts{live: cached(func(m *wire.Mirror) { m.Spec.Crates = nil })}, typ: "Synced", status: yes, reason: "NothingToSync"},
		{name: "about to sync", facts: facts{live: cached(func(m *wire.Mirror) { m.Generation = 3 })}, typ: "Synced", status: no, reason: "Syncing"},
		{name: "a first sync", facts: facts{live: cached(func(m *wire.Mirror) { m.Status.Sync = wire.MirrorSync{Running: true, Total: 9, Done: 4, Failed: 1} })},
			typ: "Synced", status: no, reason: "Syncing", says: "4 of 9 versions are cached, 1 failed"},
		{name: "a first sync that counts", facts: facts{live: cached(func(m *wire.Mirror) {
			m.Status.Sync = wire.MirrorSync{Running: true, Counting: true, Done: 4, Total: 9}
		})}, typ: "Synced", status: no, reason: "Syncing", says: "4 of 9 versions are cached, 0 failed; more are still being found"},
		{name: "a first sync on demand", facts: facts{live: cached(func(m *wire.Mirror) { m.Status.Sync = wire.MirrorSync{Running: true} })}, typ: "Ready", status: yes, reason: "Succeeded"},
		{name: "a first sync of a pinned one", facts: facts{live: cached(func(m *wire.Mirror) { m.Spec.Mode = "Pinned"; m.Status.Sync = wire.MirrorSync{Running: true} })},
			typ: "Ready", status: no, reason: "Syncing"},
		{name: "another sync of a pinned one", facts: facts{live: cached(func(m *wire.Mirror) { m.Spec.Mode = "Pinned"; m.Generation = 3 })}, typ: "Ready", status: yes, reason: "Succeeded"},
		{name: "failures", facts: facts{live: cached(func(m *wire.Mirror) {
			m.Status.Sync.Failed = 9
			for _, c := range []string{"a", "b", "c", "d"} {
				m.Status.Sync.Failures = append(m.Status.Sync.Failures, wire.MirrorFailure{Crate: c, Version: "1", From: "crates", Reason: "no"})
			}
		})}, typ: "Synced", status: no, reason: "SyncFailed", says: "9 failed: a 1 of spec.crates: no; b 1 of spec.crates: no; c 1 of spec.crates: no; and 6 more failures"},
		{name: "failures do not hold up the rest", facts: facts{live: cached(func(m *wire.Mirror) { m.Status.Sync.Failed = 9 })}, typ: "Ready", status: yes, reason: "Succeeded"},
		{name: "a sync that failed whole", facts: facts{live: cached(func(m *wire.Mirror) { m.Status.Sync.Message = "upstream was of no help" })}, typ: "Synced", status: no, reason: "SyncFailed", says: "upstream was of no help; "},
		{name: "upstream away", facts: facts{live: cached(func(m *wire.Mirror) {
			m.Status.Upstream = wire.Backend{Backend: "https://up.example/", Message: "refused secret-token"}
		}), secret: "secret-token"},
			typ: "UpstreamReady", status: no, reason: "UpstreamUnreachable", says: "https://up.example/: refused …; what is cached is served"},
		{name: "upstream away, something cached", facts: facts{live: cached(func(m *wire.Mirror) { m.Status.Upstream.Ready = false })}, typ: "Ready", status: yes, reason: "Succeeded"},
		{name: "upstream away, nothing cached", facts: facts{live: cached(func(m *wire.Mirror) { m.Status.Upstream.Ready, m.Status.IndexFiles, m.Status.Crates = false, 0, 0 })},
			typ: "Ready", status: no, reason: "UpstreamUnreachable", says: "check spec.upstream.index"},
		{name: "filled from bundles, no upstream", facts: facts{live: cached(func(m *wire.Mirror) {
			m.Spec.Mode, m.Spec.Crates, m.Status.Upstream.Ready, m.Status.IndexFiles, m.Status.Crates = "Pinned", nil, false, 0, 0
		})}, typ: "Ready", status: yes, reason: "Succeeded"},
		{name: "upstream never reached", facts: facts{live: cached(func(m *wire.Mirror) {
			m.Status.Upstream.Ready, m.Status.Upstream.Message, m.Status.IndexFiles, m.Status.Crates = false, "connection refused", 0, 0
		})}, typ: "UpstreamReady", status: no, reason: "UpstreamUnreachable", says: "https://up.example/ was never reached: connection refused; check"},
		{name: "upstream that wants another token", facts: facts{live: cached(func(m *wire.Mirror) {
			m.Spec.Upstream.Index = "sparse+https://up.example/"
			m.Status.Upstream.Ready, m.Status.Upstream.Message, m.Status.IndexFiles, m.Status.Crates = false, "it refuses the mirror with 401: it wants a token, or another one", 0, 0
		})}, typ: "UpstreamReady", status: no, reason: "UpstreamUnreachable",
			says: "https://up.example/: it refuses the mirror with 401: it wants a token, or another one; check the token in the Secret of spec.upstream.tokenSecretRef"},
		{name: "upstream not heard of yet", facts: facts{live: cached(func(m *wire.Mirror) { m.Status.IndexFiles, m.Status.Crates = 0, 0 })},
			typ: "UpstreamReady", status: metav1.ConditionUnknown, reason: "AskingUpstream", says: "https://up.example/ has not answered yet"},
		{name: "upstream not heard of yet, ready", facts: facts{live: cached(func(m *wire.Mirror) { m.Status.IndexFiles, m.Status.Crates = 0, 0 })}, typ: "Ready", status: no, reason: "AskingUpstream"},
		{name: "upstream answered, nothing cached", facts: facts{live: cached(func(m *wire.Mirror) { m.Status.IndexFiles, m.Status.Crates, m.Status.UpstreamAnswered = 0, 0, &t0 })},
			typ: "Ready", status: yes, reason: "Succeeded"},
		{name: "upstream not asked", facts: facts{live: cached(func(m *wire.Mirror) { m.Spec.Mode, m.Status.IndexFiles, m.Status.Crates = "Pinned", 0, 0 })},
			typ: "UpstreamReady", status: metav1.ConditionUnknown, reason: "Unknown", says: "was not asked yet"},
		{name: "upstream not asked, ready", facts: facts{live: cached(func(m *wire.Mirror) { m.Spec.Mode, m.Status.IndexFiles, m.Status.Crates = "Pinned", 0, 0 })},
			typ: "Ready", status: yes, reason: "Succeeded"},
		{name: "another upstream away, archives of the old one", facts: facts{live: cached(func(m *wire.Mirror) { m.Status.Upstream.Ready, m.Status.IndexFiles = false, 0 })},
			typ: "Ready", status: no, reason: "UpstreamUnreachable"},
		{name: "upstream not asked since a restart", facts: facts{live: cached(nil)}, typ: "UpstreamReady", status: yes, reason: "UpstreamAnswers"},
		{name: "suspended", facts: facts{live: cached(func(m *wire.Mirror) { m.Spec.Suspend = true })}, typ: "Synced", status: yes, reason: "Synced", says: "suspend holds back further syncs"},
		{name: "suspended since a change", facts: facts{live: cached(func(m *wire.Mirror) { m.Spec.Suspend, m.Generation = true, 3 })}, typ: "Synced", status: no, reason: "Suspended", says: "sync-requested-at"},
		{name: "suspended, a sync that was asked for", facts: facts{live: cached(func(m *wire.Mirror) { m.Spec.Suspend, m.Generation, m.Status.Sync.Running = true, 3, true })},
			typ: "Synced", status: no, reason: "Syncing"},
		{name: "a pinned one, suspended from the start", facts: facts{live: cached(func(m *wire.Mirror) {
			m.Spec.Mode, m.Spec.Suspend, m.Status.Sync = "Pinned", true, wire.MirrorSync{}
		})}, typ: "Ready", status: no, reason: "Suspended"},
		{name: "a lockfile away", spec: func(s *v1alpha1.CrateMirrorSpec) { s.Lockfiles = make([]v1alpha1.LockfileSource, 1) },
			facts: facts{live: cached(nil), lockfilesRead: true, lockfiles: []lockfile{{configMap: "a", key: "b", wrong: finding{"ConfigMapMissing", "there is no ConfigMap a"}}}},
			typ:   "Ready", status: no, reason: "ConfigMapMissing", says: "there is no ConfigMap a"},
		{name: "policy", facts: facts{live: cached(nil), refused: refusal{{"spec.policy.allow[0]: no", true}, {"spec.mode: no", false}}}, err: outcome.Stall("InvalidSpec", "no"),
			typ: "PolicyValid", status: no, reason: "PolicyInvalid", says: "spec.policy.allow[0]: no"},
		{name: "advisories unreadable", facts: facts{accepted: true, live: withAdvisories("", false, "there is no such folder")}, typ: "Ready", status: no, reason: "AdvisoriesUnreadable",
			says: "/srv/db cannot be read: there is no such folder; nothing is given out before they are: check spec.policy.advisories.source"},
		{name: "advisories unreadable, of the policy", facts: facts{accepted: true, live: withAdvisories("", false, "no")}, typ: "PolicyValid", status: no, reason: "AdvisoriesUnreadable"},
		{name: "advisories not read yet", facts: facts{accepted: true, live: withAdvisories("", false, "")}, typ: "Ready", status: no, reason: "ReadingAdvisories"},
		{name: "advisories read", facts: facts{accepted: true, live: withAdvisories("", true, "")}, typ: "PolicyValid", status: yes, reason: "PolicyAccepted"},
		{name: "advisories read before", facts: facts{accepted: true, live: withAdvisories("", true, "no route")}, typ: "PolicyValid", status: yes, reason: "PolicyAccepted", says: "no route"},
		{name: "advisories that only warn", facts: facts{accepted: true, live: withAdvisories("Warn", false, "no")}, typ: "Ready", status: yes, reason: "Succeeded"},
		{name: "advisories that only warn, of the policy", facts: facts{accepted: true, live: withAdvisories("Warn", false, "no")}, typ: "PolicyValid", status: no, reason: "AdvisoriesUnreadable", says: "no version is warned of"},
		{name: "a Secret away", facts: facts{live: cached(nil), missing: finding{"SecretMissing", "there is no Secret a"}}, err: outcome.WaitFor(0, "SecretMissing", "there is no Secret a"),
			typ: "UpstreamReady", status: no, reason: "SecretMissing"},
		{name: "failed", facts: facts{live: cached(nil)}, err: errors.New("boom"), typ: "Reconciling", status: yes, reason: "ProgressingWithRetry"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m := &v1alpha1.CrateMirror{ObjectMeta: metav1.ObjectMeta{Name: "deps", Generation: 4}, Spec: v1alpha1.CrateMirrorSpec{RegistryRef: v1alpha1.LocalReference{Name: "acme"}}}
			if tt.spec != nil {
				tt.spec(&m.Spec)
			}
			m.Status = status(m, tt.facts, tt.err, t0)
			c := meta.FindStatusCondition(m.Status.Conditions, tt.typ)
			if c == nil || c.Status != tt.status || c.Reason != tt.reason || !strings.Contains(c.Message, tt.says) {
				t.Errorf("%s = %+v, want %s %s saying %q", tt.typ, c, tt.status, tt.reason, tt.says)
			}
			for _, broken := range conditions.Check(m, m.Status.ObservedGeneration) {
				t.Error(broken)
			}
		})
	}
}

func TestProgress(t *testing.T) {
	if s := syncStatus(&facts{live: cached(func(m *wire.Mirror) { m.Spec.Crates = nil })}); s.LastSuccessful != nil {
		t.Errorf("with nothing to sync, %+v", s)
	}
	for want, s := range map[string]wire.MirrorSync{"": {}, "3/9": {Total: 9, Done: 3, Failed: 1}, "3/9+": {Total: 9, Done: 3, Counting: true, Running: true}} {
		if got := syncStatus(&facts{live: cached(func(m *wire.Mirror) { m.Status.Sync = s })}).Progress; got != want {
			t.Errorf("%+v: %q, want %q", s, got, want)
		}
	}
}

// A sync by schedule does not make what is cached look as if it were not.
func TestSyncedStaysWhileItIsLookedAtAgain(t *testing.T) {
	m := &v1alpha1.CrateMirror{ObjectMeta: metav1.ObjectMeta{Name: "deps", Generation: 1}}
	m.Status = status(m, facts{live: cached(nil)}, nil, t0)
	m.Status = status(m, facts{live: cached(func(m *wire.Mirror) { m.Status.Sync.Running, m.Status.Sync.Total, m.Status.Sync.Done = true, 7, 0 })}, nil, t0)
	if c := meta.FindStatusCondition(m.Status.Conditions, v1alpha1.SyncedCondition); c.Status != metav1.ConditionTrue || m.Status.Sync.Progress != "0/7" || !m.Status.Sync.Running {
		t.Errorf("%+v, %+v", c, m.Status.Sync)
	}
}

func TestStatusKeepsToTheSchema(t *testing.T) {
	long := strings.Repeat("ä", 3000)
	m := &v1alpha1.CrateMirror{ObjectMeta: metav1.ObjectMeta{Name: "deps", Annotations: map[string]string{v1alpha1.RequestedAtAnnotation: long, v1alpha1.SyncRequestedAtAnnotation: long}}}
	live := cached(func(m *wire.Mirror) {
		for range 30 {
			m.Status.Problems, m.Status.Shadowed = append(m.Status.Problems, long), append(m.Status.Shadowed, long)
			m.Status.Sync.Failures = append(m.Status.Sync.Failures, wire.MirrorFailure{Crate: long, Version: long, From: long, Reason: long})
		}
		m.Status.Sync.Message = long
	})
	st := status(m, facts{live: live, syncAsked: true}, nil, t0)
	within := func(what, text string, most int) {
		if n := len([]rune(text)); n > most {
			t.Errorf("%s has %d characters, the schema takes %d", what, n, most)
		}
	}
	within("lastHandledReconcileAt", st.LastHandledReconcileAt, 256)
	within("lastHandledSyncAt", st.LastHandledSyncAt, 256)
	within("message", st.Sync.Message, 1100)
	if len(st.Problems) != 20 || len(st.Shadowed) != 20 || len(st.Sync.Failures) != 20 {
		t.Errorf("%d problems, %d shadowed, %d failures", len(st.Problems), len(st.Shadowed), len(st.Sync.Failures))
	}
	within("problem", st.Problems[0], 1100)
	within("shadowed", st.Shadowed[0], 128)
	f := st.Sync.Failures[0]
	within("crate", f.Crate, 128)
	within("version", f.Version, 512)
	within("from", f.From, 1100)
	within("reason", f.Reason, 1100)
}
