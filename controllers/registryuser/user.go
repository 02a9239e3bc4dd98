package registryuser

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/crateyard/crateyard/api/v1alpha1"
	"github.com/crateyard/crateyard/controllers/internal/departed"
	"github.com/crateyard/crateyard/controllers/internal/names"
	"github.com/crateyard/crateyard/controllers/internal/outcome"
	"github.com/crateyard/crateyard/controllers/internal/parent"
	api "github.com/crateyard/crateyard/registry/client"
	"github.com/crateyard/crateyard/registry/wire"
)

// ensureUser makes the user at the registry as the spec says. One that is there already is taken over.
func (s *scope) ensureUser(ctx context.Context) error {
	want := wantedUser(s.user)
	u, err := s.server.User(ctx, want.Name)
	switch {
	case api.IsNotFound(err):
		u, err = s.server.CreateUser(ctx, want)
		if err == nil {
			s.apply.Say(s.user, "CreatedUser", "Created user %s with role %s", want.Name, want.Role)
			err = s.noteCreated(ctx)
		}
	case err == nil:
		u, err = s.updateUser(ctx, u, want)
	}
	if e, ok := errors.AsType[*api.Error](err); ok && api.IsConflict(err) {
		if _, err := s.server.User(ctx, want.Name); err == nil {
			return outcome.WaitFor(time.Second, v1alpha1.ReasonProgressing, "somebody made user %s at the same time", want.Name)
		}
		return outcome.Stall(v1alpha1.ReasonUserNameTaken, "the registry refuses user %s: %s", want.Name, e.Detail)
	}
	if err != nil {
		return parent.FromServer(err, "user "+want.Name)
	}
	// Tokens of such a user could do more than the spec allows, so none are made.
	if ignored(u.Groups, want.Groups) || ignored(u.Claims, want.Claims) {
		return outcome.Stall(v1alpha1.ReasonServerTooOld, "the server of Registry %s is of a version that keeps no groups and claims of users; update it (its spec.image, or the operator), or remove spec.groups and spec.claims", s.registry.Name)
	}
	if err := s.takeBack(ctx); err != nil {
		return err
	}
	s.facts.user = &u
	return nil
}

// takeBack makes the user this object's own where it was an earlier RegistryUser's, which went while the Registry was gone.
func (s *scope) takeBack(ctx context.Context) error {
	secret := &corev1.Secret{}
	err := s.Client.Get(ctx, client.ObjectKey{Namespace: s.user.Namespace, Name: names.AdminSecret(s.registry.Name)}, secret)
	if err != nil || !slices.Contains(departed.Users(secret), s.user.UserName()) {
		return client.IgnoreNotFound(err)
	}
	if s.user.Annotations[names.CreatedUserAnnotation] == "" {
		if err := s.noteCreated(ctx); err != nil {
			return outcome.FromAPI(err, "noting that user %s is this object's own", s.user.UserName())
		}
	}
	return departed.Forget(ctx, s.Client, s.Live, s.user.Namespace, s.registry.Name, s.user.UserName())
}

// updateUser changes what differs, and says what that was.
func (s *scope) updateUser(ctx context.Context, have wire.User, want wire.CreateUser) (wire.User, error) {
	change, said := difference(have, want)
	if len(said) == 0 {
		return have, nil
	}
	u, err := s.server.UpdateUser(ctx, want.Name, change)
	if err == nil && !ignored(u.Groups, want.Groups) && !ignored(u.Claims, want.Claims) {
		s.apply.Say(s.user, "UpdatedUser", "Updated user %s: %s", want.Name, strings.Join(said, ", "))
	}
	return u, err
}

// wantedUser is the user that a RegistryUser asks for.
func wantedUser(u *v1alpha1.RegistryUser) wire.CreateUser {
	return wire.CreateUser{
		Name: u.UserName(), Role: strings.ToLower(string(u.Spec.Role)), Suspended: u.Spec.Access == v1alpha1.AccessSuspended,
		Groups: plain(u.Spec.Groups), Claims: plain(u.Spec.Claims),
	}
}

// difference gives the change that makes have what is wanted, and its parts in words.
func difference(have wire.User, want wire.CreateUser) (change wire.UpdateUser, said []string) {
	say := func(what string, was, is any) { said = append(said, fmt.Sprintf("%s %v → %v", what, was, is)) }
	if have.Role != want.Role {
		change.Role = &want.Role
		say("role", have.Role, want.Role)
	}
	if have.Suspended != want.Suspended {
		change.Suspended = &want.Suspended
		say("suspended", have.Suspended, want.Suspended)
	}
	if !sameSet(have.Groups, want.Groups) {
		change.Groups = whole(want.Groups)
		say("groups", have.Groups, want.Groups)
	}
	if !sameSet(have.Claims, want.Claims) {
		change.Claims = whole(want.Claims)
		say("claims", have.Claims, want.Claims)
	}
	return change, said
}

// whole is a list to be set as a whole; an empty one is sent as such, and not left out.
func whole(list []string) *[]string {
	list = append([]string{}, list...)
	return &list
}

// ignored reports whether a server keeps nothing of a list that it was given.
func ignored(kept, given []string) bool {
	return !slices.ContainsFunc(given, func(g string) bool { return slices.Contains(kept, g) }) && len(given) > 0
}
