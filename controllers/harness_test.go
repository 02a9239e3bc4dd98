package controllers_test

import (
	"context"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/events"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/crateyard/crateyard/api/v1alpha1"
	"github.com/crateyard/crateyard/controllers"
	"github.com/crateyard/crateyard/controllers/cratemirror"
	"github.com/crateyard/crateyard/controllers/internal/conditions"
	"github.com/crateyard/crateyard/controllers/registry"
	"github.com/crateyard/crateyard/controllers/registryuser"
)

// harness runs the reconcilers by hand against a real API server, in a namespace of its own, with a clock that the test
// moves. Nobody plays the kubelet but the test.
type harness struct {
	*testing.T
	client client.Client // as the test uses it
	ns     string
	writes *atomic.Int64 // of the reconcilers
	events *events.FakeRecorder
	now    time.Time
	urls   map[string]string // Registry → its server

	registries *registry.Reconciler
	users      *registryuser.Reconciler
	mirrors    *cratemirror.Reconciler
}

func newHarness(t *testing.T) *harness {
	t.Helper()
	plain, err := client.NewWithWatch(config, client.Options{Scheme: controllers.Scheme(), FieldValidation: "Strict"})
	if err != nil {
		t.Fatal(err)
	}
	h := &harness{T: t, client: plain, writes: &atomic.Int64{}, events: events.NewFakeRecorder(1000), now: time.Now().Truncate(time.Second), urls: map[string]string{}}
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "test-"}}
	h.must(plain.Create(t.Context(), ns))
	h.ns = ns.Name
	counted := interceptor.NewClient(plain, countWrites(h.writes))
	address := func(r *v1alpha1.Registry) string { return h.urls[r.Name] }
	now := func() time.Time { return h.now }
	h.registries = &registry.Reconciler{Client: counted, Live: plain, Events: h.events, Image: "crateyard:test", Version: "test", Address: address, Now: now}
	h.users = &registryuser.Reconciler{Client: counted, Live: plain, Events: h.events, Version: "test", Address: address, Now: now}
	h.mirrors = &cratemirror.Reconciler{Client: counted, Live: plain, Events: h.events, Version: "test", Address: address, Now: now}
	return h
}

func countWrites(n *atomic.Int64) interceptor.Funcs {
	return interceptor.Funcs{
		Create: func(ctx context.Context, c client.WithWatch, obj client.Object, opts ...client.CreateOption) error {
			n.Add(1)
			return c.Create(ctx, obj, opts...)
		},
		Delete: func(ctx context.Context, c client.WithWatch, obj client.Object, opts ...client.DeleteOption) error {
			n.Add(1)
			return c.Delete(ctx, obj, opts...)
		},
		Update: func(ctx context.Context, c client.WithWatch, obj client.Object, opts ...client.UpdateOption) error {
			n.Add(1)
			return c.Update(ctx, obj, opts...)
		},
		Patch: func(ctx context.Context, c client.WithWatch, obj client.Object, p client.Patch, opts ...client.PatchOption) error {
			n.Add(1)
			return c.Patch(ctx, obj, p, opts...)
		},
		Apply: func(ctx context.Context, c client.WithWatch, obj runtime.ApplyConfiguration, opts ...client.ApplyOption) error {
			n.Add(1)
			return c.Apply(ctx, obj, opts...)
		},
		SubResourcePatch: func(ctx context.Context, c client.Client, sub string, obj client.Object, p client.Patch, opts ...client.SubResourcePatchOption) error {
			n.Add(1)
			return c.SubResource(sub).Patch(ctx, obj, p, opts...)
		},
	}
}

func (h *harness) must(err error) {
	h.Helper()
	if err != nil {
		h.Fatal(err)
	}
}

func (h *harness) key(name string) types.NamespacedName {
	return types.NamespacedName{Namespace: h.ns, Name: name}
}

// get reads an object that must be there.
func get[T client.Object](h *harness, name string, obj T) T {
	h.Helper()
	h.must(h.client.Get(h.Context(), h.key(name), obj))
	return obj
}

// makeRegistry creates a Registry.
func (h *harness) makeRegistry(name string, spec v1alpha1.RegistrySpec) {
	h.Helper()
	h.must(h.client.Create(h.Context(), &v1alpha1.Registry{ObjectMeta: metav1.ObjectMeta{Namespace: h.ns, Name: name}, Spec: spec}))
}

// registry reconciles a Registry once and gives it as it is then. Its conditions must keep the rules.
func (h *harness) registry(name string) (*v1alpha1.Registry, ctrl.Result) {
	h.Helper()
	result, err := h.registries.Reconcile(h.Context(), ctrl.Request{NamespacedName: h.key(name)})
	if err != nil {
		h.Logf("reconcile of Registry %s: %v", name, err)
	}
	r := get(h, name, &v1alpha1.Registry{})
	for _, broken := range conditions.Check(r, r.Status.ObservedGeneration) {
		h.Errorf("conditions of Registry %s: %s", name, broken)
	}
	return r, result
}

// user reconciles a RegistryUser once and gives it as it is then. Its conditions must keep the rules.
func (h *harness) user(name string) (*v1alpha1.RegistryUser, ctrl.Result) {
	h.Helper()
	result, err := h.users.Reconcile(h.Context(), ctrl.Request{NamespacedName: h.key(name)})
	if err != nil {
		h.Logf("reconcile of RegistryUser %s: %v", name, err)
	}
	u := get(h, name, &v1alpha1.RegistryUser{})
	for _, broken := range conditions.Check(u, u.Status.ObservedGeneration) {
		h.Errorf("conditions of RegistryUser %s: %s", name, broken)
	}
	return u, result
}

// mirror reconciles a CrateMirror once and gives it as it is then. Its conditions must keep the rules.
func (h *harness) mirror(name string) (*v1alpha1.CrateMirror, ctrl.Result) {
	h.Helper()
	result, err := h.mirrors.Reconcile(h.Context(), ctrl.Request{NamespacedName: h.key(name)})
	if err != nil {
		h.Logf("reconcile of CrateMirror %s: %v", name, err)
	}
	m := get(h, name, &v1alpha1.CrateMirror{})
	for _, broken := range conditions.Check(m, m.Status.ObservedGeneration) {
		h.Errorf("conditions of CrateMirror %s: %s", name, broken)
	}
	return m, result
}

// ready makes a Registry with a real server behind it, and plays kubelet until it is ready.
func (h *harness) ready(name string) *v1alpha1.Registry {
	h.Helper()
	h.makeRegistry(name, v1alpha1.RegistrySpec{})
	h.registry(name)
	h.bindVolume(name)
	h.runPods(name)
	h.startServer(name)
	r, _ := h.registry(name)
	h.want(r, v1alpha1.ReadyCondition, metav1.ConditionTrue, v1alpha1.ReasonSucceeded)
	return r
}

// bindVolume plays the provisioner.
func (h *harness) bindVolume(registry string) {
	h.Helper()
	pvc := get(h, registry+"-data", &corev1.PersistentVolumeClaim{})
	pvc.Status.Phase = corev1.ClaimBound
	h.must(h.client.Status().Update(h.Context(), pvc))
}

// runPods plays the Deployment controller and the kubelet.
func (h *harness) runPods(registry string) {
	h.Helper()
	d := get(h, registry, &appsv1.Deployment{})
	n := *d.Spec.Replicas
	d.Status = appsv1.DeploymentStatus{ObservedGeneration: d.Generation, Replicas: n, UpdatedReplicas: n, ReadyReplicas: n, AvailableReplicas: n}
	h.must(h.client.Status().Update(h.Context(), d))
}

// want compares a condition.
func (h *harness) want(obj conditions.Object, typ string, status metav1.ConditionStatus, reason string) metav1.Condition {
	h.Helper()
	for _, c := range obj.GetConditions() {
		if c.Type == typ {
			if c.Status != status || c.Reason != reason {
				h.Errorf("%s = %s %s (%s), want %s %s", typ, c.Status, c.Reason, c.Message, status, reason)
			}
			return c
		}
	}
	h.Errorf("no condition %s in %v, want %s %s", typ, obj.GetConditions(), status, reason)
	return metav1.Condition{}
}

// said gives all events since the last call.
func (h *harness) said() string {
	var all []string
	for {
		select {
		case e := <-h.events.Events:
			all = append(all, e)
		default:
			return strings.Join(all, "\n")
		}
	}
}

// wantSaid looks for an event.
func (h *harness) wantSaid(text string) {
	h.Helper()
	if said := h.said(); !strings.Contains(said, text) {
		h.Errorf("no event says %q; there are:\n%s", text, said)
	}
}

// wantContains looks for a text in a condition's message.
func (h *harness) wantContains(c metav1.Condition, text string) {
	h.Helper()
	if !strings.Contains(c.Message, text) {
		h.Errorf("%s says %q, want it to contain %q", c.Type, c.Message, text)
	}
}
