package controllers

import (
	"context"
	"errors"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/crateyard/crateyard/api/v1alpha1"
	"github.com/crateyard/crateyard/controllers/cratemirror"
	"github.com/crateyard/crateyard/controllers/internal/names"
	"github.com/crateyard/crateyard/controllers/internal/watch"
	"github.com/crateyard/crateyard/controllers/registry"
	"github.com/crateyard/crateyard/controllers/registryuser"
)

// Options are what the operator is started with.
type Options struct {
	// Namespaces to look at, as in CacheOptions.
	Namespaces []string
	// Image to deploy where a Registry names none.
	Image string
	// Version of the operator.
	Version string
	// Address gives where a Registry's server is reached. Nil: its Service.
	Address func(*v1alpha1.Registry) string
	// OpsAddress gives where a pod that is not ready is asked why, as host:port. Nil: the pod's own address.
	OpsAddress func(*corev1.Pod) string
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
		ByObject:             map[client.Object]cache.ByObject{&v1alpha1.Registry{}: all, &v1alpha1.RegistryUser{}: all, &v1alpha1.CrateMirror{}: all},
	}
	o.DefaultNamespaces = only(namespaces)
	return o
}

// only bounds a cache to namespaces; none: all.
func only(namespaces []string) map[string]cache.Config {
	var configs map[string]cache.Config
	for _, ns := range namespaces {
		if configs == nil {
			configs = map[string]cache.Config{}
		}
		configs[ns] = cache.Config{}
	}
	return configs
}

// metadata is a cache that knows which Secrets and ConfigMaps there are and when they change, and nothing that is in them. Registries and
// CrateMirrors name those of others, which the manager's cache does not hold.
type metadata struct{ cache.Cache }

// GetCache makes the manager start it with its own.
func (m metadata) GetCache() cache.Cache { return m.Cache }

func newMetadata(mgr ctrl.Manager, namespaces []string) (metadata, error) {
	c, err := cache.New(mgr.GetConfig(), cache.Options{
		Scheme: mgr.GetScheme(), Mapper: mgr.GetRESTMapper(), HTTPClient: mgr.GetHTTPClient(),
		DefaultNamespaces: only(namespaces),
		DefaultTransform: func(obj any) (any, error) {
			if o, ok := obj.(metav1.Object); ok {
				o.SetLabels(nil)
				o.SetAnnotations(nil)
				o.SetOwnerReferences(nil)
				o.SetManagedFields(nil)
			}
			return obj, nil
		},
	})
	return metadata{c}, err
}

// indexes lets the reconcilers find objects by what they name.
func indexes(ctx context.Context, mgr ctrl.Manager) error {
	var errs []error
	index := func(obj client.Object, name string, of client.IndexerFunc) {
		errs = append(errs, mgr.GetFieldIndexer().IndexField(ctx, obj, name, of))
	}
	index(&v1alpha1.RegistryUser{}, watch.UsersByRegistry, func(obj client.Object) []string {
		return []string{obj.(*v1alpha1.RegistryUser).Spec.RegistryRef.Name}
	})
	index(&v1alpha1.CrateMirror{}, watch.MirrorsByRegistry, func(obj client.Object) []string {
		return []string{obj.(*v1alpha1.CrateMirror).Spec.RegistryRef.Name}
	})
	index(&v1alpha1.Registry{}, watch.BySecret, func(obj client.Object) []string {
		return registry.ReferencedSecrets(obj.(*v1alpha1.Registry))
	})
	index(&v1alpha1.CrateMirror{}, watch.BySecret, func(obj client.Object) []string {
		return cratemirror.ReferencedSecrets(obj.(*v1alpha1.CrateMirror))
	})
	index(&v1alpha1.CrateMirror{}, watch.ByConfigMap, func(obj client.Object) []string {
		return cratemirror.ReferencedConfigMaps(obj.(*v1alpha1.CrateMirror))
	})
	return errors.Join(errs...)
}

// Setup adds all reconcilers to a manager.
func Setup(ctx context.Context, mgr ctrl.Manager, o Options) error {
	if err := indexes(ctx, mgr); err != nil {
		return fmt.Errorf("indexing: %w", err)
	}
	others, err := newMetadata(mgr, o.Namespaces)
	if err != nil {
		return fmt.Errorf("cache of Secrets and ConfigMaps: %w", err)
	}
	if err := mgr.Add(others); err != nil {
		return fmt.Errorf("cache of Secrets and ConfigMaps: %w", err)
	}
	registries := &registry.Reconciler{
		Client: mgr.GetClient(), Live: mgr.GetAPIReader(), Events: mgr.GetEventRecorder("registry-controller"),
		Image: o.Image, Version: o.Version, Address: o.Address, OpsAddress: o.OpsAddress, Metadata: others, Now: o.Now,
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
	mirrors := &cratemirror.Reconciler{
		Client: mgr.GetClient(), Live: mgr.GetAPIReader(), Events: mgr.GetEventRecorder("cratemirror-controller"),
		Version: o.Version, Address: o.Address, Metadata: others, Now: o.Now,
	}
	if err := mirrors.SetupWithManager(mgr); err != nil {
		return fmt.Errorf("cratemirror controller: %w", err)
	}
	return nil
}
