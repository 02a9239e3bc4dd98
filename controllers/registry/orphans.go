package registry

import (
	"context"
	"fmt"
	"strings"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/crateyard/crateyard/api/v1alpha1"
	"github.com/crateyard/crateyard/controllers/internal/names"
	api "github.com/crateyard/crateyard/registry/client"
)

// revokeOrphans revokes tokens of the operator's making that no RegistryUser stands for. A RegistryUser that was deleted while
// its Registry was gone could not take them back; without this they would work again as soon as the data does.
func (s *scope) revokeOrphans(ctx context.Context) error {
	if s.facts.server == nil {
		return nil
	}
	users := &v1alpha1.RegistryUserList{}
	if err := s.Client.List(ctx, users, client.InNamespace(s.registry.Namespace)); err != nil {
		return fmt.Errorf("listing RegistryUsers: %w", err)
	}
	wanted := map[string]bool{}
	for i := range users.Items {
		if u := &users.Items[i]; u.Spec.RegistryRef.Name == s.registry.Name {
			wanted[u.UserName()] = true
		}
	}
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
		s.apply.Say(s.registry, "RevokedToken", "Revoked token %s (id %d) of user %s: its RegistryUser is gone", t.Name, t.ID, t.User)
	}
	return nil
}

// client speaks to the Registry's server.
func (s *scope) client() *api.Client {
	return api.New(s.address(), s.facts.adminToken, api.WithVersion(s.Version))
}
