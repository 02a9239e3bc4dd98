package controllers

import (
	"context"
	"fmt"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/runtime"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/crateyard/crateyard/api/v1alpha1"
	"github.com/crateyard/crateyard/controllers/internal/names"
	"github.com/crateyard/crateyard/controllers/internal/watch"
	"github.com/crateyard/crateyard/controllers/registry"
	"github.com/crateyard/crateyard/controllers/registryuser"
)

// Options are what the operator is started with.
type Options struct {
	// Image to deploy where a Registry names none.
	Image string
	// Version of the operator.
	Version string
	// Address gives where a Registry's server is reached. Nil: its Service.
	Address func(*v1alpha1.Registry) string
	// Now is the clock. Nil: time.Now.
	Now func() time.Time
}

// Scheme knows all kinds that the operator reads or writes.
func Scheme() *runtime.Scheme {
	s := runtime.NewScheme()
	utilruntime.Must(clientgoscheme.AddToScheme(s))
	utilruntime.Must(v1alpha1.AddToScheme(s))
	return s
}

// CacheOptions bounds the cache to some namespaces (none: all), and to what the operator made itself: it must not hold every
// Secret of a cluster.
func CacheOptions(namespaces ...string) cache.Options {
	ours := cache.ByObject{Label: names.Managed()}
	o := cache.Options{
		DefaultTransform: cache.TransformStripManagedFields(),
		ByObject: map[client.Object]cache.ByObject{
			&appsv1.Deployment{}: ours, &corev1.Pod{}: ours, &corev1.PersistentVolumeClaim{}: ours, &corev1.Secret{}: ours,
			&corev1.ConfigMap{}: ours, &corev1.Service{}: ours, &corev1.ServiceAccount{}: ours, &networkingv1.Ingress{}: ours,
		},
	}
	for _, ns := range namespaces {
		if o.DefaultNamespaces == nil {
			o.DefaultNamespaces = map[string]cache.Config{}
		}
		o.DefaultNamespaces[ns] = cache.Config{}
	}
	return o
}

// Setup adds all reconcilers to a manager.
func Setup(ctx context.Context, mgr ctrl.Manager, o Options) error {
	err := mgr.GetFieldIndexer().IndexField(ctx, &v1alpha1.RegistryUser{}, watch.UsersByRegistry, func(obj client.Object) []string {
		return []string{obj.(*v1alpha1.RegistryUser).Spec.RegistryRef.Name}
	})
	if err != nil {
		return fmt.Errorf("indexing RegistryUsers: %w", err)
	}
	registries := &registry.Reconciler{
		Client: mgr.GetClient(), Live: mgr.GetAPIReader(), Events: mgr.GetEventRecorder("registry-controller"),
		Image: o.Image, Version: o.Version, Address: o.Address, Now: o.Now,
	}
	if err := registries.SetupWithManager(mgr); err != nil {
		return fmt.Errorf("registry controller: %w", err)
	}
	users := &registryuser.Reconciler{
		Client: mgr.GetClient(), Live: mgr.GetAPIReader(), Events: mgr.GetEventRecorder("registryuser-controller"),
		Version: o.Version, Address: o.Address, Now: o.Now,
	}
	if err := users.SetupWithManager(mgr); err != nil {
		return fmt.Errorf("registryuser controller: %w", err)
	}
	return nil
}
