package outcome

import (
	"errors"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/crateyard/crateyard/api/v1alpha1"
)

func TestFromAPI(t *testing.T) {
	secrets := schema.GroupResource{Resource: "secrets"}
	deny := func(why string) *apierrors.StatusError { return apierrors.NewForbidden(secrets, "a", errors.New(why)) }
	ending := deny("unable to create new content in namespace x because it is being terminated")
	ending.ErrStatus.Details.Causes = append(ending.ErrStatus.Details.Causes, metav1.StatusCause{Type: corev1.NamespaceTerminatingCause})
	for name, tt := range map[string]struct {
		err     error
		reason  string // of a Wait or a Stalled; empty: neither
		stalls  bool
		message string
	}{
		"quota":               {deny("exceeded quota: q, requested: secrets=1, used: secrets=5, limited: secrets=5"), v1alpha1.ReasonQuotaExceeded, false, "applying Secret a: a quota of the namespace does not allow it; raise the quota, free what it counts, or ask for less (`kubectl describe quota`): secrets"},
		"quota of limits":     {deny("failed quota: q: must specify limits.cpu"), v1alpha1.ReasonQuotaExceeded, false, "must specify limits.cpu"},
		"policy":              {deny("ValidatingAdmissionPolicy 'p' denied the request"), v1alpha1.ReasonForbidden, false, "change the policy that it names"},
		"right":               {deny(`User "system:serviceaccount:a:b" cannot patch resource "secrets"`), v1alpha1.ReasonForbidden, false, "give that the roles of its version"},
		"namespace that ends": {ending, v1alpha1.ReasonProgressing, false, "its namespace is being deleted"},
		"invalid":             {apierrors.NewBadRequest("no"), v1alpha1.ReasonRefused, true, "the API server refuses it: no"},
		"conflict":            {apierrors.NewConflict(secrets, "a", errors.New("x")), v1alpha1.ReasonProgressing, false, "it changed meanwhile"},
		"any other":           {apierrors.NewInternalError(errors.New("etcd")), "", false, "applying Secret a: Internal error"},
	} {
		t.Run(name, func(t *testing.T) {
			err := FromAPI(tt.err, "applying %s", "Secret a")
			var reason string
			stalled, stalls := IsStalled(err)
			if wait, ok := IsWait(err); ok {
				if reason = wait.Reason; wait.After <= 0 {
					t.Error("nobody tells when that changes, and it is not looked at again")
				}
			}
			if stalls {
				reason = stalled.Reason
			}
			if reason != tt.reason || stalls != tt.stalls || !strings.Contains(err.Error(), tt.message) {
				t.Errorf("reason %q, stalls %t, %q; want %q, %t, %q", reason, stalls, err, tt.reason, tt.stalls, tt.message)
			}
		})
	}
	if FromAPI(nil, "x") != nil {
		t.Error("nil is no error")
	}
}
