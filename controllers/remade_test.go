package controllers_test

import (
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	sigs "sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/crateyard/crateyard/api/v1alpha1"
	"github.com/crateyard/crateyard/registry/client"
	"github.com/crateyard/crateyard/registry/wire"
)

// deleteRegistry deletes a Registry and plays the garbage collector: what it owns goes with it.
func (h *harness) deleteRegistry(name string) {
	h.Helper()
	r := get(h, name, &v1alpha1.Registry{})
	h.must(h.client.Delete(h.Context(), r))
	for obj, child := range map[sigs.Object]string{
		&appsv1.Deployment{}: name, &corev1.ServiceAccount{}: name, &corev1.ConfigMap{}: name + "-config", &corev1.Service{}: name,
		&corev1.Secret{}: name + "-admin", &corev1.PersistentVolumeClaim{}: name + "-data",
	} {
		if get(h, child, obj); !metav1.IsControlledBy(obj, r) {
			continue
		}
		if len(obj.GetFinalizers()) > 0 {
			obj.SetFinalizers(nil)
			h.must(h.client.Update(h.Context(), obj))
		}
		h.must(h.client.Delete(h.Context(), obj))
	}
	h.must(h.client.Delete(h.Context(), get(h, name+"-metrics", &corev1.Service{})))
}

// remakeRegistry makes a Registry again, up to the moment when a server would start.
func (h *harness) remakeRegistry(name string, spec v1alpha1.RegistrySpec) {
	h.Helper()
	h.makeRegistry(name, spec)
	h.registry(name)
	h.bindVolume(name)
	h.runPods(name)
}

// A registry that began anew knows no user and no token, and gives the ids of old ones again.
func TestUserOfARegistryThatBeganAnew(t *testing.T) {
	for name, begin := range map[string]func(h *harness){
		"empty": func(*harness) {},
		"with a token that never came into its Secret": func(h *harness) { // as when the operator ends between the two
			_, err := h.admin("acme").CreateUser(h.Context(), wire.CreateUser{Name: "ci", Role: "publisher"})
			h.must(err)
			lost, err := h.admin("acme").CreateToken(h.Context(), wire.CreateToken{User: "ci", Name: "kubernetes/publish"})
			h.must(err)
			if id := get(h, "ci", &v1alpha1.RegistryUser{}).Status.Tokens[0].ID; lost.ID != id {
				h.Fatalf("the new registry gives id %d, the old one gave %d", lost.ID, id)
			}
			s := h.secret("ci-cargo") // a test begins anew in less than a second
			s.Annotations["crateyard.dev/created-at"] = lost.CreatedAt.Add(-time.Hour).Format(time.RFC3339)
			h.must(h.client.Update(h.Context(), s))
		},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHarness(t)
			h.makeRegistry("acme", v1alpha1.RegistrySpec{DeletionPolicy: v1alpha1.DeletionDelete})
			h.registry("acme")
			h.bindVolume("acme")
			h.runPods("acme")
			h.startServer("acme")
			h.registry("acme")
			h.makeUser("ci", func(u *v1alpha1.RegistryUser) {
				u.Spec.Tokens = []v1alpha1.TokenSpec{{Name: "publish", SecretName: "ci-cargo"}} // never expires
			})
			h.user("ci")
			h.registry("acme")
			old := string(h.secret("ci-cargo").Data["token"])

			h.deleteRegistry("acme")
			u, _ := h.user("ci")
			h.want(u, v1alpha1.ReadyCondition, metav1.ConditionFalse, v1alpha1.ReasonRegistryNotFound)
			h.remakeRegistry("acme", v1alpha1.RegistrySpec{})
			u, _ = h.user("ci")
			h.want(u, v1alpha1.ReadyCondition, metav1.ConditionFalse, v1alpha1.ReasonRegistryNotReady)
			h.startServer("acme")
			begin(h)
			h.registry("acme")
			u, _ = h.user("ci")
			h.want(u, v1alpha1.ReadyCondition, metav1.ConditionTrue, v1alpha1.ReasonSucceeded)
			if now := string(h.secret("ci-cargo").Data["token"]); now == old || !h.works(now) || h.works(old) {
				t.Errorf("another token: %t, it works: %t, the old one works: %t", now != old, h.works(now), h.works(old))
			}
			if got, err := h.admin("acme").User(t.Context(), "ci"); err != nil || got.ID != u.Status.UserID {
				t.Errorf("user %+v, %v; status says %d", got, err, u.Status.UserID)
			}
			before := h.writes.Load()
			h.user("ci")
			if n := h.writes.Load() - before; n != 0 {
				t.Errorf("it is as it should be, and was written %d times", n)
			}
		})
	}
}

// What a RegistryUser could not take along while there was no Registry goes when the Registry is made again over its data.
func TestUserThatWentWhileItsRegistryWasGone(t *testing.T) {
	h := newHarness(t)
	h.ready("acme")
	_, err := h.admin("acme").CreateUser(t.Context(), wire.CreateUser{Name: "before", Role: "publisher"})
	h.must(err)
	for _, name := range []string{"ci", "again", "before", "kept"} {
		h.makeUser(name, func(u *v1alpha1.RegistryUser) {
			u.Spec.Tokens = []v1alpha1.TokenSpec{{Name: "t"}}
			if name == "kept" {
				u.Spec.DeletionPolicy = v1alpha1.DeletionRetain
			}
		})
		h.user(name)
	}
	h.makeUser("stays", func(u *v1alpha1.RegistryUser) { u.Spec.Tokens = []v1alpha1.TokenSpec{{Name: "t"}} })
	h.user("stays")
	tokens := map[string]string{}
	for _, name := range []string{"ci", "again", "before", "kept", "stays"} {
		tokens[name] = string(h.secret(name + "-t").Data["token"])
	}
	h.deleteRegistry("acme")
	for _, name := range []string{"ci", "again", "before", "kept"} {
		h.deleteUser(name)
		h.must(h.client.Delete(t.Context(), h.secret(name+"-t"))) // nobody else plays the garbage collector
	}
	h.makeUser("again", func(u *v1alpha1.RegistryUser) { u.Spec.Tokens = []v1alpha1.TokenSpec{{Name: "t"}} })
	h.said()
	h.remakeRegistry("acme", v1alpha1.RegistrySpec{})
	r, _ := h.registry("acme") // the same server answers
	h.want(r, v1alpha1.ReadyCondition, metav1.ConditionTrue, v1alpha1.ReasonSucceeded)
	said := h.said()
	for _, want := range []string{"Deleted user ci: its RegistryUser went while this Registry was gone", "Revoked token kubernetes/t"} {
		if !strings.Contains(said, want) {
			t.Errorf("no event says %q; there are:\n%s", want, said)
		}
	}
	u, _ := h.user("again")
	h.want(u, v1alpha1.ReadyCondition, metav1.ConditionTrue, v1alpha1.ReasonSucceeded)
	h.user("stays")
	for name, want := range map[string]bool{"ci": false, "again": true, "before": true, "kept": true, "stays": true} {
		if _, err := h.admin("acme").User(t.Context(), name); client.IsNotFound(err) == want {
			t.Errorf("user %s: %v", name, err)
		}
		if got, want := h.works(tokens[name]), name == "stays"; got != want {
			t.Errorf("the token of %s from before works: %t, want %t", name, got, want)
		}
	}
	if now := string(h.secret("again-t").Data["token"]); !h.works(now) {
		t.Error("the token of a RegistryUser that was made again does not work")
	}
	s := h.secret("acme-admin")
	s.Annotations["crateyard.dev/departed-users"] = "admin,nobody"
	h.must(h.client.Update(t.Context(), s))
	r, _ = h.registry("acme")
	h.want(r, v1alpha1.ReadyCondition, metav1.ConditionTrue, v1alpha1.ReasonSucceeded)
	if note := h.secret("acme-admin").Annotations["crateyard.dev/departed-users"]; note != "" {
		t.Errorf("still noted as departed: %s", note)
	}

	// Made again, it is the user's owner as the first was, and nobody else's user of a name from before is touched.
	h.deleteUser("again")
	if _, err := h.admin("acme").User(t.Context(), "again"); !client.IsNotFound(err) {
		t.Errorf("the user outlived its second RegistryUser: %v", err)
	}
	_, err = h.admin("acme").CreateUser(t.Context(), wire.CreateUser{Name: "ci", Role: "publisher"})
	h.must(err)
	before := h.writes.Load()
	h.registry("acme")
	if _, err := h.admin("acme").User(t.Context(), "ci"); err != nil || h.writes.Load() != before {
		t.Errorf("a user that somebody made by hand: %v; %d writes", err, h.writes.Load()-before)
	}
}

// With deletionPolicy Delete the admin Secret goes, and with it the note of who went meanwhile. A database stays all the same: the Registry that is made
// again over it revokes what the operator has made, and tells of the user, who is still there.
func TestUserThatWentAfterTheAdminSecret(t *testing.T) {
	h := newHarness(t)
	h.ready("acme")
	r := get(h, "acme", &v1alpha1.Registry{})
	r.Spec.DeletionPolicy = v1alpha1.DeletionDelete
	h.must(h.client.Update(t.Context(), r))
	h.registry("acme")
	h.makeUser("ci", func(u *v1alpha1.RegistryUser) { u.Spec.Tokens = []v1alpha1.TokenSpec{{Name: "t"}} })
	h.user("ci")
	token := string(h.secret("ci-t").Data["token"])
	byHand, err := h.admin("acme").CreateToken(t.Context(), wire.CreateToken{User: "ci", Name: "by hand"})
	h.must(err)
	admin := h.secret("acme-admin").Data["token"]
	h.deleteRegistry("acme")
	if h.exists("acme-admin", &corev1.Secret{}) {
		t.Fatal("the admin Secret stayed")
	}
	h.deleteUser("ci")

	h.remakeRegistry("acme", v1alpha1.RegistrySpec{})
	s := h.secret("acme-admin")
	s.Data["token"] = admin // the same server answers, which was not restarted with the new one
	h.must(h.client.Update(t.Context(), s))
	h.said()
	h.registry("acme")
	h.wantSaid("of user ci: its RegistryUser is gone. The user is still at the registry, with what tokens it has besides; if nobody else uses it, `crateyard user delete ci` removes it")
	if _, err := h.admin("acme").User(t.Context(), "ci"); err != nil || h.works(token) || !h.works(byHand.Secret) {
		t.Errorf("the user: %v; the RegistryUser's token works: %t, the one that was made by hand: %t", err, h.works(token), h.works(byHand.Secret))
	}
}

// A RegistryUser that was held up by its Registry's troubles goes when the Registry does, and is noted.
func TestUserHeldUpUntilItsRegistryWent(t *testing.T) {
	h := newHarness(t)
	h.ready("acme")
	h.makeUser("ci", nil)
	h.user("ci")
	server := h.urls["acme"]
	h.urls["acme"] = "http://127.0.0.1:1"
	h.registry("acme")
	h.must(h.client.Delete(t.Context(), get(h, "ci", &v1alpha1.RegistryUser{})))
	h.user("ci")
	h.deleteRegistry("acme")
	if _, err := h.users.Reconcile(t.Context(), ctrl.Request{NamespacedName: h.key("ci")}); err != nil {
		t.Errorf("finalizing: %v", err)
	}
	h.urls["acme"] = server
	h.remakeRegistry("acme", v1alpha1.RegistrySpec{})
	h.registry("acme")
	if _, err := h.admin("acme").User(t.Context(), "ci"); !client.IsNotFound(err) {
		t.Errorf("the user is still there: %v", err)
	}
}
