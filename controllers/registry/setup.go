package registry

import (
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/handler"

	"github.com/crateyard/crateyard/api/v1alpha1"
	"github.com/crateyard/crateyard/controllers/internal/names"
	"github.com/crateyard/crateyard/controllers/internal/watch"
)

// SetupWithManager makes a manager run the reconciler. Children are watched by label, not by owner, since what holds data
// may have none.
func (r *Reconciler) SetupWithManager(mgr ctrl.Manager) error {
	child := handler.EnqueueRequestsFromMapFunc(watch.ByLabel(names.RegistryLabel))
	changed := builder.WithPredicates(watch.Changed())
	return ctrl.NewControllerManagedBy(mgr).
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
		WithOptions(controller.Options{MaxConcurrentReconciles: 4, ReconciliationTimeout: time.Minute}).
		Complete(r)
}
