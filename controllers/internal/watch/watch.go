// Package watch holds what decides which changes in the cluster a reconciler hears of.
package watch

import (
	"context"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/crateyard/crateyard/api/v1alpha1"
)

// Indexes over the cache.
const (
	// UsersByRegistry finds RegistryUsers by spec.registryRef.name.
	UsersByRegistry = "spec.registryRef.name"
)

// Wanted lets through what changes an object's meaning: its spec, its deletion, or a request to look at it.
func Wanted() predicate.Predicate {
	return predicate.Or(predicate.GenerationChangedPredicate{}, requested{})
}

// requested lets through a new value of the annotation that asks for a reconcile.
type requested struct{ predicate.Funcs }

// Update compares the annotation.
func (requested) Update(e event.UpdateEvent) bool {
	const a = v1alpha1.RequestedAtAnnotation
	return e.ObjectOld != nil && e.ObjectNew != nil && e.ObjectOld.GetAnnotations()[a] != e.ObjectNew.GetAnnotations()[a]
}

// Changed lets through updates that changed anything; a resync does not.
func Changed() predicate.Predicate { return predicate.ResourceVersionChangedPredicate{} }

// ByLabel asks for the object that a label names, in the namespace of what carries the label.
func ByLabel(label string) func(context.Context, client.Object) []reconcile.Request {
	return func(_ context.Context, obj client.Object) []reconcile.Request {
		name := obj.GetLabels()[label]
		if name == "" {
			return nil
		}
		return []reconcile.Request{{NamespacedName: types.NamespacedName{Namespace: obj.GetNamespace(), Name: name}}}
	}
}

// PodChanged lets through what can change a Registry's status: a pod's phase, conditions and containers' states.
func PodChanged() predicate.Predicate {
	return predicate.Funcs{UpdateFunc: func(e event.UpdateEvent) bool {
		was, ok := e.ObjectOld.(*corev1.Pod)
		now, ok2 := e.ObjectNew.(*corev1.Pod)
		return !ok || !ok2 || podState(was) != podState(now)
	}}
}

func podState(pod *corev1.Pod) string {
	state := string(pod.Status.Phase)
	for _, c := range pod.Status.Conditions {
		state += "/" + string(c.Type) + string(c.Status) + c.Reason
	}
	for _, c := range pod.Status.ContainerStatuses {
		if c.State.Waiting != nil {
			state += "/" + c.State.Waiting.Reason
		}
	}
	return state
}
