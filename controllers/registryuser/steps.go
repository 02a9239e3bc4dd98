package registryuser

import (
	"context"
	"errors"
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"

	"github.com/crateyard/crateyard/api/v1alpha1"
	"github.com/crateyard/crateyard/controllers/internal/names"
	"github.com/crateyard/crateyard/controllers/internal/outcome"
	"github.com/crateyard/crateyard/controllers/internal/watch"
	"github.com/crateyard/crateyard/controllers/registry"
	api "github.com/crateyard/crateyard/registry/client"
	"github.com/crateyard/crateyard/registry/wire"
)

// reservedName is the user that every registry has by itself.
const reservedName = "admin"

// validate stands behind the schema, and checks what it cannot: names that come of two fields.
func (s *scope) validate(context.Context) error {
	if s.user.UserName() == reservedName {
		return outcome.Stall(v1alpha1.ReasonUserNameReserved, "the user name %s belongs to the registry's own administrator; set spec.name, or make this RegistryUser under another name", reservedName)
	}
	secrets := map[string]string{}
	for _, t := range s.user.Spec.Tokens {
		name := s.user.SecretFor(t)
		if other, ok := secrets[name]; ok {
			return outcome.Stall(v1alpha1.ReasonInvalidSpec, "tokens %s and %s would both lie in Secret %s; give one of them another secretName", other, t.Name, name)
		}
		if len(name) > 253 {
			return outcome.Stall(v1alpha1.ReasonInvalidSpec, "the Secret of token %s would have a name longer than 253 characters; set its secretName", t.Name)
		}
		secrets[name] = t.Name
		if _, err := parseLifetime(t); err != nil {
			return outcome.Stall(v1alpha1.ReasonInvalidSpec, "token %s: %v", t.Name, err)
		}
	}
	return nil
}

// findRegistry finds the Registry and makes a client for it. Neither its absence nor its troubles are tried again in haste:
// a watch tells when they end.
func (s *scope) findRegistry(ctx context.Context) error {
	name := s.user.Spec.RegistryRef.Name
	r := &v1alpha1.Registry{}
	err := s.Client.Get(ctx, client.ObjectKey{Namespace: s.user.Namespace, Name: name}, r)
	if apierrors.IsNotFound(err) {
		return outcome.WaitFor(0, v1alpha1.ReasonRegistryNotFound, "there is no Registry %s in namespace %s; make it, or delete this RegistryUser and make one with another spec.registryRef", name, s.user.Namespace)
	}
	if err != nil {
		return fmt.Errorf("reading Registry %s: %w", name, err)
	}
	s.registry = r
	ready := conditionOf(r, v1alpha1.ReadyCondition)
	switch {
	case r.DeletionTimestamp != nil:
		return outcome.WaitFor(0, v1alpha1.ReasonRegistryNotReady, "Registry %s is being deleted", name)
	case ready == nil:
		return outcome.WaitFor(0, v1alpha1.ReasonRegistryNotReady, "Registry %s is not ready yet", name)
	case ready.Status != "True":
		return outcome.WaitFor(0, v1alpha1.ReasonRegistryNotReady, "Registry %s is not ready: %s", name, ready.Reason)
	}
	return s.connect(ctx)
}

// connect makes a client for the Registry with its admin token.
func (s *scope) connect(ctx context.Context) error {
	secret := &corev1.Secret{}
	key := client.ObjectKey{Namespace: s.user.Namespace, Name: names.AdminSecret(s.registry.Name)}
	err := s.Client.Get(ctx, key, secret)
	if apierrors.IsNotFound(err) {
		return outcome.WaitFor(pollWaiting, v1alpha1.ReasonRegistryNotReady, "Registry %s has no admin Secret yet", s.registry.Name)
	}
	if err != nil {
		return fmt.Errorf("reading Secret %s: %w", key.Name, err)
	}
	address := registry.ServiceAddress
	if s.Address != nil {
		address = s.Address
	}
	token := strings.TrimSpace(string(secret.Data["token"]))
	s.server = api.New(address(s.registry), token, api.WithVersion(s.Version))
	return nil
}

// claimName makes sure that no older RegistryUser stands for the same user, and notes with a finalizer that this one does:
// an object without it never made or changed a user, and leaves none behind.
func (s *scope) claimName(ctx context.Context) error {
	others := &v1alpha1.RegistryUserList{}
	err := s.Client.List(ctx, others, client.InNamespace(s.user.Namespace), client.MatchingFields{watch.UsersByRegistry: s.registry.Name})
	if err != nil {
		return fmt.Errorf("listing RegistryUsers: %w", err)
	}
	for i := range others.Items {
		if o := &others.Items[i]; o.UID != s.user.UID && o.UserName() == s.user.UserName() && older(o, s.user) {
			return outcome.Stall(v1alpha1.ReasonUserNameTaken, "RegistryUser %s already stands for user %s of Registry %s; delete one of the two", o.Name, s.user.UserName(), s.registry.Name)
		}
	}
	s.facts.registryReady = true
	if controllerutil.ContainsFinalizer(s.user, names.UserFinalizer) {
		return nil
	}
	was := s.user.DeepCopy()
	controllerutil.AddFinalizer(s.user, names.UserFinalizer)
	patch := client.MergeFromWithOptions(was, client.MergeFromWithOptimisticLock{})
	if err := s.Client.Patch(ctx, s.user, patch, client.FieldOwner(names.FieldOwner)); err != nil {
		return outcome.FromAPI(err, "adding the finalizer")
	}
	return nil
}

// older reports whether a was made before b; of two that were made in one second, the one whose name sorts first.
func older(a, b *v1alpha1.RegistryUser) bool {
	if !a.CreationTimestamp.Equal(&b.CreationTimestamp) {
		return a.CreationTimestamp.Before(&b.CreationTimestamp)
	}
	return a.Name < b.Name
}

// noteCreated remembers that the user at the registry is this object's own. One that was there before may have crates and
// tokens that somebody made by hand, so it outlives the object.
func (s *scope) noteCreated(ctx context.Context) error {
	was := s.user.DeepCopy()
	metav1.SetMetaDataAnnotation(&s.user.ObjectMeta, names.CreatedUserAnnotation, s.user.UserName())
	return s.Client.Patch(ctx, s.user, client.MergeFrom(was), client.FieldOwner(names.FieldOwner))
}

// finalize takes back what this object made. Where the registry is gone nobody can be asked; should its data come back,
// the Registry revokes tokens that no RegistryUser stands for.
func (s *scope) finalize(ctx context.Context) error {
	if !controllerutil.ContainsFinalizer(s.user, names.UserFinalizer) {
		return nil
	}
	err := s.findRegistry(ctx)
	if wait, ok := outcome.IsWait(err); ok && wait.Reason == v1alpha1.ReasonRegistryNotFound || s.registry != nil && s.registry.DeletionTimestamp != nil {
		return s.release(ctx)
	}
	if err != nil {
		return s.held(err)
	}
	if s.user.Spec.DeletionPolicy == v1alpha1.DeletionRetain || s.user.Annotations[names.CreatedUserAnnotation] == "" {
		err = s.revokeAll(ctx)
	} else {
		var deleted wire.DeletedUser
		if deleted, err = s.server.DeleteUser(ctx, s.user.UserName()); len(deleted.Ownerless) > 0 {
			s.apply.Say(s.user, "OwnerlessCrates", "Deleted user %s; these crates have no owner now, and only an admin can change them: %s",
				s.user.UserName(), strings.Join(deleted.Ownerless, ", "))
		}
	}
	if err != nil && !api.IsNotFound(err) {
		return s.held(fromServer(err, "deleting user "+s.user.UserName()))
	}
	return s.release(ctx)
}

// held says of a deletion that waits for the registry what it waits for, and how to go on without.
func (s *scope) held(err error) error {
	wait, ok := outcome.IsWait(err)
	if !ok {
		return err
	}
	return outcome.WaitFor(wait.After, wait.Reason, "the deletion waits until the tokens of user %s can be revoked: %s. To go on without that, remove the finalizer %s of this RegistryUser: user %s then stays at the registry, and its tokens work until the Registry is ready again",
		s.user.UserName(), wait.Message, names.UserFinalizer, s.user.UserName())
}

func (s *scope) release(ctx context.Context) error {
	was := s.user.DeepCopy()
	controllerutil.RemoveFinalizer(s.user, names.UserFinalizer)
	// Locked, because a merge patch replaces the whole list, and another controller may have added to it.
	patch := client.MergeFromWithOptions(was, client.MergeFromWithOptimisticLock{})
	return client.IgnoreNotFound(s.Client.Patch(ctx, s.user, patch, client.FieldOwner(names.FieldOwner)))
}

// fromServer tells what the registry will refuse again from what trying again may mend.
func fromServer(err error, what string) error {
	e, isAnswer := errors.AsType[*api.Error](err)
	switch {
	case api.IsUnauthorized(err), api.IsForbidden(err):
		return outcome.WaitFor(pollWaiting, v1alpha1.ReasonRegistryNotReady, "the registry does not accept its admin token yet: %s", e.Detail)
	case api.IsInvalid(err):
		return outcome.Stall(v1alpha1.ReasonInvalidSpec, "%s: the registry refuses it: %s", what, e.Detail)
	case isAnswer && e.StatusCode == 503:
		return outcome.WaitFor(pollWaiting, v1alpha1.ReasonRegistryNotReady, "the registry is not available: %s", e.Detail)
	}
	return fmt.Errorf("%s: %w", what, err)
}
