package controllers_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"

	"github.com/crateyard/crateyard/api/v1alpha1"
	"github.com/crateyard/crateyard/registry/client"
	"github.com/crateyard/crateyard/registry/wire"
)

func (h *harness) makeMirror(name string, spec v1alpha1.CrateMirrorSpec) {
	h.Helper()
	if spec.RegistryRef.Name == "" {
		spec.RegistryRef.Name = "acme"
	}
	h.must(h.client.Create(h.Context(), &v1alpha1.CrateMirror{ObjectMeta: metav1.ObjectMeta{Namespace: h.ns, Name: name}, Spec: spec}))
}

func (h *harness) changeMirror(name string, change func(*v1alpha1.CrateMirror)) {
	h.Helper()
	m := get(h, name, &v1alpha1.CrateMirror{})
	change(m)
	h.must(h.client.Update(h.Context(), m))
}

// putConfigMap makes a ConfigMap with one key, or makes it hold something else.
func (h *harness) putConfigMap(name, key, text string) {
	h.Helper()
	cm := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: h.ns, Name: name}, Data: map[string]string{key: text}}
	err := h.client.Create(h.Context(), cm)
	if apierrors.IsAlreadyExists(err) {
		err = h.client.Update(h.Context(), cm)
	}
	h.must(err)
}

func lockOf(name string) v1alpha1.LockfileSource {
	return v1alpha1.LockfileSource{ConfigMapKeyRef: v1alpha1.ConfigMapKeyReference{Name: name}}
}

// ended reconciles a mirror until a sync of what it is now has ended.
func (h *harness) ended(name string) *v1alpha1.CrateMirror {
	h.Helper()
	var m *v1alpha1.CrateMirror
	h.eventually("the end of a sync of mirror "+name, func() bool {
		m, _ = h.mirror(name)
		at, err := h.admin("acme").Mirror(h.Context(), m.MirrorName())
		h.must(err)
		return !at.Status.Sync.Running && at.Status.Sync.LastEnded != nil && at.Status.Sync.Generation == at.Generation
	})
	m, _ = h.mirror(name)
	return m
}

// at gives a mirror as its registry has it.
func (h *harness) at(name string) wire.Mirror {
	h.Helper()
	m, err := h.admin("acme").Mirror(h.Context(), name)
	h.must(err)
	return m
}

func TestMirrorCachesAhead(t *testing.T) {
	h := newHarness(t)
	h.ready("acme")
	up := h.startUpstream("Enabled", "one@1.0.0", "one@1.1.0", "one@2.0.0", "two@0.1.0")
	h.putConfigMap("app", "Cargo.lock", up.lock("two@0.1.0"))
	h.makeMirror("deps", v1alpha1.CrateMirrorSpec{
		Upstream: v1alpha1.MirrorUpstreamSpec{Index: up.index}, Mode: v1alpha1.MirrorPinned,
		Crates: []v1alpha1.MirroredCrate{{Name: "one", Versions: "^1"}}, Lockfiles: []v1alpha1.LockfileSource{lockOf("app")},
		Schedule: "0 3 * * *",
	})
	m, result := h.mirror("deps")
	h.want(m, v1alpha1.ReadyCondition, metav1.ConditionFalse, v1alpha1.ReasonSyncing)
	h.want(m, v1alpha1.SyncedCondition, metav1.ConditionFalse, v1alpha1.ReasonSyncing)
	h.want(m, v1alpha1.PolicyValidCondition, metav1.ConditionTrue, v1alpha1.ReasonPolicyAccepted)
	h.wantContains(h.want(m, v1alpha1.LockfilesReadyCondition, metav1.ConditionTrue, v1alpha1.ReasonPackagesSkipped),
		"1 lockfile names 1 version; packages of other sources are left out: ConfigMap app, key Cargo.lock: fork 0.2.0")
	if result.RequeueAfter <= 0 || result.RequeueAfter > 15*time.Second {
		t.Errorf("a mirror that syncs is looked at again in %v", result.RequeueAfter)
	}

	m = h.ended("deps")
	h.want(m, v1alpha1.ReadyCondition, metav1.ConditionTrue, v1alpha1.ReasonSucceeded)
	h.want(m, v1alpha1.UpstreamReadyCondition, metav1.ConditionTrue, v1alpha1.ReasonUpstreamAnswers)
	h.wantContains(h.want(m, v1alpha1.SyncedCondition, metav1.ConditionTrue, v1alpha1.ReasonSynced), "all 2 versions are cached")
	st := m.Status
	if st.Sync.Progress != "2/2" || st.Crates != 2 || st.Bytes <= 0 || st.Size == "" || st.Sync.EndedAt == nil || st.Sync.LastSuccessful == nil || st.Sync.NextAt == nil {
		t.Errorf("status = %+v", st)
	}
	if l := st.Lockfiles; len(l) != 1 || l[0].ConfigMap != "app" || l[0].Key != "Cargo.lock" || l[0].Versions != 1 || l[0].Skipped != 1 || len(l[0].SHA256) != 64 || l[0].Message != "" {
		t.Errorf("lockfiles = %+v", l)
	}
	if !strings.HasSuffix(st.IndexURL, "/mirrors/deps/") || !strings.Contains(st.CargoConfig, "registry = \""+up.index+"\"\nreplace-with = \"deps\"") || !strings.Contains(st.CargoConfig, "[registries.deps]\nindex = \""+st.IndexURL+"\"") {
		t.Errorf("index %s, config:\n%s", st.IndexURL, st.CargoConfig)
	}
	if !h.served(up, "one@1.1.0") || !h.served(up, "two@0.1.0") || h.served(up, "one@2.0.0") {
		t.Error("a pinned mirror must serve what is listed, and nothing else")
	}
	said := h.said()
	for _, part := range []string{"Created mirror deps of " + strings.TrimPrefix(up.index, "sparse+"), "Added the lockfile of ConfigMap app, key Cargo.lock, which names 1 versions",
		"SyncStarted A sync of mirror deps began at", "SyncSucceeded A sync of mirror deps ended: all 2 versions are cached; 2 were fetched ("} {
		if !strings.Contains(said, part) {
			t.Errorf("no event says %q; there are:\n%s", part, said)
		}
	}

	if got, want := h.columns("cratemirrors", 9), "[deps True acme Pinned True 2/2 0 "+st.Size; !strings.HasPrefix(got, want) || strings.Contains(got, "<unknown>") {
		t.Errorf("kubectl would show %s, want %s …", got, want)
	}
	up.down.Store(true) // what is cached needs no upstream
	if !h.served(up, "one@1.1.0") || !h.served(up, "two@0.1.0") {
		t.Error("what is cached is not served without upstream")
	}
}

func TestMirrorThatIsAsItShouldBe(t *testing.T) {
	h := newHarness(t)
	h.ready("acme")
	up := h.startUpstream("Enabled", "one@1.0.0")
	h.putConfigMap("app", "Cargo.lock", up.lock("one@1.0.0"))
	h.makeMirror("deps", v1alpha1.CrateMirrorSpec{Upstream: v1alpha1.MirrorUpstreamSpec{Index: up.index}, Lockfiles: []v1alpha1.LockfileSource{lockOf("app")}})
	h.ended("deps")
	h.mirror("deps")

	var changes atomic.Int64
	h.front(func(r *http.Request) (int, string) {
		if r.Method != http.MethodGet {
			changes.Add(1)
		}
		return 0, ""
	})
	h.said()
	before, generation := h.writes.Load(), h.at("deps").Generation
	for range 3 {
		if _, result := h.mirror("deps"); result.RequeueAfter < 50*time.Second {
			t.Errorf("looked at again in %v", result.RequeueAfter)
		}
	}
	if n := h.writes.Load() - before; n != 0 || changes.Load() != 0 || h.at("deps").Generation != generation {
		t.Errorf("a mirror that is as it should be was written %d times here and %d times there", n, changes.Load())
	}
	if said := h.said(); said != "" {
		t.Errorf("and told of:\n%s", said)
	}

	// Somebody changes it at the registry.
	_, err := h.admin("acme").PutMirror(t.Context(), "deps", wire.MirrorChange{Spec: wire.MirrorSpec{Upstream: wire.MirrorUpstream{Index: up.index}, Schedule: "0 4 * * *"}})
	h.must(err)
	h.mirror("deps")
	if got := h.at("deps").Spec.Schedule; got != "" {
		t.Errorf("schedule = %q", got)
	}
	h.wantSaid("Updated mirror deps: schedule")
}

// columns gives the first n cells of what `kubectl get` shows of the first object of a resource.
func (h *harness) columns(resource string, n int) string {
	h.Helper()
	c := rest.CopyConfig(config)
	c.APIPath, c.GroupVersion, c.NegotiatedSerializer = "/apis", &v1alpha1.GroupVersion, scheme.Codecs.WithoutConversion()
	api, err := rest.RESTClientFor(c)
	h.must(err)
	text, err := api.Get().Namespace(h.ns).Resource(resource).SetHeader("Accept", "application/json;as=Table;v=v1;g=meta.k8s.io").DoRaw(h.Context())
	h.must(err)
	var table metav1.Table
	h.must(json.Unmarshal(text, &table))
	return fmt.Sprint(table.Rows[0].Cells[:n])
}

func TestMirrorLockfiles(t *testing.T) {
	h := newHarness(t)
	h.ready("acme")
	up := h.startUpstream("Enabled", "one@1.0.0", "two@1.0.0", "three@1.0.0")
	h.putConfigMap("app", "Cargo.lock", up.lock("one@1.0.0"))
	h.putConfigMap("tool.v2", "lock", up.lock("two@1.0.0"))
	h.makeMirror("deps", v1alpha1.CrateMirrorSpec{Upstream: v1alpha1.MirrorUpstreamSpec{Index: up.index}, Lockfiles: []v1alpha1.LockfileSource{
		lockOf("app"), {ConfigMapKeyRef: v1alpha1.ConfigMapKeyReference{Name: "tool.v2", Key: "lock"}},
	}})
	h.mirror("deps")
	_, err := h.admin("acme").PutLockfile(t.Context(), "deps", "by-hand", strings.NewReader(up.lock("three@1.0.0")))
	h.must(err)
	names := func() (list []string) {
		for _, l := range h.at("deps").Lockfiles {
			list = append(list, fmt.Sprintf("%s:%d", l.Name, l.Versions))
		}
		slices.Sort(list)
		return list
	}
	same := func(want ...string) {
		h.Helper()
		if got := names(); !slices.Equal(got, want) {
			h.Errorf("lockfiles at the registry: %v, want %v", got, want)
		}
	}
	same("by-hand:1", "kubernetes_app_Cargo.lock:1", "kubernetes_tool.v2_lock:1")

	h.putConfigMap("app", "Cargo.lock", up.lock("one@1.0.0", "three@1.0.0"))
	m, _ := h.mirror("deps")
	h.want(m, v1alpha1.ReadyCondition, metav1.ConditionTrue, v1alpha1.ReasonSucceeded)
	same("by-hand:1", "kubernetes_app_Cargo.lock:2", "kubernetes_tool.v2_lock:1")
	h.wantSaid("Updated the lockfile of ConfigMap app, key Cargo.lock, which names 2 versions now")

	// One is broken, one gone: neither lets go of what it held.
	h.putConfigMap("app", "Cargo.lock", "version = 4\n[[package]]\nname = one\n")
	h.must(h.client.Delete(t.Context(), get(h, "tool.v2", &corev1.ConfigMap{})))
	m, _ = h.mirror("deps")
	c := h.want(m, v1alpha1.LockfilesReadyCondition, metav1.ConditionFalse, v1alpha1.ReasonLockfileInvalid)
	h.wantContains(c, "ConfigMap app, key Cargo.lock: Cargo.lock, line 3")
	h.wantContains(c, "there is no ConfigMap tool.v2; make it, or name another in spec.lockfiles")
	h.want(m, v1alpha1.ReadyCondition, metav1.ConditionFalse, v1alpha1.ReasonLockfileInvalid)
	same("by-hand:1", "kubernetes_app_Cargo.lock:2", "kubernetes_tool.v2_lock:1")
	if l := m.Status.Lockfiles; len(l) != 2 || l[0].Versions != 2 || !strings.Contains(l[0].Message, "line 3") || l[1].Versions != 1 || !strings.Contains(l[1].Message, "no ConfigMap") {
		t.Errorf("status = %+v", l)
	}

	h.putConfigMap("app", "other", "")
	m, _ = h.mirror("deps")
	h.wantContains(h.want(m, v1alpha1.LockfilesReadyCondition, metav1.ConditionFalse, v1alpha1.ReasonConfigMapKeyMissing), "ConfigMap app has nothing under the key Cargo.lock")

	h.putConfigMap("app", "Cargo.lock", up.lock("two@1.0.0"))
	h.changeMirror("deps", func(m *v1alpha1.CrateMirror) { m.Spec.Lockfiles = m.Spec.Lockfiles[:1] })
	m, _ = h.mirror("deps")
	h.want(m, v1alpha1.LockfilesReadyCondition, metav1.ConditionTrue, v1alpha1.ReasonPackagesSkipped)
	same("by-hand:1", "kubernetes_app_Cargo.lock:1")
	h.wantSaid("Removed lockfile kubernetes_tool.v2_lock")
	h.changeMirror("deps", func(m *v1alpha1.CrateMirror) { m.Spec.Lockfiles = nil })
	m, _ = h.mirror("deps")
	same("by-hand:1")
	if c := meta.FindStatusCondition(m.Status.Conditions, v1alpha1.LockfilesReadyCondition); c != nil || len(m.Status.Lockfiles) != 0 {
		t.Errorf("without lockfiles there is %+v, %+v", c, m.Status.Lockfiles)
	}
}

// A lockfile that the registry takes, and whose versions upstream does not have.
func TestMirrorOfWhatIsNotThere(t *testing.T) {
	h := newHarness(t)
	h.ready("acme")
	up := h.startUpstream("Enabled", "one@1.0.0")
	h.putConfigMap("app", "Cargo.lock", up.lock("one@1.0.0", "one@1.0.9"))
	h.makeMirror("deps", v1alpha1.CrateMirrorSpec{
		Upstream:  v1alpha1.MirrorUpstreamSpec{Index: up.index},
		Crates:    []v1alpha1.MirroredCrate{{Name: "one", Versions: "^99"}, {Name: "nobody"}},
		Lockfiles: []v1alpha1.LockfileSource{lockOf("app")},
	})
	m := h.ended("deps")
	h.want(m, v1alpha1.ReadyCondition, metav1.ConditionTrue, v1alpha1.ReasonSucceeded)
	c := h.want(m, v1alpha1.SyncedCondition, metav1.ConditionFalse, v1alpha1.ReasonSyncFailed)
	for _, part := range []string{"one ^99 of spec.crates: ", "nobody * of spec.crates: ", "one 1.0.9 of ConfigMap app, key Cargo.lock: "} {
		h.wantContains(c, part)
	}
	if s := m.Status.Sync; s.Failed != 3 || s.Done != 1 || len(s.Failures) != 3 || s.LastSuccessful != nil {
		t.Errorf("sync = %+v", s)
	}
	h.wantSaid("Warning SyncFailed A sync of mirror deps ended with failures: ")
	if !h.served(up, "one@1.0.0") {
		t.Error("what is there is not cached")
	}
}

func TestMirrorWithoutUpstream(t *testing.T) {
	h := newHarness(t)
	h.ready("acme")
	up := h.startUpstream("Enabled", "one@1.0.0")
	up.down.Store(true)
	h.makeMirror("deps", v1alpha1.CrateMirrorSpec{Upstream: v1alpha1.MirrorUpstreamSpec{Index: up.index}, Crates: []v1alpha1.MirroredCrate{{Name: "one"}}})
	m, _ := h.mirror("deps") // not for a moment does it look as if it worked
	h.want(m, v1alpha1.ReadyCondition, metav1.ConditionFalse, v1alpha1.ReasonUpstreamUnreachable)
	m = h.ended("deps")
	h.wantContains(h.want(m, v1alpha1.ReadyCondition, metav1.ConditionFalse, v1alpha1.ReasonUpstreamUnreachable), "check spec.upstream.index")
	h.wantContains(h.want(m, v1alpha1.UpstreamReadyCondition, metav1.ConditionFalse, v1alpha1.ReasonUpstreamUnreachable), strings.TrimPrefix(up.index, "sparse+"))
	h.want(m, v1alpha1.SyncedCondition, metav1.ConditionFalse, v1alpha1.ReasonSyncFailed)
	h.wantSaid("Warning UpstreamUnreachable")

	up.down.Store(false)
	h.changeMirror("deps", func(m *v1alpha1.CrateMirror) {
		m.Annotations = map[string]string{v1alpha1.SyncRequestedAtAnnotation: "now"}
	})
	m, _ = h.mirror("deps")
	if m.Status.LastHandledSyncAt != "now" {
		t.Errorf("lastHandledSyncAt = %q", m.Status.LastHandledSyncAt)
	}
	h.wantSaid("RequestedSync Asked mirror deps for a sync")
	h.eventually("a sync that was asked for", func() bool {
		m, _ = h.mirror("deps")
		return m.Status.Sync.LastSuccessful != nil
	})
	h.want(m, v1alpha1.ReadyCondition, metav1.ConditionTrue, v1alpha1.ReasonSucceeded)
	h.want(m, v1alpha1.SyncedCondition, metav1.ConditionTrue, v1alpha1.ReasonSynced)

	// It goes again: what is cached is served, so the mirror is ready.
	up.down.Store(true)
	h.said()
	h.changeMirror("deps", func(m *v1alpha1.CrateMirror) {
		m.Spec.Crates = append(m.Spec.Crates, v1alpha1.MirroredCrate{Name: "two"})
	})
	m = h.ended("deps")
	h.want(m, v1alpha1.ReadyCondition, metav1.ConditionTrue, v1alpha1.ReasonSucceeded)
	h.wantContains(h.want(m, v1alpha1.UpstreamReadyCondition, metav1.ConditionFalse, v1alpha1.ReasonUpstreamUnreachable), "what is cached is served")
	h.wantSaid("Warning UpstreamUnreachable")
	if !h.served(up, "one@1.0.0") {
		t.Error("what is cached is not served without upstream")
	}
}

func TestMirrorOfAPrivateUpstream(t *testing.T) {
	h := newHarness(t)
	h.ready("acme")
	up := h.startUpstream("Disabled", "one@1.0.0")
	h.makeMirror("deps", v1alpha1.CrateMirrorSpec{
		Upstream: v1alpha1.MirrorUpstreamSpec{Index: up.index, TokenSecretRef: &v1alpha1.SecretKeyReference{Name: "upstream"}},
		Crates:   []v1alpha1.MirroredCrate{{Name: "one"}},
	})
	m, _ := h.mirror("deps")
	h.wantContains(h.want(m, v1alpha1.ReadyCondition, metav1.ConditionFalse, v1alpha1.ReasonSecretMissing), "there is no Secret upstream; make it, or name another in spec.upstream.tokenSecretRef")
	h.want(m, v1alpha1.UpstreamReadyCondition, metav1.ConditionFalse, v1alpha1.ReasonSecretMissing)
	if _, err := h.admin("acme").Mirror(t.Context(), "deps"); !client.IsNotFound(err) {
		t.Errorf("a mirror was made without its token: %v", err)
	}

	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: h.ns, Name: "upstream"}, Data: map[string][]byte{"token": []byte(" \n")}}
	h.must(h.client.Create(t.Context(), secret))
	m, _ = h.mirror("deps")
	h.wantContains(h.want(m, v1alpha1.UpstreamReadyCondition, metav1.ConditionFalse, v1alpha1.ReasonSecretKeyMissing), "Secret upstream has nothing under the key token")

	secret.Data["token"] = []byte(upstreamToken + "\n")
	h.must(h.client.Update(t.Context(), secret))
	m = h.ended("deps")
	h.want(m, v1alpha1.SyncedCondition, metav1.ConditionTrue, v1alpha1.ReasonSynced)

	secret.Data["token"] = []byte("not_a_token_that_anybody_knows")
	h.must(h.client.Update(t.Context(), secret))
	h.changeMirror("deps", func(m *v1alpha1.CrateMirror) {
		m.Spec.Crates = append(m.Spec.Crates, v1alpha1.MirroredCrate{Name: "two"})
	})
	m = h.ended("deps")
	h.want(m, v1alpha1.SyncedCondition, metav1.ConditionFalse, v1alpha1.ReasonSyncFailed)
	if text := fmt.Sprint(m.Status) + h.said(); strings.Contains(text, upstreamToken) || strings.Contains(text, "not_a_token") {
		t.Errorf("the token is told:\n%s", text)
	}

	// The Secret goes: the mirror stays as it is, and serves.
	h.must(h.client.Delete(t.Context(), secret))
	generation := h.at("deps").Generation
	m, _ = h.mirror("deps")
	h.want(m, v1alpha1.ReadyCondition, metav1.ConditionFalse, v1alpha1.ReasonSecretMissing)
	if at := h.at("deps"); at.Generation != generation || !at.HasToken || !h.served(up, "one@1.0.0") {
		t.Errorf("mirror = %+v", at)
	}
}

// What the registry has against a spec is said with the fields of the CrateMirror, and the spec from before stays in effect.
func TestMirrorSpecThatTheRegistryRefuses(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(h *harness, s *v1alpha1.CrateMirrorSpec)
		reason string
		says   []string
	}{
		{"schedule that never comes", func(_ *harness, s *v1alpha1.CrateMirrorSpec) { s.Schedule = "0 0 31 2 *" },
			v1alpha1.ReasonInvalidSpec, []string{"spec.schedule", "there is no such day"}},
		{"requirement", func(_ *harness, s *v1alpha1.CrateMirrorSpec) { s.Crates[0].Versions = "^1.x.y" },
			v1alpha1.ReasonInvalidSpec, []string{"spec.crates[0] (one): ", "^1.x.y"}},
		{"certificates that are none", func(h *harness, s *v1alpha1.CrateMirrorSpec) {
			h.putConfigMap("ca", "ca.crt", "-----BEGIN NONSENSE-----")
			s.Upstream.CAConfigMapRef = &v1alpha1.ConfigMapKeyReference{Name: "ca"}
		}, v1alpha1.ReasonInvalidSpec, []string{"spec.upstream.caBundle: "}},
		{"policy against itself", func(_ *harness, s *v1alpha1.CrateMirrorSpec) {
			s.Policy.Deny, s.Policy.Allow = []v1alpha1.MirrorPattern{"evil-*"}, []v1alpha1.MirrorPattern{"one", "evil-twin"}
			s.Policy.MinimumAge, s.Policy.MinimumAgeExceptions = "72h", []v1alpha1.MirrorPattern{"evil-clock"}
		}, v1alpha1.ReasonPolicyInvalid, []string{`spec.policy.allow[1] "evil-twin"`, `spec.policy.minimumAgeExceptions[0] "evil-clock"`}},
		{"license that is none", func(_ *harness, s *v1alpha1.CrateMirrorSpec) { s.Policy.Licenses = []v1alpha1.LicenseID{"mit"} },
			v1alpha1.ReasonPolicyInvalid, []string{`spec.policy.licenses[0] "mit"`}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			h := newHarness(t)
			h.ready("acme")
			up := h.startUpstream("Enabled", "one@1.0.0", "two@1.0.0")
			h.makeMirror("deps", v1alpha1.CrateMirrorSpec{Upstream: v1alpha1.MirrorUpstreamSpec{Index: up.index}, Crates: []v1alpha1.MirroredCrate{{Name: "one", Versions: "1"}}})
			h.mirror("deps")
			before := h.at("deps").Spec
			h.putConfigMap("app", "Cargo.lock", up.lock("two@1.0.0"))
			h.changeMirror("deps", func(m *v1alpha1.CrateMirror) {
				m.Spec.Lockfiles = []v1alpha1.LockfileSource{lockOf("app")} // the rest goes on
				tt.change(h, &m.Spec)
			})
			m := h.ended("deps")
			c := h.want(m, v1alpha1.StalledCondition, metav1.ConditionTrue, tt.reason)
			for _, part := range append(tt.says, "; the spec from before stays in effect") {
				h.wantContains(c, part)
			}
			if tt.reason == v1alpha1.ReasonPolicyInvalid {
				h.wantContains(h.want(m, v1alpha1.PolicyValidCondition, metav1.ConditionFalse, v1alpha1.ReasonPolicyInvalid), tt.says[0])
			} else {
				h.want(m, v1alpha1.PolicyValidCondition, metav1.ConditionTrue, v1alpha1.ReasonPolicyAccepted)
			}
			if now := h.at("deps"); fmt.Sprint(now.Spec) != fmt.Sprint(before) || now.Status.Crates != 2 {
				t.Errorf("the mirror is %+v", now)
			}
			h.want(m, v1alpha1.SyncedCondition, metav1.ConditionTrue, v1alpha1.ReasonSynced)

			// A new one is not made.
			h.changeMirror("deps", func(m *v1alpha1.CrateMirror) { m.Spec.DeletionPolicy = v1alpha1.DeletionDelete })
			h.deleteMirror("deps")
			h.makeMirror("deps", m.Spec)
			m, _ = h.mirror("deps")
			h.want(m, v1alpha1.StalledCondition, metav1.ConditionTrue, tt.reason)
			if _, err := h.admin("acme").Mirror(t.Context(), "deps"); !client.IsNotFound(err) {
				t.Errorf("a mirror was made: %v", err)
			}
		})
	}
}
