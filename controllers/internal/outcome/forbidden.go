package outcome

import (
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/crateyard/crateyard/api/v1alpha1"
)

// retryForbidden is when to try again what is forbidden: nobody tells of a quota that was raised.
const retryForbidden = 30 * time.Second

// forbidden says who forbids something, and what to do about it.
func forbidden(err error, what string) error {
	switch {
	case apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause):
		return WaitFor(retryForbidden, v1alpha1.ReasonProgressing, "%s: its namespace is being deleted", what)
	case IsQuota(err.Error()):
		return WaitFor(retryForbidden, v1alpha1.ReasonQuotaExceeded, "%s: a quota of the namespace does not allow it; raise the quota, free what it counts, or ask for less (`kubectl describe quota`): %v", what, err)
	}
	return WaitFor(retryForbidden, v1alpha1.ReasonForbidden, "%s: the API server forbids it; change the policy that it names or, where it names the operator, give that the roles of its version: %v", what, err)
}

// IsQuota reports whether the API server said that a quota is in the way.
func IsQuota(said string) bool {
	return strings.Contains(said, "exceeded quota") || strings.Contains(said, "failed quota")
}
