package controllers_test

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/crateyard/crateyard/api/v1alpha1"
	"github.com/crateyard/crateyard/registry/client"
	"github.com/crateyard/crateyard/registry/wire"
)

// ciToken is a token of ninety days that is rotated in the last week.
func ciToken() v1alpha1.TokenSpec {
	return v1alpha1.TokenSpec{Name: "publish", Scopes: []v1alpha1.Scope{"publish-new", "publish-update"}, ExpiresAfter: "2160h", SecretName: "ci-cargo"}
}

func (h *harness) makeUser(name string, change func(*v1alpha1.RegistryUser)) {
	h.Helper()
	u := &v1alpha1.RegistryUser{ObjectMeta: metav1.ObjectMeta{Namespace: h.ns, Name: name}, Spec: v1alpha1.RegistryUserSpec{
		RegistryRef: v1alpha1.LocalReference{Name: "acme"}, Tokens: []v1alpha1.TokenSpec{ciToken()},
	}}
	if change != nil {
		change(u)
	}
	h.must(h.client.Create(h.Context(), u))
}

// changeUser updates a RegistryUser's spec.
func (h *harness) changeUser(name string, change func(*v1alpha1.RegistryUserSpec)) {
	h.Helper()
	u := get(h, name, &v1alpha1.RegistryUser{})
	change(&u.Spec)
	h.must(h.client.Update(h.Context(), u))
}

func (h *harness) secret(name string) *corev1.Secret { return get(h, name, &corev1.Secret{}) }

// works reports whether the registry takes a token. Any answer but 401 means that it knows it.
func (h *harness) works(token string) bool {
	h.Helper()
	_, err := client.New(h.urls["acme"], token).Status(h.Context())
	if err != nil && !client.IsForbidden(err) && !client.IsUnauthorized(err) {
		h.Fatalf("asking with the token: %v", err)
	}
	return !client.IsUnauthorized(err)
}

func (h *harness) tokens(user string) []wire.Token {
	h.Helper()
	list, err := h.admin("acme").Tokens(h.Context(), user)
	h.must(err)
	return list
}

func TestUserGetsToken(t *testing.T) {
	h := newHarness(t)
	h.ready("acme")
	h.makeUser("ci", nil)
	u, result := h.user("ci")
	h.want(u, v1alpha1.ReadyCondition, metav1.ConditionTrue, v1alpha1.ReasonSucceeded)
	h.want(u, v1alpha1.TokensReadyCondition, metav1.ConditionTrue, v1alpha1.ReasonTokensIssued)
	if result.RequeueAfter <= 0 || result.RequeueAfter > 6*time.Minute {
		t.Errorf("looked at again in %v", result.RequeueAfter)
	}
	s := h.secret("ci-cargo")
	token := string(s.Data["token"])
	for key, want := range map[string]string{
		"config.toml": "index = \"sparse+http://acme." + h.ns + ".svc/index/\"", "credentials.toml": token,
		"name": "acme", "index": "sparse+http://acme." + h.ns + ".svc/index/", "token": "cy_",
	} {
		if !strings.Contains(string(s.Data[key]), want) {
			t.Errorf("Secret key %s does not hold %s", key, want)
		}
	}
	if !h.works(token) {
		t.Error("the registry refuses the token")
	}
	got := h.tokens("ci")
	if len(got) != 1 || !slices.Equal(got[0].Scopes, []string{"publish-new", "publish-update"}) || got[0].ID != u.Status.Tokens[0].ID {
		t.Errorf("tokens = %+v, status = %+v", got, u.Status.Tokens)
	}
	if want := h.now.Add(2160 * time.Hour); !u.Status.Tokens[0].ExpiresAt.Time.Equal(want) || !u.Status.Tokens[0].RotatesAt.Time.Equal(want.Add(-168*time.Hour)) {
		t.Errorf("status = %+v", u.Status.Tokens[0])
	}
	if !slices.Equal(u.Status.SecretNames, []string{"ci-cargo"}) {
		t.Errorf("secretNames = %q", u.Status.SecretNames)
	}
	if said := h.said(); strings.Contains(said, token) || !strings.Contains(said, "Issued token publish into Secret ci-cargo") {
		t.Errorf("events:\n%s", said)
	}

	before := h.writes.Load()
	for range 3 {
		h.user("ci")
	}
	if n := h.writes.Load() - before; n != 0 {
		t.Errorf("reconciling a user that is as it should be wrote %d times", n)
	}
}

func TestUserWaitsForRegistry(t *testing.T) {
	h := newHarness(t)
	h.makeUser("ci", nil)
	u, result := h.user("ci")
	c := h.want(u, v1alpha1.RegistryReadyCondition, metav1.ConditionFalse, v1alpha1.ReasonRegistryNotFound)
	h.wantContains(c, "there is no Registry acme")
	h.want(u, v1alpha1.ReadyCondition, metav1.ConditionFalse, v1alpha1.ReasonRegistryNotFound)
	if result.RequeueAfter != 0 {
		t.Errorf("asks again in %v, and a watch would tell", result.RequeueAfter)
	}
	h.makeRegistry("acme", v1alpha1.RegistrySpec{})
	u, _ = h.user("ci")
	h.want(u, v1alpha1.RegistryReadyCondition, metav1.ConditionFalse, v1alpha1.ReasonRegistryNotReady)
	h.registry("acme")
	h.bindVolume("acme")
	h.runPods("acme")
	h.startServer("acme")
	h.registry("acme")
	u, _ = h.user("ci")
	h.want(u, v1alpha1.ReadyCondition, metav1.ConditionTrue, v1alpha1.ReasonSucceeded)
}

func TestUserRoleAndSuspension(t *testing.T) {
	h := newHarness(t)
	h.ready("acme")
	h.makeUser("ci", nil)
	h.user("ci")
	h.changeUser("ci", func(s *v1alpha1.RegistryUserSpec) { s.Role = v1alpha1.RoleAdmin; s.Access = v1alpha1.AccessSuspended })
	u, _ := h.user("ci")
	h.want(u, v1alpha1.UserReadyCondition, metav1.ConditionTrue, v1alpha1.ReasonUserSuspended)
	h.wantContains(h.want(u, v1alpha1.ReadyCondition, metav1.ConditionTrue, v1alpha1.ReasonSucceeded), "user ci is suspended")
	got, err := h.admin("acme").User(t.Context(), "ci")
	h.must(err)
	if got.Role != "admin" || !got.Suspended {
		t.Errorf("user = %+v", got)
	}
	h.wantSaid("role publisher → admin, suspended false → true")
}

func TestUserGroupsAndClaims(t *testing.T) {
	h := newHarness(t)
	h.ready("acme")
	h.makeUser("ci", func(u *v1alpha1.RegistryUser) {
		u.Spec.Groups = []v1alpha1.GroupName{"storage-team", "builders"}
		u.Spec.Claims = []v1alpha1.CratePattern{"storage-*"}
	})
	holds := func(groups, claims []string) {
		h.Helper()
		u, _ := h.user("ci")
		h.want(u, v1alpha1.ReadyCondition, metav1.ConditionTrue, v1alpha1.ReasonSucceeded)
		got, err := h.admin("acme").User(t.Context(), "ci")
		h.must(err)
		slices.Sort(got.Groups)
		if !slices.Equal(got.Groups, groups) || !slices.Equal(got.Claims, claims) {
			t.Errorf("user = %+v, want groups %v and claims %v", got, groups, claims)
		}
	}
	holds([]string{"builders", "storage-team"}, []string{"storage-*"})
	before := h.writes.Load()
	h.said()
	holds([]string{"builders", "storage-team"}, []string{"storage-*"})
	if said := h.said(); said != "" || h.writes.Load() != before {
		t.Errorf("a user that is as it should be was written, or told of:\n%s", said)
	}

	// Somebody changes the groups at the registry: the spec says exactly which there are.
	_, err := h.admin("acme").UpdateUser(t.Context(), "ci", wire.UpdateUser{Groups: &[]string{"others", "builders"}, Claims: &[]string{}})
	h.must(err)
	holds([]string{"builders", "storage-team"}, []string{"storage-*"})
	h.wantSaid("claims [] → [storage-*]")

	h.changeUser("ci", func(s *v1alpha1.RegistryUserSpec) { s.Groups, s.Claims = s.Groups[:1], nil })
	holds([]string{"storage-team"}, nil)
	h.changeUser("ci", func(s *v1alpha1.RegistryUserSpec) { s.Groups = nil })
	holds(nil, nil)
}

// Tokens of a user whose claims nobody holds could take any name.
func TestServerThatKeepsNoClaims(t *testing.T) {
	h := newHarness(t)
	h.ready("acme")
	real, err := url.Parse(h.urls["acme"])
	h.must(err)
	old := httputil.NewSingleHostReverseProxy(real)
	old.ModifyResponse = func(r *http.Response) error {
		if !strings.HasPrefix(r.Request.URL.Path, "/api/v1/users") {
			return nil
		}
		body, err := io.ReadAll(r.Body)
		body = regexp.MustCompile(`,?"(groups|claims)":(null|\[[^]]*\])`).ReplaceAll(body, nil)
		r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
		r.Header.Set("Content-Length", strconv.Itoa(len(body)))
		return err
	}
	s := httptest.NewServer(old)
	t.Cleanup(s.Close)
	h.urls["acme"] = s.URL

	h.makeUser("ci", func(u *v1alpha1.RegistryUser) { u.Spec.Claims = []v1alpha1.CratePattern{"acme-*"} })
	for range 2 {
		u, _ := h.user("ci")
		h.wantContains(h.want(u, v1alpha1.StalledCondition, metav1.ConditionTrue, v1alpha1.ReasonServerTooOld), "the server of Registry acme is of a version that keeps no groups and claims")
	}
	if n := len(h.tokens("ci")); n != 0 {
		t.Errorf("%d tokens were made", n)
	}
	if said := h.said(); strings.Contains(said, "Updated user") {
		t.Errorf("a change that the server ignored is told as done:\n%s", said)
	}
	h.changeUser("ci", func(s *v1alpha1.RegistryUserSpec) { s.Claims = nil })
	u, _ := h.user("ci")
	h.want(u, v1alpha1.ReadyCondition, metav1.ConditionTrue, v1alpha1.ReasonSucceeded)
}

func TestNamesOfUsers(t *testing.T) {
	h := newHarness(t)
	h.ready("acme")
	h.makeUser("admin", nil)
	u, _ := h.user("admin")
	h.want(u, v1alpha1.StalledCondition, metav1.ConditionTrue, v1alpha1.ReasonUserNameReserved)

	h.makeUser("first", func(u *v1alpha1.RegistryUser) { u.Spec.Name = "ci" })
	h.user("first")
	h.makeUser("second", func(u *v1alpha1.RegistryUser) { u.Spec.Name = "ci"; u.Spec.Tokens[0].SecretName = "second" })
	u, _ = h.user("second")
	h.wantContains(h.want(u, v1alpha1.StalledCondition, metav1.ConditionTrue, v1alpha1.ReasonUserNameTaken), "RegistryUser first already stands for user ci")

	h.must(h.client.Delete(t.Context(), u))
	if _, err := h.users.Reconcile(t.Context(), ctrl.Request{NamespacedName: h.key("second")}); err != nil {
		t.Error(err)
	}
	if _, err := h.admin("acme").User(t.Context(), "ci"); err != nil {
		t.Errorf("deleting the second RegistryUser took the first one's user along: %v", err)
	}
}

func TestUserDeletion(t *testing.T) {
	for policy, stays := range map[v1alpha1.DeletionPolicy]bool{v1alpha1.DeletionDelete: false, v1alpha1.DeletionRetain: true} {
		t.Run(string(policy), func(t *testing.T) {
			h := newHarness(t)
			h.ready("acme")
			h.makeUser("ci", func(u *v1alpha1.RegistryUser) { u.Spec.DeletionPolicy = policy })
			h.user("ci")
			token := string(h.secret("ci-cargo").Data["token"])
			h.deleteUser("ci")
			if h.works(token) {
				t.Error("the token outlived its RegistryUser")
			}
			if _, err := h.admin("acme").User(t.Context(), "ci"); client.IsNotFound(err) == stays {
				t.Errorf("user: %v", err)
			}
		})
	}
	t.Run("without registry", func(t *testing.T) {
		h := newHarness(t)
		r := h.ready("acme")
		h.makeUser("ci", nil)
		h.user("ci")
		h.must(h.client.Delete(t.Context(), r))
		h.deleteUser("ci")
	})
}

// A deletion that waits says what for, and how to get on without; it ends by itself when the registry is back.
func TestUserDeletionWaits(t *testing.T) {
	h := newHarness(t)
	h.ready("acme")
	h.makeUser("ci", nil)
	h.user("ci")
	token, server := string(h.secret("ci-cargo").Data["token"]), h.urls["acme"]
	h.urls["acme"] = "http://127.0.0.1:1"
	h.registry("acme")
	h.must(h.client.Delete(t.Context(), get(h, "ci", &v1alpha1.RegistryUser{})))
	u, _ := h.user("ci")
	c := h.want(u, v1alpha1.ReadyCondition, metav1.ConditionFalse, v1alpha1.ReasonRegistryNotReady)
	h.wantContains(c, "the deletion waits until the tokens of user ci can be revoked: Registry acme is not ready: Unreachable")
	h.wantContains(c, "remove the finalizer crateyard.dev/registry-user of this RegistryUser")
	h.want(u, v1alpha1.RegistryReadyCondition, metav1.ConditionFalse, v1alpha1.ReasonRegistryNotReady)

	h.urls["acme"] = server
	h.registry("acme")
	if _, err := h.users.Reconcile(t.Context(), ctrl.Request{NamespacedName: h.key("ci")}); err != nil {
		t.Errorf("finalizing: %v", err)
	}
	if err := h.client.Get(t.Context(), h.key("ci"), &v1alpha1.RegistryUser{}); !apierrors.IsNotFound(err) || h.works(token) {
		t.Errorf("the RegistryUser: %v; its token works: %t", err, h.works(token))
	}
}

// What the condition says of a finalizer that somebody removes: the Registry revokes the tokens, the user stays.
func TestUserLetGoWithoutItsRegistry(t *testing.T) {
	h := newHarness(t)
	h.ready("acme")
	h.makeUser("ci", nil)
	h.user("ci")
	token, server := string(h.secret("ci-cargo").Data["token"]), h.urls["acme"]
	h.urls["acme"] = "http://127.0.0.1:1"
	h.registry("acme")
	h.must(h.client.Delete(t.Context(), get(h, "ci", &v1alpha1.RegistryUser{})))
	u, _ := h.user("ci")
	u.Finalizers = nil
	h.must(h.client.Update(t.Context(), u))
	h.urls["acme"] = server
	h.registry("acme")
	if _, err := h.admin("acme").User(t.Context(), "ci"); err != nil || h.works(token) {
		t.Errorf("user: %v; its token works: %t", err, h.works(token))
	}
}

// deleteUser deletes a RegistryUser, which must be gone after one reconcile.
func (h *harness) deleteUser(name string) {
	h.Helper()
	h.must(h.client.Delete(h.Context(), get(h, name, &v1alpha1.RegistryUser{})))
	if _, err := h.users.Reconcile(h.Context(), ctrl.Request{NamespacedName: h.key(name)}); err != nil {
		h.Errorf("finalizing: %v", err)
	}
	if err := h.client.Get(h.Context(), h.key(name), &v1alpha1.RegistryUser{}); !apierrors.IsNotFound(err) {
		h.Errorf("RegistryUser %s is still there: %v", name, err)
	}
}

func TestExistingUserIsAdopted(t *testing.T) {
	h := newHarness(t)
	h.ready("acme")
	_, err := h.admin("acme").CreateUser(t.Context(), wire.CreateUser{Name: "ci", Role: "reader"})
	h.must(err)
	h.makeUser("ci", nil)
	u, _ := h.user("ci")
	h.want(u, v1alpha1.ReadyCondition, metav1.ConditionTrue, v1alpha1.ReasonSucceeded)
	h.wantSaid("role reader → publisher")

	// It was there before, so it outlives the object; the object's tokens do not.
	byHand, err := h.admin("acme").CreateToken(t.Context(), wire.CreateToken{User: "ci", Name: "by hand"})
	h.must(err)
	token := string(h.secret("ci-cargo").Data["token"])
	h.deleteUser("ci")
	if _, err := h.admin("acme").User(t.Context(), "ci"); err != nil || h.works(token) || !h.works(byHand.Secret) {
		t.Errorf("user %v, our token works: %t, the other: %t", err, h.works(token), h.works(byHand.Secret))
	}
}
