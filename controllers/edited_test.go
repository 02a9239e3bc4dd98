package controllers_test

import (
	"maps"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/crateyard/crateyard/api/v1alpha1"
	"github.com/crateyard/crateyard/controllers/internal/names"
)

// What somebody edits by hand is set back, also where merging alone would not do it, or the API server would refuse the merged object.
func TestEditedChildren(t *testing.T) {
	for name, tt := range map[string]struct {
		edit func(*harness) client.Object
		sane func(*harness) bool
	}{
		"a selector that selects nothing": {
			func(h *harness) client.Object {
				s := get(h, "acme", &corev1.Service{})
				s.Spec.Selector["tier"] = "front"
				return s
			},
			func(h *harness) bool {
				return maps.Equal(get(h, "acme", &corev1.Service{}).Spec.Selector, map[string]string{
					"app.kubernetes.io/name": "crateyard", "app.kubernetes.io/component": "registry", "app.kubernetes.io/instance": "acme",
				})
			},
		},
		"another port of the same name": {
			func(h *harness) client.Object {
				s := get(h, "acme", &corev1.Service{})
				s.Spec.Ports[0].Port, s.Spec.Ports[0].TargetPort = 81, intstr.FromInt32(9999)
				return s
			},
			func(h *harness) bool {
				ports := get(h, "acme", &corev1.Service{}).Spec.Ports
				return len(ports) == 1 && ports[0].Port == 80 && ports[0].TargetPort == intstr.FromString("http")
			},
		},
		"another strategy": {
			func(h *harness) client.Object {
				d := get(h, "acme", &appsv1.Deployment{})
				d.Spec.Strategy = appsv1.DeploymentStrategy{Type: appsv1.RollingUpdateDeploymentStrategyType}
				return d
			},
			func(h *harness) bool {
				s := get(h, "acme", &appsv1.Deployment{}).Spec.Strategy
				return s.Type == appsv1.RecreateDeploymentStrategyType && s.RollingUpdate == nil
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHarness(t)
			h.ready("acme")
			h.must(h.client.Update(t.Context(), tt.edit(h)))
			if r, _ := h.registry("acme"); !tt.sane(h) {
				t.Errorf("it was not set back: %v", r.Status.Conditions)
			}
			for _, child := range []client.Object{get(h, "acme", &corev1.Service{}), get(h, "acme", &appsv1.Deployment{})} {
				for _, f := range child.GetManagedFields() {
					if f.Manager == names.FieldOwner && f.Operation != metav1.ManagedFieldsOperationApply && f.Subresource == "" {
						t.Errorf("%T: what a later version leaves out would stay: %s", child, f.FieldsV1)
					}
				}
			}
			before := h.writes.Load()
			h.registry("acme")
			if n := h.writes.Load() - before; n > 1 { // the status at most
				t.Errorf("what is set back already was written again: %d writes", n)
			}
		})
	}
}

// What cannot be set back says what to do about it.
func TestEditedChildThatStaysIsToBeDeleted(t *testing.T) {
	h := newHarness(t)
	h.ready("acme")
	config := get(h, "acme-config", &corev1.ConfigMap{})
	config.Immutable = ptr.To(true)
	h.must(h.client.Update(t.Context(), config))
	r := get(h, "acme", &v1alpha1.Registry{})
	r.Spec.GitIndex = v1alpha1.Disabled
	h.must(h.client.Update(t.Context(), r))
	r, _ = h.registry("acme")
	h.wantContains(h.want(r, v1alpha1.StalledCondition, metav1.ConditionTrue, v1alpha1.ReasonRefused), "where somebody edited the ConfigMap, delete that: it is made anew")
	h.must(h.client.Delete(t.Context(), config))
	r, _ = h.registry("acme")
	if get(h, "acme-config", &corev1.ConfigMap{}).Immutable != nil || r.Status.Conditions[0].Reason == v1alpha1.ReasonRefused {
		t.Errorf("it was not made anew: %v", r.Status.Conditions)
	}
}

// A spec that the API server refuses in a child says that it is the spec.
func TestSpecThatAChildCannotHave(t *testing.T) {
	h := newHarness(t)
	h.makeRegistry("acme", v1alpha1.RegistrySpec{NodeSelector: map[string]v1alpha1.LabelValue{"a b": "c"}})
	r, _ := h.registry("acme")
	h.wantContains(h.want(r, v1alpha1.ReadyCondition, metav1.ConditionFalse, v1alpha1.ReasonRefused), "mend what it names in the spec")
}

// A volume that somebody deletes is told at once, while its data can be saved yet.
func TestVolumeThatSomebodyDeletes(t *testing.T) {
	h := newHarness(t)
	h.ready("acme")
	pvc := get(h, "acme-data", &corev1.PersistentVolumeClaim{})
	pvc.Finalizers = []string{"kubernetes.io/pvc-protection"} // of a claim that a pod uses
	h.must(h.client.Update(t.Context(), pvc))
	h.must(h.client.Delete(t.Context(), pvc))
	r, _ := h.registry("acme")
	for _, typ := range []string{v1alpha1.ReadyCondition, v1alpha1.StorageReadyCondition} {
		h.wantContains(h.want(r, typ, metav1.ConditionFalse, v1alpha1.ReasonVolumeDeleted), "its data goes when the pod stops")
	}
	h.wantSaid("Warning VolumeDeleted somebody deleted PersistentVolumeClaim acme-data")

	pvc = get(h, "acme-data", &corev1.PersistentVolumeClaim{})
	pvc.Finalizers = nil
	h.must(h.client.Update(t.Context(), pvc)) // the pod stopped
	r, _ = h.registry("acme")
	if get(h, "acme-data", &corev1.PersistentVolumeClaim{}).DeletionTimestamp != nil || r.Status.Conditions[0].Reason == v1alpha1.ReasonVolumeDeleted {
		t.Errorf("no new volume: %v", r.Status.Conditions)
	}
}
