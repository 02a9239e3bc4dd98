// Package watch holds what decides which changes in the cluster a reconciler hears of.
package watch

import (
	"context"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/crateyard/crateyard/api/v1alpha1"
)

// Indexes over the cache.
const (
	// UsersByRegistry finds RegistryUsers by spec.registryRef.name.
	UsersByRegistry = "spec.registryRef.name"
	// MirrorsByRegistry finds CrateMirrors by spec.registryRef.name.
	MirrorsByRegistry = "spec.registryRef.name"
	// BySecret finds Registries and CrateMirrors by the Secrets of others that they depend on.
	BySecret = "secrets"
	// ByConfigMap finds CrateMirrors by the ConfigMaps of others that they depend on.
	ByConfigMap = "configmaps"
)

// Wanted lets through what changes an object's meaning: its spec, its deletion, or a request to look at it.
func Wanted() predicate.Predicate {
	return predicate.Or(predicate.GenerationChangedPredicate{}, requested{})
}

// requested lets through a new value of an annotation that asks for something.
type requested struct{ predicate.Funcs }

// Update compares the annotations.
func (requested) Update(e event.UpdateEvent) bool {
	if e.ObjectOld == nil || e.ObjectNew == nil {
		return false
	}
	for _, a := range []string{v1alpha1.RequestedAtAnnotation, v1alpha1.SyncRequestedAtAnnotation, v1alpha1.TakeOverAnnotation} {
		if e.ObjectOld.GetAnnotations()[a] != e.ObjectNew.GetAnnotations()[a] {
			return true
		}
	}
	return false
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

// Metadata is a Secret or ConfigMap as a cache holds it that must not hold what is in it.
func Metadata(kind string) client.Object {
	obj := &metav1.PartialObjectMetadata{}
	obj.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind(kind))
	return obj
}

// ByIndex asks for the objects of a list's kind that an index finds by the name of what changed, in its namespace.
func ByIndex(from client.Reader, index string, kind client.ObjectList) handler.MapFunc {
	return func(ctx context.Context, changed client.Object) []reconcile.Request {
		list := kind.DeepCopyObject().(client.ObjectList)
		if err := from.List(ctx, list, client.InNamespace(changed.GetNamespace()), client.MatchingFields{index: changed.GetName()}); err != nil {
			return nil // the cache ends; nobody is there to act
		}
		var requests []reconcile.Request
		_ = meta.EachListItem(list, func(item runtime.Object) error { // cannot fail: the function does not
			requests = append(requests, reconcile.Request{NamespacedName: client.ObjectKeyFromObject(item.(client.Object))})
			return nil
		})
		return requests
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
	for _, c := range slices.Concat(pod.Status.InitContainerStatuses, pod.Status.ContainerStatuses) {
		switch s := c.State; {
		case s.Waiting != nil:
			state += "/" + s.Waiting.Reason
		case s.Terminated != nil:
			state += "/" + s.Terminated.Reason
		}
	}
	return state
}
