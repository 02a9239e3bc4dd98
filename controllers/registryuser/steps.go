package registryuser

import (
	"context"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"

	"github.com/crateyard/crateyard/api/v1alpha1"
	"github.com/crateyard/crateyard/controllers/internal/departed"
	"github.com/crateyard/crateyard/controllers/internal/names"
	"github.com/crateyard/crateyard/controllers/internal/outcome"
	"github.com/crateyard/crateyard/controllers/internal/parent"
	"github.com/crateyard/crateyard/controllers/internal/watch"
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

// findRegistry finds the Registry and makes a client for it.
func (s *scope) findRegistry(ctx context.Context) (err error) {
	find := parent.Finder{Client: s.Client, Version: s.Version, Address: s.Address}
	s.registry, s.server, err = find.Find(ctx, "RegistryUser", s.user.Namespace, s.user.Spec.RegistryRef.Name)
	return err
}

// claimName makes sure that no other RegistryUser stands for the same user, and notes with a finalizer that this one does:
// an object without it never made or changed a user, and leaves none behind.
func (s *scope) claimName(ctx context.Context) error {
	other, err := s.claims.Claim(ctx, s.user, parent.Name{
		Cache: s.Client, Live: s.Live, Finalizer: names.UserFinalizer,
		All: &v1alpha1.RegistryUserList{}, Cached: client.MatchingFields{watch.UsersByRegistry: s.registry.Name},
		Same: func(o client.Object) bool {
			other, ok := o.(*v1alpha1.RegistryUser)
			return ok && other.UserName() == s.user.UserName() && other.Spec.RegistryRef.Name == s.registry.Name
		},
	})
	if err != nil {
		return err
	}
	if other != nil {
		return outcome.Stall(v1alpha1.ReasonUserNameTaken, "RegistryUser %s already stands for user %s of Registry %s; delete one of the two", other.GetName(), s.user.UserName(), s.registry.Name)
	}
	s.facts.registryReady = true
	return nil
}

// noteCreated remembers that the user at the registry is this object's own. One that was there before may have crates and
// tokens that somebody made by hand, so it outlives the object.
func (s *scope) noteCreated(ctx context.Context) error {
	was := s.user.DeepCopy()
	metav1.SetMetaDataAnnotation(&s.user.ObjectMeta, names.CreatedUserAnnotation, s.user.UserName())
	return s.Client.Patch(ctx, s.user, client.MergeFrom(was), client.FieldOwner(names.FieldOwner))
}

// userGoes reports whether the user at the registry goes with this object.
func (s *scope) userGoes() bool {
	return s.user.UserName() != reservedName && s.user.Spec.DeletionPolicy != v1alpha1.DeletionRetain && s.user.Annotations[names.CreatedUserAnnotation] != ""
}

// finalize takes back what this object made. Where the registry is gone nobody can be asked; should its data come back,
// the Registry removes users that are noted as departed, and revokes tokens that no RegistryUser stands for.
func (s *scope) finalize(ctx context.Context) error {
	if !controllerutil.ContainsFinalizer(s.user, names.UserFinalizer) {
		return nil
	}
	err := s.findRegistry(ctx)
	if parent.Gone(s.registry, err) {
		if s.userGoes() {
			if err := departed.Add(ctx, s.Client, s.Live, s.user.Namespace, s.user.Spec.RegistryRef.Name, s.user.UserName()); err != nil {
				return err
			}
		}
		return s.release(ctx)
	}
	if err != nil {
		return s.held(err)
	}
	if !s.userGoes() {
		err = s.revokeAll(ctx)
	} else {
		var deleted wire.DeletedUser
		if deleted, err = s.server.DeleteUser(ctx, s.user.UserName(), true); len(deleted.Ownerless) > 0 {
			s.apply.Say(s.user, "OwnerlessCrates", "Deleted user %s; these crates have no owner now, and only an admin can change them: %s",
				s.user.UserName(), strings.Join(deleted.Ownerless, ", "))
		}
	}
	if err != nil && !api.IsNotFound(err) {
		return s.held(parent.FromServer(err, "deleting user "+s.user.UserName()))
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
