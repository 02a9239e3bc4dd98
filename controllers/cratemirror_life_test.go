package controllers_test

import (
	"net/http"
	"strings"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/crateyard/crateyard/api/v1alpha1"
	"github.com/crateyard/crateyard/registry/client"
)

// deleteMirror deletes a CrateMirror, which must be gone after one reconcile.
func (h *harness) deleteMirror(name string) {
	h.Helper()
	h.must(h.client.Delete(h.Context(), get(h, name, &v1alpha1.CrateMirror{})))
	if _, err := h.mirrors.Reconcile(h.Context(), ctrl.Request{NamespacedName: h.key(name)}); err != nil {
		h.Errorf("finalizing: %v", err)
	}
	if err := h.client.Get(h.Context(), h.key(name), &v1alpha1.CrateMirror{}); !apierrors.IsNotFound(err) {
		h.Errorf("CrateMirror %s is still there: %v", name, err)
	}
}

func TestMirrorWaitsForRegistry(t *testing.T) {
	h := newHarness(t)
	h.makeMirror("deps", v1alpha1.CrateMirrorSpec{})
	m, result := h.mirror("deps")
	h.wantContains(h.want(m, v1alpha1.RegistryReadyCondition, metav1.ConditionFalse, v1alpha1.ReasonRegistryNotFound), "make it, or delete this CrateMirror")
	h.want(m, v1alpha1.ReadyCondition, metav1.ConditionFalse, v1alpha1.ReasonRegistryNotFound)
	if result.RequeueAfter != 0 {
		t.Errorf("asks again in %v, and a watch would tell", result.RequeueAfter)
	}
	h.makeRegistry("acme", v1alpha1.RegistrySpec{})
	m, _ = h.mirror("deps")
	h.want(m, v1alpha1.RegistryReadyCondition, metav1.ConditionFalse, v1alpha1.ReasonRegistryNotReady)
	h.registry("acme")
	h.bindVolume("acme")
	h.runPods("acme")
	h.startServer("acme")
	h.registry("acme")
	m, _ = h.mirror("deps")
	h.want(m, v1alpha1.RegistryReadyCondition, metav1.ConditionTrue, v1alpha1.ReasonRegistryReady) // Ready is for who reaches crates.io
	h.want(m, v1alpha1.SyncedCondition, metav1.ConditionTrue, v1alpha1.ReasonNothingToSync)
	if !strings.HasPrefix(m.Status.CargoConfig, "[source.crates-io]\nreplace-with = \"deps\"\n") {
		t.Errorf("config:\n%s", m.Status.CargoConfig)
	}
}

func TestNamesOfMirrors(t *testing.T) {
	h := newHarness(t)
	h.ready("acme")
	up := v1alpha1.MirrorUpstreamSpec{Index: h.startUpstream("Enabled", "one@1.0.0").index}
	h.makeMirror("first", v1alpha1.CrateMirrorSpec{Name: "deps", Upstream: up})
	h.mirror("first")
	h.makeMirror("second", v1alpha1.CrateMirrorSpec{Name: "deps", Upstream: up, Mode: v1alpha1.MirrorPinned, Crates: []v1alpha1.MirroredCrate{}, DeletionPolicy: v1alpha1.DeletionDelete})
	m, _ := h.mirror("second")
	h.wantContains(h.want(m, v1alpha1.StalledCondition, metav1.ConditionTrue, v1alpha1.ReasonMirrorNameTaken), "CrateMirror first already stands for mirror deps of Registry acme")
	h.deleteMirrorWithoutFinalizer("second")
	if at := h.at("deps"); at.Spec.Mode != "OnDemand" {
		t.Errorf("the second CrateMirror changed the first one's mirror: %+v", at.Spec)
	}

	h.makeMirror("second", v1alpha1.CrateMirrorSpec{Name: "deps", Upstream: up, Mode: v1alpha1.MirrorPinned, Crates: []v1alpha1.MirroredCrate{}})
	h.deleteMirror("first")
	m, _ = h.mirror("second")
	h.want(m, v1alpha1.ReadyCondition, metav1.ConditionTrue, v1alpha1.ReasonSucceeded)
	h.wantSaid("AdoptedMirror Took over mirror deps")
	if at := h.at("deps"); at.Spec.Mode != "Pinned" {
		t.Errorf("the mirror is %+v", at.Spec)
	}
}

// deleteMirrorWithoutFinalizer deletes a CrateMirror that never made a mirror.
func (h *harness) deleteMirrorWithoutFinalizer(name string) {
	h.Helper()
	h.must(h.client.Delete(h.Context(), get(h, name, &v1alpha1.CrateMirror{})))
	if err := h.client.Get(h.Context(), h.key(name), &v1alpha1.CrateMirror{}); !apierrors.IsNotFound(err) {
		h.Errorf("CrateMirror %s is still there: %v", name, err)
	}
}

func TestMirrorDeletion(t *testing.T) {
	for policy, stays := range map[v1alpha1.DeletionPolicy]bool{v1alpha1.DeletionDelete: false, v1alpha1.DeletionRetain: true} {
		t.Run(string(policy), func(t *testing.T) {
			h := newHarness(t)
			h.ready("acme")
			up := h.startUpstream("Enabled", "one@1.0.0")
			h.putConfigMap("app", "Cargo.lock", up.lock("one@1.0.0"))
			h.makeMirror("deps", v1alpha1.CrateMirrorSpec{Upstream: v1alpha1.MirrorUpstreamSpec{Index: up.index}, Lockfiles: []v1alpha1.LockfileSource{lockOf("app")}, DeletionPolicy: policy})
			h.ended("deps")
			h.deleteMirror("deps")
			if got := h.served(up, "one@1.0.0"); got != stays {
				t.Errorf("served: %t", got)
			}
			at, err := h.admin("acme").Mirror(t.Context(), "deps")
			if client.IsNotFound(err) == stays || stays && len(at.Lockfiles) != 1 {
				t.Errorf("mirror: %+v, %v", at, err)
			}
		})
	}
	t.Run("without registry", func(t *testing.T) {
		h := newHarness(t)
		r := h.ready("acme")
		h.makeMirror("deps", v1alpha1.CrateMirrorSpec{DeletionPolicy: v1alpha1.DeletionDelete})
		h.mirror("deps")
		h.must(h.client.Delete(t.Context(), r))
		h.deleteMirror("deps")
	})
	t.Run("registry away", func(t *testing.T) {
		h := newHarness(t)
		h.ready("acme")
		h.makeMirror("deps", v1alpha1.CrateMirrorSpec{DeletionPolicy: v1alpha1.DeletionDelete})
		h.mirror("deps")
		h.front(func(*http.Request) (int, string) { return http.StatusServiceUnavailable, "away" })
		h.must(h.client.Delete(t.Context(), get(h, "deps", &v1alpha1.CrateMirror{})))
		m, result := h.mirror("deps")
		h.wantContains(h.want(m, v1alpha1.ReadyCondition, metav1.ConditionFalse, v1alpha1.ReasonRegistryNotReady), "set spec.deletionPolicy to Retain")
		if result.RequeueAfter == 0 {
			t.Error("nobody looks again")
		}
		h.changeMirror("deps", func(m *v1alpha1.CrateMirror) { m.Spec.DeletionPolicy = v1alpha1.DeletionRetain })
		if _, err := h.mirrors.Reconcile(t.Context(), ctrl.Request{NamespacedName: h.key("deps")}); err != nil || h.exists("deps", &v1alpha1.CrateMirror{}) {
			t.Errorf("it is still there: %v", err)
		}
	})
}

func TestServerWithoutMirrors(t *testing.T) {
	h := newHarness(t)
	h.ready("acme")
	h.front(func(r *http.Request) (int, string) {
		if strings.HasPrefix(r.URL.Path, "/api/v1/mirrors") {
			return http.StatusNotFound, `{"errors":[{"detail":"not found"}]}`
		}
		return 0, ""
	})
	h.makeMirror("deps", v1alpha1.CrateMirrorSpec{})
	m, _ := h.mirror("deps")
	h.wantContains(h.want(m, v1alpha1.StalledCondition, metav1.ConditionTrue, v1alpha1.ReasonServerTooOld), "the server of Registry acme is of a version that has no mirrors; update it")
}
