package controllers

import (
	"context"
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/labels"
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

// CacheOptions bounds the cache to some namespaces (none: all), and to our own kinds and what the operator made itself: it must
// not hold every Secret of a cluster.
func CacheOptions(namespaces ...string) cache.Options {
	all := cache.ByObject{Label: labels.Everything()}
	o := cache.Options{
		DefaultTransform:     cache.TransformStripManagedFields(),
		DefaultLabelSelector: names.Managed(),
		ByObject:             map[client.Object]cache.ByObject{&v1alpha1.Registry{}: all, &v1alpha1.RegistryUser{}: all},
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
