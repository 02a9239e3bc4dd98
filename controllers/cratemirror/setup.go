package cratemirror

import (
	"context"
	"time"

	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"

	"github.com/crateyard/crateyard/api/v1alpha1"
	"github.com/crateyard/crateyard/controllers/internal/parent"
	"github.com/crateyard/crateyard/controllers/internal/watch"
)

// SetupWithManager makes a manager run the reconciler.
func (r *Reconciler) SetupWithManager(mgr ctrl.Manager) error {
	b := ctrl.NewControllerManagedBy(mgr).
		Named("cratemirror").
		For(&v1alpha1.CrateMirror{}, builder.WithPredicates(watch.Wanted())).
		Watches(&v1alpha1.Registry{}, handler.EnqueueRequestsFromMapFunc(watch.ByIndex(r.Client, watch.MirrorsByRegistry, &v1alpha1.CrateMirrorList{})), builder.WithPredicates(parent.Changed())).
		Watches(&v1alpha1.CrateMirror{}, handler.EnqueueRequestsFromMapFunc(r.siblings), builder.WithPredicates(parent.Deleted()))
	if r.Metadata != nil {
		for kind, index := range map[string]string{"Secret": watch.BySecret, "ConfigMap": watch.ByConfigMap} {
			b.WatchesRawSource(source.Kind[client.Object](r.Metadata, watch.Metadata(kind),
				handler.EnqueueRequestsFromMapFunc(watch.ByIndex(r.Client, index, &v1alpha1.CrateMirrorList{})), watch.Changed()))
		}
	}
	return b.
		WithOptions(controller.Options{MaxConcurrentReconciles: 4, ReconciliationTimeout: time.Minute}).
		Complete(r)
}

// siblings asks for all mirrors of the Registry whose mirror is deleted: one of them may wait for the name.
func (r *Reconciler) siblings(ctx context.Context, obj client.Object) []reconcile.Request {
	m, ok := obj.(*v1alpha1.CrateMirror)
	if !ok {
		return nil
	}
	registry := &v1alpha1.Registry{}
	registry.Namespace, registry.Name = m.Namespace, m.Spec.RegistryRef.Name
	return watch.ByIndex(r.Client, watch.MirrorsByRegistry, &v1alpha1.CrateMirrorList{})(ctx, registry)
}
