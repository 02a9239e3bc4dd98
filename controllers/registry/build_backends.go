package registry

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	corev1ac "k8s.io/client-go/applyconfigurations/core/v1"

	"github.com/crateyard/crateyard/api/v1alpha1"
	"github.com/crateyard/crateyard/controllers/internal/names"
)

// cratesDir is where the volume is mounted when it holds crate files only. They lie in the same folder of it as beside SQLite.
const (
	cratesDir    = "/crates"
	cratesFolder = cratesDir + "/storage"
)

// What a pod keeps on its node is bounded: the index for git, which is built anew when it is lost, and uploads on their way; and copies of
// crate files in a bucket, of which the server keeps so much where nothing is said.
var (
	scratchBase  = resource.MustParse("10Gi")
	defaultCache = resource.MustParse("1Gi")
)

// scratchSize is what the node is asked for. It is never less than the server may take: the kubelet evicts a pod that takes more.
func scratchSize(r *v1alpha1.Registry) resource.Quantity {
	size := scratchBase.DeepCopy()
	if s3 := r.Spec.Storage.S3; s3 != nil {
		cache := defaultCache
		if s3.CacheSize != nil {
			cache = *s3.CacheSize
		}
		size.Add(cache)
	}
	return size
}

// needsVolume reports whether anything of a Registry lies on a volume.
func needsVolume(r *v1alpha1.Registry) bool {
	return r.Spec.Catalog.Postgres == nil || r.Spec.Storage.S3 == nil
}

// scalable reports whether several pods can serve a Registry at a time.
func scalable(r *v1alpha1.Registry) bool {
	s := r.Spec.Storage
	return r.Spec.Catalog.Postgres != nil && (s.S3 != nil || s.Filesystem.AccessMode == v1alpha1.ReadWriteMany)
}

// place is a volume of the pod, and where its containers find it.
type place struct {
	volume *corev1ac.VolumeApplyConfiguration
	mount  *corev1ac.VolumeMountApplyConfiguration
}

// places are all volumes of the pod.
func (p Params) places() []place {
	at := func(name, path string) (*corev1ac.VolumeApplyConfiguration, *corev1ac.VolumeMountApplyConfiguration) {
		return corev1ac.Volume().WithName(name), corev1ac.VolumeMount().WithName(name).WithMountPath(path)
	}
	claim := corev1ac.PersistentVolumeClaimVolumeSource().WithClaimName(names.Data(p.name()))
	var all []place
	data, dataMount := at("data", dataDir)
	if p.Registry.Spec.Catalog.Postgres == nil {
		all = append(all, place{data.WithPersistentVolumeClaim(claim), dataMount})
	} else {
		all = append(all, place{data.WithEmptyDir(corev1ac.EmptyDirVolumeSource().WithSizeLimit(scratchSize(p.Registry))), dataMount})
		if p.Registry.Spec.Storage.S3 == nil {
			crates, mount := at("crates", cratesDir)
			all = append(all, place{crates.WithPersistentVolumeClaim(claim), mount})
		}
	}
	config, configMount := at("config", configDir)
	admin, adminMount := at("admin", adminDir)
	all = append(all,
		place{config.WithConfigMap(corev1ac.ConfigMapVolumeSource().WithName(names.Config(p.name()))), configMount.WithReadOnly(true)},
		place{admin.WithSecret(corev1ac.SecretVolumeSource().WithSecretName(names.AdminSecret(p.name())).WithDefaultMode(0o440)), adminMount.WithReadOnly(true)})
	for _, ref := range secretRefs(p.Registry) {
		secret, mount := at(ref.volume, secretDir(ref.volume))
		all = append(all, place{secret.WithSecret(ref.source()), mount.WithReadOnly(true)})
	}
	tmp, tmpMount := at("tmp", "/tmp")
	return append(all, place{tmp.WithEmptyDir(corev1ac.EmptyDirVolumeSource()), tmpMount})
}

func (ref secretRef) source() *corev1ac.SecretVolumeSourceApplyConfiguration {
	source := corev1ac.SecretVolumeSource().WithSecretName(ref.name).WithDefaultMode(0o440)
	if ref.file != "" { // and no other key: a Secret may hold more than is our business
		source.WithItems(corev1ac.KeyToPath().WithKey(ref.keys[0]).WithPath(ref.file))
	}
	if ref.optional {
		source.WithOptional(true)
	}
	return source
}

// env is the environment of the pod's containers.
func (p Params) env() []*corev1ac.EnvVarApplyConfiguration {
	pg := p.Registry.Spec.Catalog.Postgres
	if pg == nil || pg.CASecretRef == nil {
		return nil
	}
	return []*corev1ac.EnvVarApplyConfiguration{ // libpq's own, which hold where the URI says nothing
		corev1ac.EnvVar().WithName("PGSSLMODE").WithValue("verify-full"),
		corev1ac.EnvVar().WithName("PGSSLROOTCERT").WithValue(secretDir(postgresVolume+caSuffix) + "/" + caKey),
	}
}

// claimMode is the access mode of the volume.
func (p Params) claimMode() corev1.PersistentVolumeAccessMode {
	if p.Registry.Spec.Storage.Filesystem.AccessMode == v1alpha1.ReadWriteMany {
		return corev1.ReadWriteMany
	}
	return corev1.ReadWriteOnce
}
