package registryuser

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/crateyard/crateyard/api/v1alpha1"
	"github.com/crateyard/crateyard/controllers/internal/names"
	"github.com/crateyard/crateyard/controllers/internal/outcome"
	"github.com/crateyard/crateyard/controllers/internal/parent"
	api "github.com/crateyard/crateyard/registry/client"
	"github.com/crateyard/crateyard/registry/wire"
)

// ensureTokens makes every token of the spec valid and lie in its Secret, and revokes those that are in the spec no more.
func (s *scope) ensureTokens(ctx context.Context) error {
	all, err := s.server.Tokens(ctx, s.user.UserName())
	if err != nil {
		return parent.FromServer(err, "listing tokens")
	}
	for _, t := range all {
		name, ours := strings.CutPrefix(t.Name, names.TokenPrefix)
		if ours && !slices.ContainsFunc(s.user.Spec.Tokens, func(spec v1alpha1.TokenSpec) bool { return spec.Name == name }) {
			if err := s.revoke(ctx, t.ID, name, "it is not in the spec any more"); err != nil {
				return err
			}
		}
	}
	for _, spec := range s.user.Spec.Tokens {
		listed := slices.DeleteFunc(slices.Clone(all), func(t wire.Token) bool { return t.Name != names.TokenPrefix+spec.Name })
		if err := s.ensureToken(ctx, spec, listed); err != nil {
			return fmt.Errorf("token %s: %w", spec.Name, err)
		}
	}
	s.facts.tokensReady = true
	return nil
}

func (s *scope) ensureToken(ctx context.Context, spec v1alpha1.TokenSpec, listed []wire.Token) error {
	life, err := parseLifetime(spec)
	if err != nil {
		return err // validate has seen it
	}
	// Read from the API server: a Secret from the cache may be older than our last rotation, and the token in it revoked.
	secret, err := s.liveSecret(ctx, s.user.SecretFor(spec))
	if err != nil {
		return err
	}
	if secret == nil {
		if secret, err = s.formerSecret(ctx, spec); err != nil {
			return err
		}
	}
	in := input{spec: spec, life: life, secret: secret, listed: listed, now: s.now()}
	d := decide(in)
	immutable := secret != nil && secret.Name == s.user.SecretFor(spec) && secret.Immutable != nil && *secret.Immutable
	if d.issue != "" && immutable { // before a token is made that could lie nowhere
		return outcome.Stall(v1alpha1.ReasonRefused, "Secret %s is immutable, and a new token is due, because %s: delete the Secret, and one is made with the new token", secret.Name, d.issue)
	}
	if d.issue != "" {
		d, err = s.issue(ctx, in, d)
	} else {
		err = s.writeSecret(ctx, spec, d.held) // the registry's address may have changed
	}
	if _, refused := outcome.IsStalled(err); refused && immutable {
		return outcome.Stall(v1alpha1.ReasonRefused, "Secret %s is immutable and not as it should be: delete it, and it is made anew", secret.Name)
	}
	if err != nil {
		return err
	}
	for _, id := range d.revoke {
		if err := s.revoke(ctx, id, spec.Name, "a new one took its place"); err != nil {
			return err
		}
	}
	s.facts.addToken(s.user.SecretFor(spec), spec, d)
	return nil
}

// issue makes a new token and puts it into the Secret; then it decides again, now about the old ones.
func (s *scope) issue(ctx context.Context, in input, why decision) (decision, error) {
	body := wire.CreateToken{User: s.user.UserName(), Name: names.TokenPrefix + in.spec.Name, Scopes: plain(in.spec.Scopes), Crates: plain(in.spec.Crates)}
	h := held{issuedAt: in.now.UTC().Truncate(time.Second)}
	if in.life.expiresAfter > 0 {
		h.expiresAt = h.issuedAt.Add(in.life.expiresAfter)
		body.ExpiresAt = &h.expiresAt
	}
	t, err := s.server.CreateToken(ctx, body)
	if err != nil {
		return why, parent.FromServer(err, "creating token "+in.spec.Name)
	}
	h.id, h.token, h.createdAt = t.ID, t.Secret, t.CreatedAt
	if err := s.writeSecret(ctx, in.spec, h); err != nil {
		_ = s.server.DeleteToken(ctx, t.ID) // nobody has it; if this fails, too, the next reconcile finds it
		return why, err
	}
	first := len(in.listed) == 0 && in.secret == nil
	if first {
		s.apply.Say(s.user, "IssuedToken", "Issued token %s into Secret %s", in.spec.Name, s.user.SecretFor(in.spec))
	} else {
		s.apply.Say(s.user, "RotatedToken", "Issued token %s anew into Secret %s, because %s", in.spec.Name, s.user.SecretFor(in.spec), why.issue)
	}
	d := decision{held: h}
	if !h.expiresAt.IsZero() {
		d.rotates = h.expiresAt.Add(-in.life.rotateBefore)
	}
	in.listed = slices.DeleteFunc(slices.Clone(in.listed), func(old wire.Token) bool { return old.ID == h.id })
	if why.lost {
		for _, old := range in.listed {
			d.revoke = append(d.revoke, old.ID)
		}
		return d, nil
	}
	retireOthers(&d, in)
	return d, nil
}

// revoke ends a token. One that is gone already is as good.
func (s *scope) revoke(ctx context.Context, id int64, name, why string) error {
	err := s.server.DeleteToken(ctx, id)
	if api.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return parent.FromServer(err, "revoking token "+name)
	}
	s.apply.Say(s.user, "RevokedToken", "Revoked token %s (id %d): %s", name, id, why)
	return nil
}

// revokeAll revokes all tokens that were made for this object.
func (s *scope) revokeAll(ctx context.Context) error {
	all, err := s.server.Tokens(ctx, s.user.UserName())
	if err != nil {
		return err
	}
	for _, t := range all {
		if name, ours := strings.CutPrefix(t.Name, names.TokenPrefix); ours {
			if err := s.revoke(ctx, t.ID, name, "its RegistryUser is deleted"); err != nil {
				return err
			}
		}
	}
	return nil
}

// liveSecret reads a Secret that may be touched; nil when there is none.
func (s *scope) liveSecret(ctx context.Context, name string) (*corev1.Secret, error) {
	secret := &corev1.Secret{}
	err := s.Live.Get(ctx, client.ObjectKey{Namespace: s.user.Namespace, Name: name}, secret)
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading Secret %s: %w", name, err)
	}
	return secret, s.owner.Check(secret, "Secret "+name)
}

// formerSecret gives the Secret that a token lay in before the spec named another, so that the token moves and builds that hold it go on; nil when there is
// none of ours.
func (s *scope) formerSecret(ctx context.Context, spec v1alpha1.TokenSpec) (*corev1.Secret, error) {
	i := slices.IndexFunc(s.user.Status.Tokens, func(t v1alpha1.TokenStatus) bool { return t.Name == spec.Name })
	if i < 0 || s.user.Status.Tokens[i].SecretName == s.user.SecretFor(spec) {
		return nil, nil
	}
	secret := &corev1.Secret{}
	key := client.ObjectKey{Namespace: s.user.Namespace, Name: s.user.Status.Tokens[i].SecretName}
	if err := s.Live.Get(ctx, key, secret); err != nil {
		return nil, client.IgnoreNotFound(err)
	}
	if !metav1.IsControlledBy(secret, s.user) || secret.Labels[names.TokenLabel] != spec.Name || secret.DeletionTimestamp != nil {
		return nil, nil
	}
	return secret, nil
}

func (s *scope) writeSecret(ctx context.Context, spec v1alpha1.TokenSpec, h held) error {
	u, err := buildSecret(s.user, s.registry, spec, h)
	if err != nil {
		return err
	}
	_, err = s.apply.Apply(ctx, s.owner, u)
	return err
}

// dropOtherSecrets deletes Secrets of tokens that are in the spec no more, or have another Secret now.
func (s *scope) dropOtherSecrets(ctx context.Context) error {
	list := &corev1.SecretList{}
	err := s.Client.List(ctx, list, client.InNamespace(s.user.Namespace), client.MatchingLabels{names.UserLabel: s.user.Name})
	if err != nil {
		return fmt.Errorf("listing Secrets: %w", err)
	}
	wanted := map[string]bool{}
	for _, t := range s.user.Spec.Tokens {
		wanted[s.user.SecretFor(t)] = true
	}
	for i := range list.Items {
		secret := &list.Items[i]
		if wanted[secret.Name] || !metav1.IsControlledBy(secret, s.user) || secret.DeletionTimestamp != nil {
			continue
		}
		if err := s.apply.Delete(ctx, s.owner, secret, "Secret "+secret.Name); err != nil {
			return err
		}
	}
	return nil
}

func formatID(id int64) string { return strconv.FormatInt(id, 10) }
