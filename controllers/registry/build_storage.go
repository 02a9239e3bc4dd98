package registry

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	corev1ac "k8s.io/client-go/applyconfigurations/core/v1"

	"github.com/crateyard/crateyard/controllers/internal/names"
)

// defaultSize of the volume.
var defaultSize = resource.MustParse("10Gi")

// volumeClaim is the volume of catalog and crates, or of one of them.
func (p Params) volumeClaim() *corev1ac.PersistentVolumeClaimApplyConfiguration {
	spec := corev1ac.PersistentVolumeClaimSpec().
		WithAccessModes(p.claimMode()).
		WithResources(corev1ac.VolumeResourceRequirements().WithRequests(corev1.ResourceList{corev1.ResourceStorage: p.dataSize()}))
	if class := p.Registry.Spec.Storage.Filesystem.StorageClassName; class != "" {
		spec.WithStorageClassName(class)
	}
	return corev1ac.PersistentVolumeClaim(names.Data(p.name()), p.Registry.Namespace).
		WithLabels(p.labels()).WithAnnotations(p.lastUser()).WithOwnerReferences(p.keepers()...).
		WithSpec(spec)
}

// wantedSize is the size that the spec asks for.
func (p Params) wantedSize() resource.Quantity {
	if q := p.Registry.Spec.Storage.Filesystem.Size; q != nil {
		return *q
	}
	return defaultSize
}

// dataSize is the size to apply. A volume cannot shrink, so one that is larger, such as one found again, keeps its size.
func (p Params) dataSize() resource.Quantity {
	want := p.wantedSize()
	if p.DataSize != nil && (p.Ungrown || p.DataSize.Cmp(want) > 0) {
		return *p.DataSize
	}
	return want
}

// grows reports whether the volume is there and is to be larger.
func (p Params) grows() bool {
	want := p.wantedSize()
	return p.DataSize != nil && p.DataSize.Cmp(want) < 0
}

// adminSecret is all of the admin Secret but its token.
func (p Params) adminSecret() *corev1ac.SecretApplyConfiguration {
	return corev1ac.Secret(names.AdminSecret(p.name()), p.Registry.Namespace).
		WithLabels(p.labels()).WithAnnotations(p.lastUser()).WithOwnerReferences(p.keepers()...)
}
