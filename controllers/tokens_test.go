package controllers_test

import (
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/crateyard/crateyard/api/v1alpha1"
	"github.com/crateyard/crateyard/registry/wire"
)

func TestTokenRotates(t *testing.T) {
	h := newHarness(t)
	h.ready("acme")
	h.makeUser("ci", nil)
	h.user("ci")
	first := string(h.secret("ci-cargo").Data["token"])

	h.now = h.now.Add((2160 - 168) * time.Hour).Add(-time.Minute)
	_, result := h.user("ci")
	if string(h.secret("ci-cargo").Data["token"]) != first {
		t.Fatal("rotated too early")
	}
	if result.RequeueAfter > time.Minute {
		t.Errorf("looked at again in %v, after the time to rotate", result.RequeueAfter)
	}
	h.now = h.now.Add(time.Minute)
	u, _ := h.user("ci")
	second := string(h.secret("ci-cargo").Data["token"])
	if second == first {
		t.Fatal("not rotated")
	}
	h.wantSaid("because it is due for rotation")
	if !h.works(first) || !h.works(second) {
		t.Error("both tokens must work during the grace period")
	}
	if r := u.Status.Tokens[0].Retiring; len(r) != 1 || !r[0].RevokedAt.Time.Equal(h.now.Add(24*time.Hour)) {
		t.Errorf("retiring = %+v", r)
	}
	h.now = h.now.Add(24 * time.Hour)
	u, _ = h.user("ci")
	if h.works(first) || !h.works(second) {
		t.Error("after the grace period the old token must be dead, and the new one live")
	}
	if len(u.Status.Tokens[0].Retiring) != 0 {
		t.Errorf("retiring = %+v", u.Status.Tokens[0].Retiring)
	}
}

func TestLostSecretIsMadeAnew(t *testing.T) {
	for name, lose := range map[string]func(h *harness, s *corev1.Secret){
		"deleted": func(h *harness, s *corev1.Secret) { h.must(h.client.Delete(h.Context(), s)) },
		"edited": func(h *harness, s *corev1.Secret) {
			s.Data["token"] = []byte("cy_mine")
			h.must(h.client.Update(h.Context(), s))
		},
		"annotation edited": func(h *harness, s *corev1.Secret) {
			delete(s.Annotations, "crateyard.dev/token-id")
			h.must(h.client.Update(h.Context(), s))
		},
		"dates moved": func(h *harness, s *corev1.Secret) {
			for _, key := range []string{"crateyard.dev/issued-at", "crateyard.dev/expires-at"} {
				at, err := time.Parse(time.RFC3339, s.Annotations[key])
				h.must(err)
				s.Annotations[key] = at.Add(5000 * time.Hour).Format(time.RFC3339)
			}
			h.must(h.client.Update(h.Context(), s))
		},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHarness(t)
			h.ready("acme")
			h.makeUser("ci", nil)
			h.user("ci")
			old := string(h.secret("ci-cargo").Data["token"])
			lose(h, h.secret("ci-cargo"))
			u, _ := h.user("ci")
			h.want(u, v1alpha1.ReadyCondition, metav1.ConditionTrue, v1alpha1.ReasonSucceeded)
			now := string(h.secret("ci-cargo").Data["token"])
			if now == old || !h.works(now) || h.works(old) {
				t.Errorf("new: %t, works: %t; the old one works: %t", now != old, h.works(now), h.works(old))
			}
			h.wantSaid("Revoked token publish")
		})
	}
}

// A Secret that cannot be written is told with what to do, and costs no token at the registry.
func TestImmutableSecret(t *testing.T) {
	h := newHarness(t)
	h.ready("acme")
	h.makeUser("ci", nil)
	h.user("ci")
	s := h.secret("ci-cargo")
	yes := true
	s.Immutable = &yes
	h.must(h.client.Update(t.Context(), s))
	h.changeUser("ci", func(spec *v1alpha1.RegistryUserSpec) { spec.Tokens[0].Scopes = []v1alpha1.Scope{"yank"} })
	u, _ := h.user("ci")
	h.wantContains(h.want(u, v1alpha1.StalledCondition, metav1.ConditionTrue, v1alpha1.ReasonRefused), "Secret ci-cargo is immutable")
	if n := len(h.tokens("ci")); n != 1 {
		t.Errorf("there are %d tokens", n)
	}
	h.must(h.client.Delete(t.Context(), s))
	u, _ = h.user("ci")
	h.want(u, v1alpha1.ReadyCondition, metav1.ConditionTrue, v1alpha1.ReasonSucceeded)
}

// Tokens are seen to while the server answers, whatever else keeps its Registry from being ready.
func TestTokensOfARegistryThatStalls(t *testing.T) {
	h := newHarness(t)
	h.ready("acme")
	h.makeUser("ci", nil)
	h.user("ci")
	old := string(h.secret("ci-cargo").Data["token"])
	h.must(h.client.Create(t.Context(), &networkingv1.Ingress{ObjectMeta: metav1.ObjectMeta{Namespace: h.ns, Name: "acme"},
		Spec: networkingv1.IngressSpec{DefaultBackend: &networkingv1.IngressBackend{Service: &networkingv1.IngressServiceBackend{Name: "x", Port: networkingv1.ServiceBackendPort{Number: 1}}}}}))
	r := get(h, "acme", &v1alpha1.Registry{})
	r.Spec.Ingress = &v1alpha1.IngressSpec{Host: "crates.example.com"}
	h.must(h.client.Update(t.Context(), r))
	r, _ = h.registry("acme")
	h.want(r, v1alpha1.StalledCondition, metav1.ConditionTrue, v1alpha1.ReasonNameTaken)
	h.now = h.now.Add(2159 * time.Hour)
	u, _ := h.user("ci")
	h.want(u, v1alpha1.ReadyCondition, metav1.ConditionTrue, v1alpha1.ReasonSucceeded)
	if now := string(h.secret("ci-cargo").Data["token"]); now == old {
		t.Error("the token was not rotated")
	}
	h.must(h.client.Delete(t.Context(), u))
	if _, err := h.users.Reconcile(t.Context(), ctrl.Request{NamespacedName: h.key("ci")}); err != nil {
		t.Error(err)
	}
	if err := h.client.Get(t.Context(), h.key("ci"), &v1alpha1.RegistryUser{}); !apierrors.IsNotFound(err) {
		t.Errorf("the RegistryUser waits: %v", err)
	}
}

func TestEditedConfigIsRepairedWithTheSameToken(t *testing.T) {
	h := newHarness(t)
	h.ready("acme")
	h.makeUser("ci", nil)
	h.user("ci")
	s := h.secret("ci-cargo")
	s.Data["config.toml"] = []byte("# mine")
	h.must(h.client.Update(t.Context(), s))
	h.user("ci")
	now := h.secret("ci-cargo")
	if string(now.Data["token"]) != string(s.Data["token"]) || string(now.Data["config.toml"]) == "# mine" {
		t.Errorf("config.toml = %q", now.Data["config.toml"])
	}
}

func TestRevokedAtRegistryIsMadeAnew(t *testing.T) {
	h := newHarness(t)
	h.ready("acme")
	h.makeUser("ci", nil)
	u, _ := h.user("ci")
	h.must(h.admin("acme").DeleteToken(t.Context(), u.Status.Tokens[0].ID))
	h.user("ci")
	h.wantSaid("the registry does not know it any more")
	if !h.works(string(h.secret("ci-cargo").Data["token"])) {
		t.Error("the token in the Secret does not work")
	}
}

func TestScopesChange(t *testing.T) {
	h := newHarness(t)
	h.ready("acme")
	h.makeUser("ci", nil)
	h.user("ci")
	first := string(h.secret("ci-cargo").Data["token"])
	h.changeUser("ci", func(s *v1alpha1.RegistryUserSpec) { s.Tokens[0].Scopes = append(s.Tokens[0].Scopes, "yank") })
	h.user("ci")
	second := string(h.secret("ci-cargo").Data["token"])
	if first == second || !h.works(first) {
		t.Error("wider scopes need a new token, and leave the old one its grace period")
	}
	h.changeUser("ci", func(s *v1alpha1.RegistryUserSpec) { s.Tokens[0].Scopes = []v1alpha1.Scope{"publish-update"} })
	h.user("ci")
	if h.works(first) || h.works(second) || !h.works(string(h.secret("ci-cargo").Data["token"])) {
		t.Error("narrower scopes must end wider tokens at once")
	}
}

func TestTokenRemovedAndRenamed(t *testing.T) {
	h := newHarness(t)
	h.ready("acme")
	h.makeUser("ci", func(u *v1alpha1.RegistryUser) {
		u.Spec.Tokens = append(u.Spec.Tokens, v1alpha1.TokenSpec{Name: "other"})
	})
	h.user("ci")
	other, moves := string(h.secret("ci-other").Data["token"]), string(h.secret("ci-cargo").Data["token"])
	byHand, err := h.admin("acme").CreateToken(t.Context(), wire.CreateToken{User: "ci", Name: "other"})
	h.must(err)
	h.changeUser("ci", func(s *v1alpha1.RegistryUserSpec) { s.Tokens = s.Tokens[:1]; s.Tokens[0].SecretName = "renamed" })
	h.user("ci")
	for _, name := range []string{"ci-other", "ci-cargo"} {
		if err := h.client.Get(t.Context(), h.key(name), &corev1.Secret{}); !apierrors.IsNotFound(err) {
			t.Errorf("Secret %s is still there: %v", name, err)
		}
	}
	if h.works(other) || !h.works(string(h.secret("renamed").Data["token"])) {
		t.Error("the removed token must be dead, the renamed one live")
	}
	if now := string(h.secret("renamed").Data["token"]); now != moves {
		t.Error("with another secretName there is another token: builds that hold the one from before fail")
	}
	if !h.works(byHand.Secret) {
		t.Error("a token that somebody made by hand was revoked")
	}
}

func TestForeignSecretIsNotTouched(t *testing.T) {
	h := newHarness(t)
	h.ready("acme")
	foreign := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: h.ns, Name: "ci-cargo"}, Data: map[string][]byte{"mine": []byte("yes")}}
	h.must(h.client.Create(t.Context(), foreign))
	h.makeUser("ci", nil)
	for range 2 {
		u, _ := h.user("ci")
		c := h.want(u, v1alpha1.StalledCondition, metav1.ConditionTrue, v1alpha1.ReasonNameTaken)
		h.wantContains(c, "Secret ci-cargo exists and does not belong to this RegistryUser; delete or rename it, or name another Secret in spec.tokens[].secretName")
	}
	if s := h.secret("ci-cargo"); len(s.Data) != 1 || len(s.Labels) != 0 {
		t.Errorf("the Secret was changed: %v", s)
	}
	if n := len(h.tokens("ci")); n != 0 {
		t.Errorf("%d tokens were made for a Secret that cannot be written", n)
	}
}

// A RegistryUser that went while its Registry was away could not take its token back; the Registry does when it returns.
func TestOrphanedTokensAreRevoked(t *testing.T) {
	h := newHarness(t)
	h.ready("acme")
	h.makeUser("ci", nil)
	h.user("ci")
	orphan, err := h.admin("acme").CreateToken(t.Context(), wire.CreateToken{User: "admin", Name: "kubernetes/left"})
	h.must(err)
	byHand, err := h.admin("acme").CreateToken(t.Context(), wire.CreateToken{User: "admin", Name: "by hand"})
	h.must(err)
	h.registry("acme")
	h.wantSaid("Revoked token kubernetes/left")
	if token := string(h.secret("ci-cargo").Data["token"]); h.works(orphan.Secret) || !h.works(byHand.Secret) || !h.works(token) {
		t.Errorf("orphan works: %t, by hand: %t, wanted: %t", h.works(orphan.Secret), h.works(byHand.Secret), h.works(token))
	}
}
