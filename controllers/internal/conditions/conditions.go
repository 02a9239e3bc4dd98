// Package conditions holds the rules that conditions of all our kinds follow, which are those of kstatus: Ready is always
// there; Reconciling and Stalled are there when true, never both, and never beside Ready=True; every condition says to which
// generation it belongs. Check tells whether an object keeps them.
package conditions

import (
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/crateyard/crateyard/api/v1alpha1"
	"github.com/crateyard/crateyard/controllers/internal/outcome"
)

// Object is what has conditions.
type Object interface {
	metav1.Object
	GetConditions() []metav1.Condition
	SetConditions([]metav1.Condition)
}

// True makes a condition that holds.
func True(typ, reason, message string) metav1.Condition {
	return metav1.Condition{Type: typ, Status: metav1.ConditionTrue, Reason: reason, Message: message}
}

// False makes a condition that does not hold.
func False(typ, reason, message string) metav1.Condition {
	return metav1.Condition{Type: typ, Status: metav1.ConditionFalse, Reason: reason, Message: message}
}

// Unknown makes a condition that nobody looked at.
func Unknown(typ, reason, message string) metav1.Condition {
	return metav1.Condition{Type: typ, Status: metav1.ConditionUnknown, Reason: reason, Message: message}
}

// Merge gives old as it becomes with exactly the types in now: what did not change keeps its transition time, what is not in
// now goes.
func Merge(old, now []metav1.Condition, generation int64, at time.Time) []metav1.Condition {
	merged := make([]metav1.Condition, 0, len(now))
	for _, c := range now {
		c.ObservedGeneration = generation
		c.Message = outcome.Message(c.Message)
		c.LastTransitionTime = metav1.NewTime(at.Truncate(time.Second))
		if was := meta.FindStatusCondition(old, c.Type); was != nil && was.Status == c.Status {
			c.LastTransitionTime = was.LastTransitionTime
		}
		merged = append(merged, c)
	}
	return merged
}

// Summary gives Ready, and Reconciling or Stalled beside it, for how a reconcile ended: the table of kstatus in one place.
// working says what is still under way when err is nil, as the first condition that does not hold; nil when nothing is.
// Ready says what is wrong and what to do. Reconciling refers to it, so that one trouble is not told several times; Stalled
// repeats it, since there are tools that show nothing else of an object that stalls.
func Summary(err error, working *metav1.Condition, ready string) []metav1.Condition {
	if stalled, ok := outcome.IsStalled(err); ok {
		return []metav1.Condition{
			False(v1alpha1.ReadyCondition, stalled.Reason, stalled.Message),
			True(v1alpha1.StalledCondition, stalled.Reason, stalled.Message),
		}
	}
	if wait, ok := outcome.IsWait(err); ok {
		return []metav1.Condition{
			False(v1alpha1.ReadyCondition, wait.Reason, wait.Message),
			True(v1alpha1.ReconcilingCondition, v1alpha1.ReasonProgressing, "waits; Ready says what for"),
		}
	}
	if err != nil {
		return []metav1.Condition{
			False(v1alpha1.ReadyCondition, v1alpha1.ReasonFailed, err.Error()),
			True(v1alpha1.ReconcilingCondition, v1alpha1.ReasonProgressingWithRetry, "tries again; Ready says what failed"),
		}
	}
	if working != nil {
		return []metav1.Condition{
			False(v1alpha1.ReadyCondition, working.Reason, working.Message),
			True(v1alpha1.ReconcilingCondition, v1alpha1.ReasonProgressing, fmt.Sprintf("waits for %s (%s)", working.Type, working.Reason)),
		}
	}
	return []metav1.Condition{True(v1alpha1.ReadyCondition, v1alpha1.ReasonSucceeded, ready)}
}
