package registry

import (
	"maps"
	"slices"

	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	metav1ac "k8s.io/client-go/applyconfigurations/meta/v1"

	"github.com/crateyard/crateyard/api/v1alpha1"
	"github.com/crateyard/crateyard/controllers/internal/names"
)

// Params are all that the children of a Registry depend on.
type Params struct {
	Registry *v1alpha1.Registry
	// Image to deploy where the spec names none.
	Image string
	// AdminToken decides when the pod has to start anew. It stands in no child but as part of a digest.
	AdminToken string
	// Secrets is a digest of what the Secrets of others hold, for the same purpose. Empty when there are none.
	Secrets []byte
	// DataSize is the size of the volume as it is. Nil when there is none yet.
	DataSize *resource.Quantity
	// Ungrown has it keep that size, whatever the spec asks for.
	Ungrown bool
	// ServiceMonitors says whether the cluster knows them.
	ServiceMonitors bool
}

// Build gives the children of a Registry as they should be, in the order in which they are applied: what a pod mounts comes
// before the pod. The admin Secret's metadata is among them; its token is not, for that is made once, at random.
func Build(p Params) ([]*unstructured.Unstructured, error) {
	configs := []any{p.serviceAccount(), p.adminSecret(), p.configMap()}
	if needsVolume(p.Registry) {
		configs = append(configs, p.volumeClaim())
	}
	configs = append(configs, p.service(), p.metricsService())
	if wantsBudget(p.Registry) {
		configs = append(configs, p.budget())
	}
	configs = append(configs, p.deployment())
	if p.Registry.Spec.Ingress != nil {
		configs = append(configs, p.ingress())
	}
	var children []*unstructured.Unstructured
	for _, c := range configs {
		content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(c)
		if err != nil {
			return nil, err
		}
		children = append(children, &unstructured.Unstructured{Object: content})
	}
	if p.wantsServiceMonitor() && p.ServiceMonitors {
		children = append(children, p.serviceMonitor())
	}
	return children, nil
}

// DesiredURL gives the public address of a Registry: what its spec says, else its ingress, else its Service.
func DesiredURL(r *v1alpha1.Registry) string {
	switch in := r.Spec.Ingress; {
	case r.Spec.URL != "":
		return r.Spec.URL
	case in != nil && in.TLSSecretName != "":
		return "https://" + in.Host
	case in != nil:
		return "http://" + in.Host
	}
	return "http://" + r.Name + "." + r.Namespace + ".svc"
}

// aliases are the addresses under which a Registry is reached besides its public one: what its spec says, and those of its Service.
func aliases(r *v1alpha1.Registry) (all []string) {
	service := "http://" + r.Name + "." + r.Namespace
	for _, a := range r.Spec.Aliases {
		all = append(all, string(a))
	}
	all = append(all, service, service+".svc", service+".svc.cluster.local")
	return slices.DeleteFunc(all, func(a string) bool { return a == DesiredURL(r) })
}

func (p Params) name() string { return p.Registry.Name }

func (p Params) labels() map[string]string { return names.ForRegistry(p.Registry) }

// owner makes the Registry own a child: the garbage collector removes both.
func (p Params) owner() *metav1ac.OwnerReferenceApplyConfiguration {
	return metav1ac.OwnerReference().
		WithAPIVersion(v1alpha1.GroupVersion.String()).WithKind("Registry").
		WithName(p.name()).WithUID(p.Registry.UID).
		WithController(true).WithBlockOwnerDeletion(true)
}

// keepers are the owners of what holds data: nobody, unless the Registry asks for its deletion.
func (p Params) keepers() []*metav1ac.OwnerReferenceApplyConfiguration {
	if p.Registry.Spec.DeletionPolicy == v1alpha1.DeletionDelete {
		return []*metav1ac.OwnerReferenceApplyConfiguration{p.owner()}
	}
	return nil
}

// lastUser says on what outlives a Registry which one used it last.
func (p Params) lastUser() map[string]string {
	return map[string]string{names.RegistryUIDAnnotation: string(p.Registry.UID)}
}

func (p Params) wantsServiceMonitor() bool {
	return p.Registry.Spec.Monitoring.ServiceMonitor == v1alpha1.Enabled
}

// crateSize gives the largest crate file in bytes.
func (p Params) crateSize() int64 {
	if q := p.Registry.Spec.Limits.CrateSize; q != nil {
		return q.Value()
	}
	return defaultCrateSize
}

// defaultCrateSize is that of crates.io, and of the server.
const defaultCrateSize = 10 << 20

// annotationsWith turns bounded annotations into plain ones, over those that the operator sets itself.
func annotationsWith(own map[string]string, given map[string]v1alpha1.AnnotationValue) map[string]string {
	all := maps.Clone(own)
	if all == nil {
		all = map[string]string{}
	}
	for k, v := range given {
		all[k] = string(v)
	}
	return all
}
