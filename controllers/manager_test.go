package controllers_test

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
	ctrlconfig "sigs.k8s.io/controller-runtime/pkg/config"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"github.com/crateyard/crateyard/api/v1alpha1"
	"github.com/crateyard/crateyard/controllers"
)

// startOperator runs the operator as it is, with caches, watches and no more rights than config/rbac gives it, in the
// harness's namespace.
func (h *harness) startOperator() {
	h.Helper()
	for _, u := range kustomize(h.T, "../config/rbac") {
		if u.GetKind() == "ClusterRole" || u.GetKind() == "ClusterRoleBinding" {
			h.must(client.IgnoreAlreadyExists(h.client.Create(h.Context(), u)))
		}
	}
	h.startOperatorAs("system:serviceaccount:crateyard-system:crateyard-operator", controllers.Options{})
}

// startOperatorAs runs the operator with the rights of a user.
func (h *harness) startOperatorAs(user string, options controllers.Options) {
	h.Helper()
	var mu sync.Mutex
	limited := rest.CopyConfig(config)
	limited.Impersonate.UserName = user
	probe, err := client.New(limited, client.Options{})
	h.must(err)
	if err := probe.List(h.Context(), &corev1.NodeList{}); !apierrors.IsForbidden(err) {
		h.Fatalf("the operator may list nodes, so this test would not notice a right that it lacks: %v", err)
	}
	skip := true // of a check that controllers have names of their own: each test runs them once more
	mgr, err := ctrl.NewManager(limited, ctrl.Options{
		Controller: ctrlconfig.Controller{SkipNameValidation: &skip},
		Scheme:     controllers.Scheme(),
		Cache:      controllers.CacheOptions(h.ns),
		Metrics:    metricsserver.Options{BindAddress: "0"},
		NewClient: func(c *rest.Config, o client.Options) (client.Client, error) {
			plain, err := client.NewWithWatch(c, o)
			if err != nil {
				return nil, err
			}
			return interceptor.NewClient(plain, countWrites(h.writes)), nil
		},
		NewCache: cache.New,
	})
	h.must(err)
	options.Image, options.Version = "crateyard:test", "test"
	options.Address = func(r *v1alpha1.Registry) string {
		mu.Lock()
		defer mu.Unlock()
		return h.urls[r.Name]
	}
	ctx, stop := context.WithCancel(h.Context())
	h.must(controllers.Setup(ctx, mgr, options))
	done := make(chan error, 1)
	go func() { done <- mgr.Start(ctx) }()
	h.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			h.Errorf("operator: %v", err)
		}
	})
}

// eventually asks until it is true.
func (h *harness) eventually(what string, ask func() bool) {
	h.Helper()
	for end := time.Now().Add(2 * time.Minute); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		if ask() {
			return
		}
	}
	h.Fatalf("in vain waited for: %s", what)
}

func (h *harness) exists(name string, obj client.Object) bool {
	return h.client.Get(h.Context(), h.key(name), obj) == nil
}

// With the chart's Roles alone the operator works in their namespaces, and says what it cannot see.
func TestOperatorWithRoles(t *testing.T) {
	h := newHarness(t)
	for _, u := range helm(t, h.ns, "--set", "watchNamespaces={"+h.ns+"}") {
		if u.GetKind() == "Role" || u.GetKind() == "RoleBinding" {
			h.must(h.client.Create(t.Context(), u))
		}
	}
	h.makeRegistry("acme", v1alpha1.RegistrySpec{Storage: v1alpha1.StorageSpec{Filesystem: v1alpha1.FilesystemStorage{StorageClassName: "fast"}}})
	token := "cy_0123456789012345678901234567890123456789"
	h.urls["acme"] = startServer(t, "acme", token)
	h.startOperatorAs("system:serviceaccount:"+h.ns+":"+h.ns+"-crateyard", controllers.Options{Namespaces: []string{h.ns}})
	h.makeUser("ci", nil)
	h.eventually("the volume's troubles", func() bool {
		c := meta.FindStatusCondition(get(h, "acme", &v1alpha1.Registry{}).Status.Conditions, v1alpha1.StorageReadyCondition)
		return c != nil && c.Reason == v1alpha1.ReasonVolumePending && strings.Contains(c.Message, "whether its storage class exists, the operator may not look")
	})
	h.eventually("the admin Secret", func() bool {
		s := &corev1.Secret{}
		if !h.exists("acme-admin", s) {
			return false
		}
		s.Data["token"] = []byte(token)
		return h.client.Update(t.Context(), s) == nil
	})
	h.bindVolume("acme")
	h.eventually("a user that is ready", func() bool {
		d := &appsv1.Deployment{}
		if h.exists("acme", d) && d.Status.ObservedGeneration != d.Generation {
			d.Status = appsv1.DeploymentStatus{ObservedGeneration: d.Generation, Replicas: 1, UpdatedReplicas: 1, ReadyReplicas: 1, AvailableReplicas: 1}
			_ = h.client.Status().Update(t.Context(), d) // a conflict: the next round does it
		}
		u := &v1alpha1.RegistryUser{}
		return h.exists("ci", u) && meta.IsStatusConditionTrue(u.Status.Conditions, v1alpha1.ReadyCondition)
	})
}

func TestOperatorFollowsTheCluster(t *testing.T) {
	h := newHarness(t)
	// The user comes first, as in `kubectl apply -f folder/`: order must not matter.
	h.makeUser("ci", nil)
	up := h.startUpstream("Enabled", "one@1.0.0", "one@1.1.0")
	h.makeMirror("deps", v1alpha1.CrateMirrorSpec{
		Upstream:  v1alpha1.MirrorUpstreamSpec{Index: up.index, TokenSecretRef: &v1alpha1.SecretKeyReference{Name: "upstream"}},
		Lockfiles: []v1alpha1.LockfileSource{lockOf("app")},
	})
	h.makeMirror("other", v1alpha1.CrateMirrorSpec{Name: "deps"}) // waits for the name
	h.urls["acme"] = "http://127.0.0.1:1"
	h.makeRegistry("acme", v1alpha1.RegistrySpec{})
	token := "cy_0123456789012345678901234567890123456789"
	h.urls["acme"] = startServer(t, "acme", token)
	h.startOperator()

	h.eventually("a Deployment", func() bool { return h.exists("acme", &appsv1.Deployment{}) })
	h.eventually("the admin Secret", func() bool {
		s := &corev1.Secret{}
		if !h.exists("acme-admin", s) {
			return false
		}
		s.Data["token"] = []byte(token) // an administrator sets a token of their own
		return h.client.Update(t.Context(), s) == nil
	})
	pvc := get(h, "acme-data", &corev1.PersistentVolumeClaim{})
	h.must(h.client.Create(t.Context(), &corev1.Event{
		ObjectMeta:     metav1.ObjectMeta{Namespace: h.ns, Name: "no-volume"},
		InvolvedObject: corev1.ObjectReference{Kind: "PersistentVolumeClaim", Namespace: h.ns, Name: pvc.Name, UID: pvc.UID},
		Type:           corev1.EventTypeWarning, Reason: "ProvisioningFailed", Message: "no room",
	}))
	h.eventually("the provisioner's words", func() bool {
		c := meta.FindStatusCondition(get(h, "acme", &v1alpha1.Registry{}).Status.Conditions, v1alpha1.StorageReadyCondition)
		return c != nil && strings.Contains(c.Message, "no room")
	})
	h.bindVolume("acme")
	h.eventually("a Registry that is ready", func() bool {
		d := &appsv1.Deployment{}
		if h.exists("acme", d) && d.Status.ObservedGeneration != d.Generation {
			d.Status = appsv1.DeploymentStatus{ObservedGeneration: d.Generation, Replicas: 1, UpdatedReplicas: 1, ReadyReplicas: 1, AvailableReplicas: 1}
			_ = h.client.Status().Update(t.Context(), d) // a conflict: the next round does it
		}
		r := &v1alpha1.Registry{}
		return h.exists("acme", r) && meta.IsStatusConditionTrue(r.Status.Conditions, v1alpha1.ReadyCondition)
	})
	h.eventually("a user that is ready", func() bool {
		u := &v1alpha1.RegistryUser{}
		return h.exists("ci", u) && meta.IsStatusConditionTrue(u.Status.Conditions, v1alpha1.ReadyCondition)
	})
	first := string(h.secret("ci-cargo").Data["token"])

	h.must(h.client.Delete(t.Context(), h.secret("ci-cargo")))
	h.eventually("a new token", func() bool {
		s := &corev1.Secret{}
		return h.exists("ci-cargo", s) && string(s.Data["token"]) != first && h.works(string(s.Data["token"]))
	})
	h.must(h.client.Delete(t.Context(), get(h, "acme-metrics", &corev1.Service{})))
	h.eventually("the Service again", func() bool { return h.exists("acme-metrics", &corev1.Service{}) })

	mirror := func(what, typ string, status metav1.ConditionStatus, reason string) {
		h.eventually("a mirror with "+what, func() bool {
			c := meta.FindStatusCondition(get(h, "deps", &v1alpha1.CrateMirror{}).Status.Conditions, typ)
			return c != nil && c.Status == status && c.Reason == reason
		})
	}
	mirror("no token", v1alpha1.UpstreamReadyCondition, metav1.ConditionFalse, v1alpha1.ReasonSecretMissing)
	h.must(h.client.Create(t.Context(), &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: h.ns, Name: "upstream"}, Data: map[string][]byte{"token": []byte(upstreamToken)}}))
	mirror("no lockfile", v1alpha1.LockfilesReadyCondition, metav1.ConditionFalse, v1alpha1.ReasonConfigMapMissing)
	h.putConfigMap("app", "Cargo.lock", up.lock("one@1.0.0"))
	mirror("a lockfile", v1alpha1.ReadyCondition, metav1.ConditionTrue, v1alpha1.ReasonSucceeded)
	h.putConfigMap("app", "Cargo.lock", up.lock("one@1.0.0", "one@1.1.0"))
	h.eventually("a mirror with a larger lockfile", func() bool {
		st := get(h, "deps", &v1alpha1.CrateMirror{}).Status
		return len(st.Lockfiles) == 1 && st.Lockfiles[0].Versions == 2
	})
	h.eventually("all that the lockfile names", func() bool { return h.served(up, "one@1.0.0") && h.served(up, "one@1.1.0") })
	h.must(h.client.Delete(t.Context(), get(h, "deps", &v1alpha1.CrateMirror{})))
	h.eventually("another mirror in its place", func() bool { // Ready is for who reaches its upstream, crates.io
		return meta.IsStatusConditionTrue(get(h, "other", &v1alpha1.CrateMirror{}).Status.Conditions, v1alpha1.RegistryReadyCondition)
	})

	for _, policy := range []v1alpha1.DeletionPolicy{v1alpha1.DeletionDelete, v1alpha1.DeletionRetain} {
		h.eventually("deletionPolicy "+string(policy), func() bool {
			r := get(h, "acme", &v1alpha1.Registry{})
			if r.Spec.DeletionPolicy != policy {
				r.Spec.DeletionPolicy = policy
				_ = h.client.Update(t.Context(), r) // a conflict: the next round does it
				return false
			}
			owned := policy == v1alpha1.DeletionDelete
			return metav1.IsControlledBy(get(h, "acme-data", &corev1.PersistentVolumeClaim{}), r) == owned && metav1.IsControlledBy(h.secret("acme-admin"), r) == owned
		})
	}

	h.eventually("quiet", func() bool {
		before := h.writes.Load()
		time.Sleep(2 * time.Second)
		return h.writes.Load() == before
	})
	ask := get(h, "acme", &v1alpha1.Registry{})
	ask.Annotations = map[string]string{v1alpha1.RequestedAtAnnotation: "now"}
	h.must(h.client.Update(t.Context(), ask))
	h.eventually("an answer to the request", func() bool {
		return get(h, "acme", &v1alpha1.Registry{}).Status.LastHandledReconcileAt == "now"
	})
}
