package controllers_test

import (
	"fmt"
	"sync"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/crateyard/crateyard/api/v1alpha1"
	"github.com/crateyard/crateyard/controllers/internal/names"
)

// Of two RegistryUsers for one name that are made within one second the one that acted first goes on, whatever their names are: the other never has a
// token.
func TestWhoActedKeepsTheName(t *testing.T) {
	h := newHarness(t)
	h.ready("acme")
	for i := range 6 { // most of them fall into one second
		name, z, a := fmt.Sprintf("u-%d", i), fmt.Sprintf("z-%d", i), fmt.Sprintf("a-%d", i)
		h.makeUser(z, func(u *v1alpha1.RegistryUser) { u.Spec.Name, u.Spec.Tokens[0].SecretName = name, z })
		h.user(z)
		h.makeUser(a, func(u *v1alpha1.RegistryUser) { u.Spec.Name, u.Spec.Tokens[0].SecretName = name, a })
		u, _ := h.user(a)
		h.wantContains(h.want(u, v1alpha1.StalledCondition, metav1.ConditionTrue, v1alpha1.ReasonUserNameTaken), "RegistryUser "+z+" already stands for user "+name)
		u, _ = h.user(z)
		h.want(u, v1alpha1.ReadyCondition, metav1.ConditionTrue, v1alpha1.ReasonSucceeded)
		if n := len(h.tokens(name)); n != 1 {
			t.Errorf("user %s has %d tokens", name, n)
		}
	}
}

// Those that are looked at at the same time, and have not acted yet, do not both act.
func TestOneOfManyActs(t *testing.T) {
	h := newHarness(t)
	h.ready("acme")
	for round := range 3 {
		const many = 4
		var all sync.WaitGroup
		for i := range many {
			name := fmt.Sprintf("user-%d-%d", round, i)
			h.makeUser(name, func(u *v1alpha1.RegistryUser) {
				u.Spec.Name, u.Spec.Tokens[0].SecretName = fmt.Sprint("ci-", round), name
			})
			all.Go(func() {
				if _, err := h.users.Reconcile(t.Context(), ctrl.Request{NamespacedName: h.key(name)}); err != nil {
					t.Errorf("%s: %v", name, err)
				}
			})
		}
		all.Wait()
		acted := 0
		for i := range many {
			if u := get(h, fmt.Sprintf("user-%d-%d", round, i), &v1alpha1.RegistryUser{}); len(u.Finalizers) > 0 {
				acted++
				h.want(u, v1alpha1.ReadyCondition, metav1.ConditionTrue, v1alpha1.ReasonSucceeded)
				if u.Finalizers[0] != names.UserFinalizer {
					t.Errorf("%s has finalizers %q", u.Name, u.Finalizers)
				}
			} else {
				h.want(u, v1alpha1.StalledCondition, metav1.ConditionTrue, v1alpha1.ReasonUserNameTaken)
			}
		}
		if n := len(h.tokens(fmt.Sprint("ci-", round))); acted != 1 || n != 1 {
			t.Errorf("%d RegistryUsers act for one user, who has %d tokens", acted, n)
		}
	}
}

// What the registry has under another spelling is in the way until somebody does something, and the conditions follow the trouble of the day.
func TestNameInAnotherSpelling(t *testing.T) {
	h := newHarness(t)
	h.ready("acme")
	h.makeUser("lower", func(u *v1alpha1.RegistryUser) { u.Spec.Name = "robot" })
	h.user("lower")
	h.makeUser("upper", func(u *v1alpha1.RegistryUser) { u.Spec.Name, u.Spec.Tokens[0].SecretName = "Robot", "upper" })
	u, _ := h.user("upper")
	h.wantContains(h.want(u, v1alpha1.StalledCondition, metav1.ConditionTrue, v1alpha1.ReasonUserNameTaken), "differs from it in case only")
	h.want(u, v1alpha1.UserReadyCondition, metav1.ConditionFalse, v1alpha1.ReasonUserNameTaken)
}
