// Package parent holds what the kinds that belong to a Registry share: finding it, speaking to its server, telling what its answers
// mean, and hearing of its changes. A Registry is in the namespace of what belongs to it, and nowhere else.
package parent

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/crateyard/crateyard/api/v1alpha1"
	"github.com/crateyard/crateyard/controllers/internal/conditions"
	"github.com/crateyard/crateyard/controllers/internal/names"
	"github.com/crateyard/crateyard/controllers/internal/outcome"
	"github.com/crateyard/crateyard/controllers/registry"
	api "github.com/crateyard/crateyard/registry/client"
)

// pollWaiting is when a registry that restarts is asked again.
const pollWaiting = 10 * time.Second

// Finder finds Registries and their servers.
type Finder struct {
	Client  client.Client // reads from the cache
	Version string        // of the operator, for the User-Agent
	// Address gives where the operator reaches a Registry's server. Nil: its Service.
	Address func(*v1alpha1.Registry) string
}

// Find finds the Registry of a child of some kind, and gives a client for its server. The Registry comes back beside an error, too, where there
// is one. Neither its absence nor its troubles are tried again in haste: a watch tells when they end.
func (f Finder) Find(ctx context.Context, kind, namespace, name string) (*v1alpha1.Registry, *api.Client, error) {
	r := &v1alpha1.Registry{}
	err := f.Client.Get(ctx, client.ObjectKey{Namespace: namespace, Name: name}, r)
	if apierrors.IsNotFound(err) {
		return nil, nil, outcome.WaitFor(0, v1alpha1.ReasonRegistryNotFound, "there is no Registry %s in namespace %s; make it, or delete this %s and make one with another spec.registryRef", name, namespace, kind)
	}
	if err != nil {
		return nil, nil, fmt.Errorf("reading Registry %s: %w", name, err)
	}
	ready := meta.FindStatusCondition(r.Status.Conditions, v1alpha1.ReadyCondition)
	answers := meta.IsStatusConditionTrue(r.Status.Conditions, v1alpha1.ServerReachableCondition)
	switch {
	case r.DeletionTimestamp != nil:
		return r, nil, outcome.WaitFor(0, v1alpha1.ReasonRegistryNotReady, "Registry %s is being deleted", name)
	case ready == nil:
		return r, nil, outcome.WaitFor(0, v1alpha1.ReasonRegistryNotReady, "Registry %s is not ready yet", name)
	case ready.Status != metav1.ConditionTrue && !answers: // whatever else the Registry lacks, users and tokens can be seen to
		return r, nil, outcome.WaitFor(0, v1alpha1.ReasonRegistryNotReady, "Registry %s is not ready: %s; `kubectl describe registry %s` says more", name, ready.Reason, name)
	}
	server, err := f.connect(ctx, r)
	return r, server, err
}

// connect makes a client for the Registry with its admin token.
func (f Finder) connect(ctx context.Context, r *v1alpha1.Registry) (*api.Client, error) {
	secret := &corev1.Secret{}
	key := client.ObjectKey{Namespace: r.Namespace, Name: names.AdminSecret(r.Name)}
	err := f.Client.Get(ctx, key, secret)
	if apierrors.IsNotFound(err) {
		return nil, outcome.WaitFor(pollWaiting, v1alpha1.ReasonRegistryNotReady, "Registry %s has no admin Secret yet", r.Name)
	}
	if err != nil {
		return nil, fmt.Errorf("reading Secret %s: %w", key.Name, err)
	}
	address := registry.ServiceAddress
	if f.Address != nil {
		address = f.Address
	}
	return api.New(address(r), strings.TrimSpace(string(secret.Data["token"])), api.WithVersion(f.Version)), nil
}

// Gone reports whether there is no Registry that could be asked, now or later: found and err are what Find gave.
func Gone(found *v1alpha1.Registry, err error) bool {
	wait, ok := outcome.IsWait(err)
	return ok && wait.Reason == v1alpha1.ReasonRegistryNotFound || found != nil && found.DeletionTimestamp != nil
}

// FromServer tells what the registry will refuse again from what trying again may mend.
func FromServer(err error, what string) error {
	e, isAnswer := errors.AsType[*api.Error](err)
	switch {
	case api.IsUnauthorized(err), api.IsForbidden(err):
		return outcome.WaitFor(pollWaiting, v1alpha1.ReasonRegistryNotReady, "the registry does not accept the token in its admin Secret yet; if it stays so, `kubectl describe registry` says why")
	case api.IsInvalid(err):
		return outcome.Stall(v1alpha1.ReasonInvalidSpec, "%s: the registry refuses it: %s", what, e.Detail)
	case isAnswer && e.StatusCode == http.StatusServiceUnavailable:
		return outcome.WaitFor(pollWaiting, v1alpha1.ReasonRegistryNotReady, "the registry is not available: %s", e.Detail)
	}
	return fmt.Errorf("%s: %w", what, err)
}

// Ready gives the condition RegistryReady of a child. ready says that the steps got past finding the Registry and the child's own name at it; was is the
// condition from before, nil when there is none.
func Ready(name string, ready bool, err error, was *metav1.Condition) metav1.Condition {
	const typ = v1alpha1.RegistryReadyCondition
	wait, waiting := outcome.IsWait(err)
	switch {
	case waiting && (wait.Reason == v1alpha1.ReasonRegistryNotFound || wait.Reason == v1alpha1.ReasonRegistryNotReady):
		return conditions.False(typ, wait.Reason, wait.Message)
	case ready:
		return conditions.True(typ, v1alpha1.ReasonRegistryReady, fmt.Sprintf("Registry %s answers", name))
	case was != nil:
		return *was
	}
	return conditions.Unknown(typ, v1alpha1.ReasonUnknown, "not looked at yet")
}
