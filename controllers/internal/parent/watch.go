package parent

import (
	"k8s.io/apimachinery/pkg/api/meta"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/predicate"

	"github.com/crateyard/crateyard/api/v1alpha1"
)

// Changed lets through what matters to what belongs to a Registry: that it comes and goes, its address, its readiness, and whether it answers.
func Changed() predicate.Predicate {
	return predicate.Funcs{UpdateFunc: func(e event.UpdateEvent) bool {
		was, ok := e.ObjectOld.(*v1alpha1.Registry)
		now, ok2 := e.ObjectNew.(*v1alpha1.Registry)
		if !ok || !ok2 {
			return false
		}
		return was.Generation != now.Generation || was.Status.URL != now.Status.URL || readiness(was) != readiness(now) ||
			(was.DeletionTimestamp == nil) != (now.DeletionTimestamp == nil)
	}}
}

func readiness(r *v1alpha1.Registry) (all string) {
	for _, typ := range []string{v1alpha1.ReadyCondition, v1alpha1.ServerReachableCondition} {
		if c := meta.FindStatusCondition(r.Status.Conditions, typ); c != nil {
			all += string(c.Status) + c.Reason + " "
		}
	}
	return all
}

// Deleted lets through only that an object is gone: another may wait for its name.
func Deleted() predicate.Predicate {
	return predicate.Funcs{
		CreateFunc:  func(event.CreateEvent) bool { return false },
		UpdateFunc:  func(event.UpdateEvent) bool { return false },
		GenericFunc: func(event.GenericEvent) bool { return false },
		DeleteFunc:  func(event.DeleteEvent) bool { return true },
	}
}
