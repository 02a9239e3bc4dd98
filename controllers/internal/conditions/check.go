package conditions

import (
	"fmt"
	"regexp"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/crateyard/crateyard/api/v1alpha1"
	"github.com/crateyard/crateyard/controllers/internal/outcome"
)

var camelCase = regexp.MustCompile(`^[A-Z][A-Za-z0-9]*$`)

// Check lists the rules that an object's conditions break; observed is its status.observedGeneration. Tests run it after
// every reconcile. It follows the checker of Flux (fluxcd/pkg/runtime/conditions/check).
func Check(obj Object, observed int64) []string {
	var broken []string
	fail := func(format string, args ...any) { broken = append(broken, fmt.Sprintf(format, args...)) }
	conds := obj.GetConditions()

	seen := map[string]bool{}
	for _, c := range conds {
		switch {
		case seen[c.Type]:
			fail("%s stands twice", c.Type)
		case !camelCase.MatchString(c.Reason):
			fail("%s: reason %q is empty or not CamelCase", c.Type, c.Reason)
		case c.Status != metav1.ConditionTrue && c.Message == "":
			fail("%s=%s says nothing", c.Type, c.Status)
		case c.LastTransitionTime.IsZero():
			fail("%s has no transition time", c.Type)
		case c.ObservedGeneration > obj.GetGeneration():
			fail("%s is of generation %d, the object of %d", c.Type, c.ObservedGeneration, obj.GetGeneration())
		case c.Message != outcome.Message(c.Message):
			fail("%s has a message that is too long or holds a secret: %s", c.Type, c.Message)
		}
		seen[c.Type] = true
	}

	ready := meta.FindStatusCondition(conds, v1alpha1.ReadyCondition)
	reconciling := meta.FindStatusCondition(conds, v1alpha1.ReconcilingCondition)
	stalled := meta.FindStatusCondition(conds, v1alpha1.StalledCondition)
	if ready == nil {
		fail("Ready is missing")
		return broken
	}
	for _, abnormal := range []*metav1.Condition{reconciling, stalled} {
		if abnormal != nil && abnormal.Status != metav1.ConditionTrue {
			fail("%s=%s: it must be true or absent", abnormal.Type, abnormal.Status)
		}
		if abnormal != nil && ready.Status == metav1.ConditionTrue {
			fail("Ready=True beside %s", abnormal.Type)
		}
	}
	if reconciling != nil && stalled != nil {
		fail("both Reconciling and Stalled")
	}
	if ready.Status == metav1.ConditionTrue && (observed != obj.GetGeneration() || ready.ObservedGeneration != observed) {
		fail("Ready=True for generation %d with observedGeneration %d and generation %d", ready.ObservedGeneration, observed, obj.GetGeneration())
	}
	if stalled != nil && observed != stalled.ObservedGeneration {
		fail("Stalled for generation %d with observedGeneration %d: kstatus would call it in progress", stalled.ObservedGeneration, observed)
	}
	if observed > obj.GetGeneration() {
		fail("observedGeneration %d is ahead of generation %d", observed, obj.GetGeneration())
	}
	return broken
}
