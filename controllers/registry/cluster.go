package registry

import (
	"context"
	"fmt"

	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	storagev1 "k8s.io/api/storage/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/crateyard/crateyard/api/v1alpha1"
	"github.com/crateyard/crateyard/controllers/internal/names"
)

// defaultClassAnnotation marks a cluster's default storage class.
const defaultClassAnnotation = "storageclass.kubernetes.io/is-default-class"

// ServiceAddress is where a Registry's server is reached from inside the cluster.
func ServiceAddress(r *v1alpha1.Registry) string {
	return "http://" + r.Name + "." + r.Namespace + ".svc:80" + trimSlash(urlPath(DesiredURL(r)))
}

func trimSlash(path string) string {
	if path == "/" {
		return ""
	}
	return path
}

func (s *scope) address() string {
	if s.Address != nil {
		return s.Address(s.registry)
	}
	return ServiceAddress(s.registry)
}

// knowsServiceMonitors asks whether the cluster has the Prometheus operator's CRD. The mapper looks again when it does not
// know a kind, so one that is installed later is found.
func (s *scope) knowsServiceMonitors() bool {
	if (Params{Registry: s.registry}).wantsServiceMonitor() {
		_, err := s.Client.RESTMapper().RESTMapping(serviceMonitorKind.GroupKind(), serviceMonitorKind.Version)
		return err == nil
	}
	return false
}

// optionalChild is a child that may have to go.
type optionalChild struct {
	name   string
	obj    client.Object
	wanted bool
	reader client.Reader
}

func (s *scope) optional() []optionalChild {
	list := []optionalChild{
		{"Ingress", &networkingv1.Ingress{}, s.registry.Spec.Ingress != nil, s.Client},
		{"PodDisruptionBudget", &policyv1.PodDisruptionBudget{}, wantsBudget(s.registry), s.Client},
	}
	// A ServiceMonitor is looked for only while it is, or was, wanted: the read is not cached.
	wanted := s.registry.Spec.Monitoring.ServiceMonitor == v1alpha1.Enabled
	if !wanted && hadServiceMonitor(s.registry) {
		sm := &unstructured.Unstructured{}
		sm.SetGroupVersionKind(serviceMonitorKind)
		list = append(list, optionalChild{"ServiceMonitor", sm, false, s.Live})
	}
	return list
}

// checkStorageClass says why no volume can come of the Registry's storage class; empty when nothing speaks against it. unread reports that the
// operator may not look, as where it has Roles alone.
func (s *scope) checkStorageClass(ctx context.Context) (why string, unread bool) {
	if name := s.registry.Spec.Storage.Filesystem.StorageClassName; name != "" {
		err := s.Live.Get(ctx, client.ObjectKey{Name: name}, &storagev1.StorageClass{})
		if apierrors.IsNotFound(err) {
			return fmt.Sprintf("there is no StorageClass %s; make it, or delete this Registry and PersistentVolumeClaim %s, which holds nothing, and make the Registry with another spec.storage.filesystem.storageClassName", name, names.Data(s.registry.Name)), false
		}
		return "", apierrors.IsForbidden(err)
	}
	classes := &storagev1.StorageClassList{}
	if err := s.Live.List(ctx, classes); err != nil {
		return "", apierrors.IsForbidden(err)
	}
	for _, c := range classes.Items {
		if c.Annotations[defaultClassAnnotation] == "true" {
			return "", false
		}
	}
	return "the cluster has no default StorageClass; mark one as default, or name one in spec.storage.filesystem.storageClassName", false
}
