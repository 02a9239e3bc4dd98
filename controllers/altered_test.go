package controllers_test

import (
	"context"
	"maps"
	"testing"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/crateyard/crateyard/api/v1alpha1"
)

// alterDeployments has the API server give each Deployment of the namespace a nodeSelector with one label more, as a webhook would.
func (h *harness) alterDeployments() {
	h.Helper()
	policy := &admissionv1.MutatingAdmissionPolicy{
		ObjectMeta: metav1.ObjectMeta{Name: h.ns},
		Spec: admissionv1.MutatingAdmissionPolicySpec{
			ReinvocationPolicy: admissionv1.NeverReinvocationPolicy,
			MatchConstraints: &admissionv1.MatchResources{ResourceRules: []admissionv1.NamedRuleWithOperations{{RuleWithOperations: admissionv1.RuleWithOperations{
				Operations: []admissionv1.OperationType{admissionv1.Create, admissionv1.Update},
				Rule:       admissionv1.Rule{APIGroups: []string{"apps"}, APIVersions: []string{"v1"}, Resources: []string{"deployments"}},
			}}}},
			MatchConditions: []admissionv1.MatchCondition{{Name: "namespace", Expression: "object.metadata.namespace == '" + h.ns + "'"}},
			Mutations: []admissionv1.Mutation{{PatchType: admissionv1.PatchTypeJSONPatch, JSONPatch: &admissionv1.JSONPatch{
				Expression: `[JSONPatch{op: "add", path: "/spec/template/spec/nodeSelector", value: {"ours": "1", "theirs": "1"}}]`,
			}}},
		},
	}
	binding := &admissionv1.MutatingAdmissionPolicyBinding{ObjectMeta: metav1.ObjectMeta{Name: h.ns}, Spec: admissionv1.MutatingAdmissionPolicyBindingSpec{PolicyName: h.ns}}
	for _, obj := range []client.Object{policy, binding} {
		h.must(h.client.Create(h.Context(), obj))
		h.Cleanup(func() {
			if err := h.client.Delete(context.WithoutCancel(h.Context()), obj); err != nil {
				h.Error(err)
			}
		})
	}
	h.eventually("the policy", func() bool {
		d := get(h, "acme", &appsv1.Deployment{})
		return h.client.Update(h.Context(), d, client.DryRunAll) == nil && d.Spec.Template.Spec.NodeSelector["theirs"] == "1"
	})
}

// What the cluster's admission adds to a child each time is left there: it is not applied for ever, and no update is told that changed nothing.
func TestChildThatAdmissionAlters(t *testing.T) {
	h := newHarness(t)
	h.makeRegistry("acme", v1alpha1.RegistrySpec{NodeSelector: map[string]v1alpha1.LabelValue{"ours": "1"}})
	h.registry("acme")
	h.alterDeployments()
	r := get(h, "acme", &v1alpha1.Registry{})
	r.Spec.Image = "example.com/crateyard:v2"
	h.must(h.client.Update(t.Context(), r))
	h.registry("acme")
	both := map[string]string{"ours": "1", "theirs": "1"}
	if got := get(h, "acme", &appsv1.Deployment{}).Spec.Template.Spec.NodeSelector; !maps.Equal(got, both) {
		t.Fatalf("nodeSelector %v", got)
	}
	h.registry("acme") // the status
	h.said()
	before := h.writes.Load()
	for range 3 {
		h.registry("acme")
	}
	if n, said := h.writes.Load()-before, h.said(); n != 0 || said != "" {
		t.Errorf("what the cluster alters was written %d times; it is said:\n%s", n, said)
	}

	// What somebody edits beside it is set back all the same.
	for name, edit := range map[string]func(*appsv1.Deployment){
		"replicas": func(d *appsv1.Deployment) { *d.Spec.Replicas = 0 },
		"labels":   func(d *appsv1.Deployment) { delete(d.Labels, "app.kubernetes.io/component") },
	} {
		d := get(h, "acme", &appsv1.Deployment{})
		edit(d)
		h.must(h.client.Update(t.Context(), d))
		h.registry("acme")
		if d = get(h, "acme", &appsv1.Deployment{}); *d.Spec.Replicas != 1 || d.Labels["app.kubernetes.io/component"] == "" {
			t.Errorf("%s stay as somebody edited them", name)
		}
	}
}
