package v1alpha1

import (
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Registry is a registry for Rust crates. The operator runs one for each object: cargo publishes to it and builds from it.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:shortName=reg,categories=crateyard
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="URL",type=string,JSONPath=`.status.url`
// +kubebuilder:printcolumn:name="Version",type=string,JSONPath=`.status.version`
// +kubebuilder:printcolumn:name="Crates",type=integer,JSONPath=`.status.crates`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:printcolumn:name="Reason",type=string,priority=1,JSONPath=`.status.conditions[?(@.type=="Ready")].reason`
// +kubebuilder:printcolumn:name="Status",type=string,priority=1,JSONPath=`.status.conditions[?(@.type=="Ready")].message`
// +kubebuilder:validation:XValidation:rule="size(self.metadata.name) <= 52 && self.metadata.name.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$')",message="metadata.name names the registry for cargo and its Service: at most 52 lower-case letters, digits and dashes, the first a letter"
type Registry struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// Spec is the registry as it should be. Everything in it has a default.
	// +optional
	Spec RegistrySpec `json:"spec,omitzero"`

	// Status is the registry as the operator last saw it.
	// +optional
	Status RegistryStatus `json:"status,omitzero"`
}

// RegistryList is a list of registries.
//
// +kubebuilder:object:root=true
type RegistryList struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []Registry `json:"items"`
}

// RegistrySpec is a registry as it should be.
//
// +kubebuilder:validation:XValidation:rule="!has(self.replicas) || self.replicas <= 1",fieldPath=".replicas",message="replicas above 1 need spec.catalog.postgres and spec.storage.s3, which this version does not have yet; set replicas to 1"
type RegistrySpec struct {
	// URL is the public address of the registry, with no slash at its end, such as https://crates.acme.dev. It stands in every
	// Cargo.lock, so it should outlive the cluster. Left out, it is that of the ingress, or else of the Service, which is
	// reached from inside the cluster only.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=512
	// +kubebuilder:validation:Pattern=`^https?://[A-Za-z0-9]([-A-Za-z0-9.]*[A-Za-z0-9])?(:[0-9]{1,5})?(/[-A-Za-z0-9._~]+)*$`
	// +kubebuilder:validation:XValidation:rule="!self.endsWith('.git') && !self.contains('/.')",message="url cannot end in .git (cargo before 1.96 confuses such addresses, CVE-2026-5222) nor have a path element that begins with a dot"
	URL string `json:"url,omitempty"`

	// Image that the registry runs. Left out, it is the operator's own, so that both are of one version.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=512
	// +kubebuilder:validation:Pattern=`^[a-zA-Z0-9][-a-zA-Z0-9._:/@]*$`
	Image string `json:"image,omitempty"`

	// ImagePullSecrets hold the credentials to pull the image with.
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=16
	ImagePullSecrets []LocalReference `json:"imagePullSecrets,omitempty"`

	// Replicas is how many pods serve the registry. 0 stops it and keeps all it holds.
	// +optional
	// +default=1
	// +kubebuilder:default=1
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=20
	Replicas *int32 `json:"replicas,omitempty"`

	// Storage says where crate files lie.
	// +optional
	Storage StorageSpec `json:"storage,omitzero"`

	// Catalog says where crates, versions, owners, users and tokens are kept.
	// +optional
	Catalog CatalogSpec `json:"catalog,omitzero"`

	// Access says who may read, and where dependencies may come from.
	// +optional
	Access AccessSpec `json:"access,omitzero"`

	// Publishing says what a crate must be to be published.
	// +optional
	Publishing *PublishingSpec `json:"publishing,omitempty"`

	// RateLimits bound how often something may be done.
	// +optional
	RateLimits *RateLimitsSpec `json:"rateLimits,omitempty"`

	// GitIndex serves the index over git, too, at {url}/git/index, for cargo before 1.68.
	// +optional
	// +default="Enabled"
	// +kubebuilder:default=Enabled
	GitIndex Switch `json:"gitIndex,omitempty"`

	// TrustedProxies are the addresses whose X-Forwarded-For is believed, such as those of the ingress controller's pods. Rate
	// limits, log and audit need it to tell clients apart. Left out, nobody is believed.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=64
	TrustedProxies []CIDR `json:"trustedProxies,omitempty"`

	// Limits bound what may be published.
	// +optional
	Limits LimitsSpec `json:"limits,omitzero"`

	// Ingress makes the registry reachable from outside the cluster.
	// +optional
	Ingress *IngressSpec `json:"ingress,omitempty"`

	// Service shapes the Service in front of the registry.
	// +optional
	Service ServiceSpec `json:"service,omitzero"`

	// Resources that the registry's container asks for and may use at most. Left out: requests of 50m CPU and 64Mi memory,
	// and a limit of 512Mi memory.
	// +optional
	Resources *ResourceRequirements `json:"resources,omitempty"`

	// NodeSelector names labels that a node must have for the registry to run there.
	// +optional
	// +kubebuilder:validation:MaxProperties=32
	NodeSelector map[string]LabelValue `json:"nodeSelector,omitempty"`

	// Tolerations let the registry run on nodes with matching taints.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=32
	Tolerations []Toleration `json:"tolerations,omitempty"`

	// Monitoring says what is made for Prometheus.
	// +optional
	Monitoring MonitoringSpec `json:"monitoring,omitzero"`

	// DeletionPolicy says what happens to the volume with all crates, and to the admin token, when this object is deleted.
	// Retain keeps both, and a Registry made again under the same name finds them. Delete removes them for good.
	// +optional
	// +default="Retain"
	// +kubebuilder:default=Retain
	DeletionPolicy DeletionPolicy `json:"deletionPolicy,omitempty"`

	// Reconciliation, when Disabled, makes the operator leave the registry alone: nothing is changed and nothing repaired.
	// +optional
	// +default="Enabled"
	// +kubebuilder:default=Enabled
	Reconciliation Switch `json:"reconciliation,omitempty"`
}

// StorageSpec says where crate files lie.
type StorageSpec struct {
	// Filesystem keeps them on a volume of the cluster. It is the default.
	// +optional
	Filesystem FilesystemStorage `json:"filesystem,omitzero"`
}

// FilesystemStorage is a PersistentVolumeClaim named {registry}-data.
//
// +kubebuilder:validation:XValidation:rule=`(has(self.storageClassName) ? self.storageClassName : "") == (has(oldSelf.storageClassName) ? oldSelf.storageClassName : "")`,fieldPath=".storageClassName",message="storageClassName cannot change: a volume stays in its class"
// +kubebuilder:validation:XValidation:rule="!has(self.size) || !has(oldSelf.size) || quantity(string(self.size)).compareTo(quantity(string(oldSelf.size))) >= 0",fieldPath=".size",message="size can grow and never shrink"
type FilesystemStorage struct {
	// Size of the volume. It can grow, where the storage class allows that, and never shrink.
	// +optional
	// +default="10Gi"
	// +kubebuilder:default="10Gi"
	// +kubebuilder:validation:XValidation:rule="quantity(string(self)).isGreaterThan(quantity('1Mi'))",message="size must be more than 1Mi"
	Size *resource.Quantity `json:"size,omitempty"`

	// StorageClassName is the class of the volume. Left out, it is the cluster's default class. It cannot change.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	StorageClassName string `json:"storageClassName,omitempty"`
}

// CatalogSpec says where the catalog is kept.
type CatalogSpec struct {
	// SQLite keeps it beside the crate files, on the same volume. It is the default.
	// +optional
	SQLite *SQLiteCatalog `json:"sqlite,omitempty"`
}

// SQLiteCatalog is a catalog in one file; there is nothing to set.
type SQLiteCatalog struct{}

// AccessSpec says who may read, and where dependencies may come from.
type AccessSpec struct {
	// AnonymousRead lets everybody who reaches the registry read index and crates. Disabled, all of it needs a token.
	// +optional
	// +default="Enabled"
	// +kubebuilder:default=Enabled
	AnonymousRead Switch `json:"anonymousRead,omitempty"`

	// AllowedRegistries are those that dependencies of published crates may come from, besides this one: crates-io, or a
	// registry's index as cargo is given it. Left out, it is crates-io; an empty list allows none.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=32
	AllowedRegistries []RegistryLocation `json:"allowedRegistries,omitzero"`
}

// LimitsSpec bounds what may be published.
type LimitsSpec struct {
	// CrateSize is the largest .crate file that is accepted. Left out, it is 10Mi, as on crates.io.
	// +optional
	// +kubebuilder:validation:XValidation:rule="quantity(string(self)).compareTo(quantity('1Ki')) >= 0 && quantity(string(self)).compareTo(quantity('512Mi')) <= 0",message="crateSize must lie between 1Ki and 512Mi"
	CrateSize *resource.Quantity `json:"crateSize,omitempty"`
}

// ServiceSpec shapes the Service in front of the registry.
type ServiceSpec struct {
	// Type of the Service.
	// +optional
	// +default="ClusterIP"
	// +kubebuilder:default=ClusterIP
	// +kubebuilder:validation:Enum=ClusterIP;NodePort;LoadBalancer
	Type string `json:"type,omitempty"`

	// Annotations on the Service, for load balancers that read them.
	// +optional
	// +kubebuilder:validation:MaxProperties=64
	Annotations map[string]AnnotationValue `json:"annotations,omitempty"`
}

// IngressSpec makes an Ingress.
type IngressSpec struct {
	// Host under which the registry answers.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$`
	Host string `json:"host"`

	// ClassName of the ingress controller. Left out, it is the cluster's default.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	ClassName string `json:"className,omitempty"`

	// TLSSecretName is the Secret with the host's certificate. With it, the registry's address begins with https.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	TLSSecretName string `json:"tlsSecretName,omitempty"`

	// Annotations on the Ingress. The size that ingress-nginx lets through is set to fit spec.limits.crateSize.
	// +optional
	// +kubebuilder:validation:MaxProperties=64
	Annotations map[string]AnnotationValue `json:"annotations,omitempty"`
}

// MonitoringSpec says what is made for Prometheus.
type MonitoringSpec struct {
	// ServiceMonitor makes one, for the Prometheus operator, which must be there.
	// +optional
	// +default="Disabled"
	// +kubebuilder:default=Disabled
	ServiceMonitor Switch `json:"serviceMonitor,omitempty"`
}
