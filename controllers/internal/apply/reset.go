package apply

import (
	"context"
	"encoding/json"
	"slices"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/client-go/util/csaupgrade"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/crateyard/crateyard/controllers/internal/names"
	"github.com/crateyard/crateyard/controllers/internal/outcome"
)

// reset sets back what differs from intent in an object that somebody edited so that intent cannot be merged into it: a Service's port that was given
// another number and kept its name, or the strategy of a Deployment, of which the API server filled in the rest. It reports whether it did; where
// not, the trouble is another one.
func (a *Applier) reset(ctx context.Context, live, intent *unstructured.Unstructured) bool {
	patch, err := resetPatch(live, intent)
	if err != nil || patch == nil || !slices.Contains(disposable, intent.GetKind()) {
		return false
	}
	obj := &unstructured.Unstructured{} // live may come without a kind
	obj.SetGroupVersionKind(intent.GroupVersionKind())
	obj.SetName(intent.GetName())
	obj.SetNamespace(intent.GetNamespace())
	if a.Client.Patch(ctx, obj, client.RawPatch(types.MergePatchType, patch), client.FieldOwner(names.FieldOwner)) != nil {
		return false
	}
	// What the patch wrote is ours by an update. As ours by an apply, it goes when a later intent leaves it out.
	owned, err := csaupgrade.UpgradeManagedFieldsPatch(obj, sets.New(names.FieldOwner), names.FieldOwner)
	return err == nil && (owned == nil || a.Client.Patch(ctx, obj, client.RawPatch(types.JSONPatchType, owned)) == nil)
}

// resetPatch is a merge patch with what differs in the spec: lists as a whole, and beside a type that differs no remains of the other type. Nil:
// nothing differs there.
func resetPatch(live, intent *unstructured.Unstructured) ([]byte, error) {
	patch := map[string]any{}
	for _, at := range difference(live.Object, intent.Object) {
		if !at.within("spec") {
			continue
		}
		want, _, err := unstructured.NestedFieldCopy(intent.Object, at...)
		if err != nil {
			return nil, err
		}
		if err := unstructured.SetNestedField(patch, want, at...); err != nil {
			return nil, err
		}
		if parent := at[:len(at)-1]; at.last() == "type" && len(parent) > 1 {
			if err := dropOthers(patch, live, intent, parent); err != nil {
				return nil, err
			}
		}
	}
	if len(patch) == 0 {
		return nil, nil
	}
	patch["metadata"] = map[string]any{"uid": string(live.GetUID())} // another object of the name since: it is refused
	return json.Marshal(patch)
}

// dropOthers has a patch remove what live has at a path and intent has not.
func dropOthers(patch map[string]any, live, intent *unstructured.Unstructured, at path) error {
	have, _, err := unstructured.NestedMap(live.Object, at...)
	if err != nil {
		return err
	}
	want, _, err := unstructured.NestedMap(intent.Object, at...)
	if err != nil {
		return err
	}
	for key := range have {
		if _, keep := want[key]; keep {
			continue
		}
		if err := unstructured.SetNestedField(patch, nil, at.to(key)...); err != nil {
			return err
		}
	}
	return nil
}

// disposable are the kinds of children that are made anew when somebody deletes them, with nothing lost but the time.
var disposable = []string{"ConfigMap", "Deployment", "Ingress", "PodDisruptionBudget", "Service", "ServiceAccount", "ServiceMonitor"}

// refused says what to do about a child that the API server refuses.
func refused(err error, live, intent *unstructured.Unstructured) error {
	stalled, ok := outcome.IsStalled(err)
	switch {
	case !ok, live != nil && !slices.Contains(disposable, intent.GetKind()):
		return err
	case live == nil:
		return outcome.Stall(stalled.Reason, "%s; mend what it names in the spec", stalled.Message)
	}
	return outcome.Stall(stalled.Reason, "%s; mend what it names in the spec or, where somebody edited the %s, delete that: it is made anew", stalled.Message, intent.GetKind())
}
