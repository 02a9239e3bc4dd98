package registry

import (
	"sync"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/source"

	"github.com/crateyard/crateyard/api/v1alpha1"
	"github.com/crateyard/crateyard/controllers/internal/names"
	"github.com/crateyard/crateyard/controllers/internal/watch"
)

// SetupWithManager makes a manager run the reconciler. Children are watched by label, not by owner, since what holds data
// may have none.
func (r *Reconciler) SetupWithManager(mgr ctrl.Manager) error {
	child := handler.EnqueueRequestsFromMapFunc(watch.ByLabel(names.RegistryLabel))
	changed := builder.WithPredicates(watch.Changed())
	b := ctrl.NewControllerManagedBy(mgr).
		Named("registry").
		For(&v1alpha1.Registry{}, builder.WithPredicates(watch.Wanted())).
		Watches(&appsv1.Deployment{}, child, changed).
		Watches(&corev1.Pod{}, child, builder.WithPredicates(watch.PodChanged())).
		Watches(&corev1.PersistentVolumeClaim{}, child, changed).
		Watches(&corev1.Secret{}, child, changed).
		Watches(&corev1.ConfigMap{}, child, changed).
		Watches(&corev1.Service{}, child, changed).
		Watches(&corev1.ServiceAccount{}, child, changed).
		Watches(&networkingv1.Ingress{}, child, changed).
		Watches(&policyv1.PodDisruptionBudget{}, child, changed)
	if r.Metadata != nil {
		b.WatchesRawSource(source.Kind[client.Object](r.Metadata, watch.Metadata("Secret"),
			handler.EnqueueRequestsFromMapFunc(watch.ByIndex(r.Client, watch.BySecret, &v1alpha1.RegistryList{})), watch.Changed()))
	}
	c, err := b.
		WithOptions(controller.Options{MaxConcurrentReconciles: 4, ReconciliationTimeout: time.Minute}).
		Build(r)
	if err != nil {
		return err
	}
	r.monitors.start = func() error {
		obj := &metav1.PartialObjectMetadata{} // enough to hear of a change; what it is, is read from the API server
		obj.SetGroupVersionKind(serviceMonitorKind)
		return c.Watch(source.Kind[client.Object](mgr.GetCache(), obj, child, watch.Changed()))
	}
	return nil
}

// lateWatch begins a watch once, when there is reason to. ServiceMonitors need one: to watch a kind that the cluster does not
// know would keep the operator from starting, and the kind may come while it runs.
type lateWatch struct {
	mu      sync.Mutex
	start   func() error // nil where no manager runs the reconciler
	started bool
}

// ensure begins the watch, unless that is done.
func (w *lateWatch) ensure() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.started || w.start == nil {
		return nil
	}
	if err := w.start(); err != nil {
		return err
	}
	w.started = true
	return nil
}
