package controllers_test

import (
	"strings"
	"testing"

	"github.com/go-logr/logr"
	"github.com/go-logr/logr/funcr"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/crateyard/crateyard/api/v1alpha1"
)

func TestRegistryBecomesReady(t *testing.T) {
	h := newHarness(t)
	h.makeRegistry("acme", v1alpha1.RegistrySpec{})
	r, result := h.registry("acme")
	h.want(r, v1alpha1.ReadyCondition, metav1.ConditionFalse, v1alpha1.ReasonVolumePending)
	h.want(r, v1alpha1.ReconcilingCondition, metav1.ConditionTrue, v1alpha1.ReasonProgressing)
	if result.RequeueAfter == 0 {
		t.Error("a Registry that starts is not looked at again")
	}
	said := h.said()
	if !strings.Contains(said, "Created Deployment acme") || strings.Contains(said, "Updated") {
		t.Errorf("what is made anew is said to be created, and not updated:\n%s", said)
	}

	h.bindVolume("acme")
	r, _ = h.registry("acme")
	h.want(r, v1alpha1.StorageReadyCondition, metav1.ConditionTrue, v1alpha1.ReasonVolumeBound)
	h.want(r, v1alpha1.ReadyCondition, metav1.ConditionFalse, v1alpha1.ReasonStarting)

	h.runPods("acme")
	h.urls["acme"] = "http://127.0.0.1:1"
	r, _ = h.registry("acme")
	h.want(r, v1alpha1.WorkloadReadyCondition, metav1.ConditionTrue, v1alpha1.ReasonRunning)
	h.want(r, v1alpha1.ReadyCondition, metav1.ConditionFalse, v1alpha1.ReasonUnreachable)

	h.startServer("acme")
	r, _ = h.registry("acme")
	h.want(r, v1alpha1.ReadyCondition, metav1.ConditionTrue, v1alpha1.ReasonSucceeded)
	if r.Status.Version != "v0.0.0-test" || r.Status.Crates == nil || *r.Status.Crates != 0 || r.Status.URL != "http://acme."+h.ns+".svc" {
		t.Errorf("status = %+v", r.Status)
	}

	before := h.writes.Load()
	for range 3 {
		h.registry("acme")
	}
	if n := h.writes.Load() - before; n != 0 {
		t.Errorf("reconciling a Registry that is as it should be wrote %d times", n)
	}
}

// The operator's log has a line for each change that it makes, and for what it warns of.
func TestChangesAreLogged(t *testing.T) {
	h := newHarness(t)
	var lines []string
	log := funcr.New(func(_, args string) { lines = append(lines, args) }, funcr.Options{})
	reconcile := func() string {
		lines = nil
		if _, err := h.registries.Reconcile(logr.NewContext(t.Context(), log), ctrl.Request{NamespacedName: h.key("acme")}); err != nil {
			t.Fatal(err)
		}
		return strings.Join(lines, "\n")
	}
	h.makeRegistry("acme", v1alpha1.RegistrySpec{})
	if said := reconcile(); !strings.Contains(said, `"Created Deployment acme" "type"="Normal" "reason"="Created"`) || strings.Contains(said, string(h.secret("acme-admin").Data["token"])) {
		t.Errorf("the log says:\n%s", said)
	}
	if said := reconcile(); said != "" {
		t.Errorf("nothing happened, and the log says:\n%s", said)
	}
	secret := h.secret("acme-admin")
	secret.Data["token"] = []byte("short")
	h.must(h.client.Update(t.Context(), secret))
	if said := reconcile(); !strings.Contains(said, `"type"="Warning" "reason"="AdminTokenInvalid"`) {
		t.Errorf("the log says:\n%s", said)
	}
}

// Also what goes with its Registry is told of once.
func TestRegistryWithDeletionTellsOnce(t *testing.T) {
	h := newHarness(t)
	h.makeRegistry("acme", v1alpha1.RegistrySpec{DeletionPolicy: v1alpha1.DeletionDelete})
	r, _ := h.registry("acme")
	if said := h.said(); !strings.Contains(said, "Created Secret acme-admin") || strings.Contains(said, "Updated") {
		t.Errorf("what is made anew is said to be created, and not updated:\n%s", said)
	}
	if !metav1.IsControlledBy(h.secret("acme-admin"), r) {
		t.Error("the admin Secret would outlive its Registry")
	}
}

func TestRegistrySpecChangesReachChildren(t *testing.T) {
	h := newHarness(t)
	h.ready("acme")
	h.said()
	r := get(h, "acme", &v1alpha1.Registry{})
	r.Spec.Image = "example.com/crateyard:v2"
	r.Spec.Access.AnonymousRead = v1alpha1.Disabled
	h.must(h.client.Update(t.Context(), r))
	r, _ = h.registry("acme")
	h.wantSaid("image crateyard:test → example.com/crateyard:v2, configuration")
	if r.Status.ObservedGeneration == r.Generation {
		t.Error("observedGeneration moved before the new spec is in effect")
	}
	h.runPods("acme")
	r, _ = h.registry("acme")
	h.want(r, v1alpha1.ReadyCondition, metav1.ConditionTrue, v1alpha1.ReasonSucceeded)
	if got := get(h, "acme", &appsv1.Deployment{}).Spec.Template.Spec.Containers[0].Image; got != "example.com/crateyard:v2" {
		t.Errorf("image = %s", got)
	}
}

func TestDriftIsRepaired(t *testing.T) {
	h := newHarness(t)
	h.ready("acme")
	d := get(h, "acme", &appsv1.Deployment{})
	d.Spec.Template.Spec.Containers[0].Args = []string{"serve"}
	h.must(h.client.Update(t.Context(), d))
	h.must(h.client.Delete(t.Context(), get(h, "acme-metrics", &corev1.Service{})))
	h.registry("acme")
	if args := get(h, "acme", &appsv1.Deployment{}).Spec.Template.Spec.Containers[0].Args; len(args) != 3 {
		t.Errorf("args = %q", args)
	}
	get(h, "acme-metrics", &corev1.Service{})
}

// A claim that waits for a storage class that is not there is in the way of a Registry with another one, and both say so.
func TestClaimOfAMissingStorageClass(t *testing.T) {
	h := newHarness(t)
	h.makeRegistry("acme", v1alpha1.RegistrySpec{Storage: v1alpha1.StorageSpec{Filesystem: v1alpha1.FilesystemStorage{StorageClassName: "absent"}}})
	r, _ := h.registry("acme")
	h.wantContains(h.want(r, v1alpha1.StorageReadyCondition, metav1.ConditionFalse, v1alpha1.ReasonStorageClassMissing), "PersistentVolumeClaim acme-data, which holds nothing")
	h.must(h.client.Delete(t.Context(), r))
	h.makeRegistry("acme", v1alpha1.RegistrySpec{Storage: v1alpha1.StorageSpec{Filesystem: v1alpha1.FilesystemStorage{StorageClassName: "other"}}})
	r, _ = h.registry("acme")
	h.wantContains(h.want(r, v1alpha1.ReadyCondition, metav1.ConditionFalse, v1alpha1.ReasonStorageClassMissing), "acme-data of an earlier Registry never got a volume, and asks for one of StorageClass absent")
}
