package registry

import (
	"context"
	"fmt"
	"strings"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/crateyard/crateyard/api/v1alpha1"
	"github.com/crateyard/crateyard/controllers/internal/departed"
	"github.com/crateyard/crateyard/controllers/internal/names"
	api "github.com/crateyard/crateyard/registry/client"
)

// removeDeparted removes users whose RegistryUsers went while there was no Registry to ask, and revokes tokens that nobody stands for.
func (s *scope) removeDeparted(ctx context.Context) error {
	if s.facts.server == nil {
		return nil
	}
	wanted, err := s.wantedUsers(ctx)
	if err != nil {
		return err
	}
	if err := s.deleteDeparted(ctx, wanted); err != nil {
		return err
	}
	return s.revokeOrphans(ctx, wanted)
}

// deleteDeparted removes users that are noted as departed. One that a RegistryUser stands for again is left to it.
func (s *scope) deleteDeparted(ctx context.Context, wanted map[string]bool) error {
	if !s.facts.departed {
		return nil
	}
	users, err := departed.Live(ctx, s.Live, s.registry.Namespace, s.registry.Name)
	if err != nil {
		return err
	}
	for _, user := range users {
		if wanted[user] {
			continue
		}
		gone, err := s.client().DeleteUser(ctx, user, true)
		if err != nil && !api.IsNotFound(err) && !api.IsForbidden(err) { // forbidden: a note that somebody edited names the user admin
			return fmt.Errorf("deleting user %s: %w", user, err)
		}
		if err == nil {
			said := fmt.Sprintf("Deleted user %s: its RegistryUser went while this Registry was gone", user)
			if len(gone.Ownerless) > 0 {
				said += "; these crates have no owner now, and only an admin can change them: " + strings.Join(gone.Ownerless, ", ")
			}
			s.apply.Say(s.registry, "DeletedUser", "%s", said)
		}
		if err := departed.Forget(ctx, s.Client, s.Live, s.registry.Namespace, s.registry.Name, user); err != nil {
			return err
		}
	}
	return nil
}

// wantedUsers are the users that RegistryUsers stand for.
func (s *scope) wantedUsers(ctx context.Context) (map[string]bool, error) {
	users := &v1alpha1.RegistryUserList{}
	if err := s.Client.List(ctx, users, client.InNamespace(s.registry.Namespace)); err != nil {
		return nil, fmt.Errorf("listing RegistryUsers: %w", err)
	}
	wanted := map[string]bool{}
	for i := range users.Items {
		if u := &users.Items[i]; u.Spec.RegistryRef.Name == s.registry.Name {
			wanted[u.UserName()] = true
		}
	}
	return wanted, nil
}

// revokeOrphans revokes tokens of the operator's making that no RegistryUser stands for. A RegistryUser that was deleted while
// its Registry was gone could not take them back; without this they would work again as soon as the data does. Whether the user was of the
// RegistryUser's making is known from the note on the admin Secret alone, so one without a note stays, and is told of.
func (s *scope) revokeOrphans(ctx context.Context, wanted map[string]bool) error {
	server := s.client()
	tokens, err := server.Tokens(ctx, "")
	if err != nil {
		return fmt.Errorf("listing tokens: %w", err)
	}
	for _, t := range tokens {
		if !strings.HasPrefix(t.Name, names.TokenPrefix) || wanted[t.User] {
			continue
		}
		if err := server.DeleteToken(ctx, t.ID); err != nil && !api.IsNotFound(err) {
			return fmt.Errorf("revoking token %d: %w", t.ID, err)
		}
		s.apply.Say(s.registry, "RevokedToken", "Revoked token %s (id %d) of user %s: its RegistryUser is gone. The user is still at the registry, with what tokens it has besides; if nobody else uses it, `crateyard user delete %s` removes it",
			t.Name, t.ID, t.User, t.User)
	}
	return nil
}

// client speaks to the Registry's server.
func (s *scope) client() *api.Client {
	return api.New(s.address(), s.facts.adminToken, api.WithVersion(s.Version))
}
