package registryuser

import (
	"context"
	"time"

	corev1 "k8s.io/api/core/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/crateyard/crateyard/api/v1alpha1"
	"github.com/crateyard/crateyard/controllers/internal/names"
	"github.com/crateyard/crateyard/controllers/internal/parent"
	"github.com/crateyard/crateyard/controllers/internal/watch"
)

// SetupWithManager makes a manager run the reconciler.
func (r *Reconciler) SetupWithManager(mgr ctrl.Manager) error {
	return ctrl.NewControllerManagedBy(mgr).
		Named("registryuser").
		For(&v1alpha1.RegistryUser{}, builder.WithPredicates(watch.Wanted())).
		Watches(&corev1.Secret{}, handler.EnqueueRequestsFromMapFunc(watch.ByLabel(names.UserLabel)), builder.WithPredicates(watch.Changed())).
		Watches(&v1alpha1.Registry{}, handler.EnqueueRequestsFromMapFunc(r.usersOf), builder.WithPredicates(parent.Changed())).
		Watches(&v1alpha1.RegistryUser{}, handler.EnqueueRequestsFromMapFunc(r.siblings), builder.WithPredicates(parent.Deleted())).
		WithOptions(controller.Options{MaxConcurrentReconciles: 4, ReconciliationTimeout: time.Minute}).
		Complete(r)
}

// usersOf asks for all users of a Registry.
func (r *Reconciler) usersOf(ctx context.Context, obj client.Object) []reconcile.Request {
	return r.ofRegistry(ctx, obj.GetNamespace(), obj.GetName())
}

// siblings asks for all users of the Registry whose user is deleted: one of them may wait for the name.
func (r *Reconciler) siblings(ctx context.Context, obj client.Object) []reconcile.Request {
	u, ok := obj.(*v1alpha1.RegistryUser)
	if !ok {
		return nil
	}
	return r.ofRegistry(ctx, u.Namespace, u.Spec.RegistryRef.Name)
}

func (r *Reconciler) ofRegistry(ctx context.Context, namespace, registry string) []reconcile.Request {
	users := &v1alpha1.RegistryUserList{}
	if err := r.Client.List(ctx, users, client.InNamespace(namespace), client.MatchingFields{watch.UsersByRegistry: registry}); err != nil {
		return nil // the cache stops; nobody is left to ask
	}
	var requests []reconcile.Request
	for i := range users.Items {
		requests = append(requests, reconcile.Request{NamespacedName: client.ObjectKeyFromObject(&users.Items[i])})
	}
	return requests
}
