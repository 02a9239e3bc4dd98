package v1alpha1

import (
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Registry is a registry for Rust crates. The operator runs one for each object: cargo publishes to it and builds from it.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:subresource:scale:specpath=.spec.replicas,statuspath=.status.replicas,selectorpath=.status.selector
// +kubebuilder:resource:shortName=reg,categories=crateyard
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="URL",type=string,JSONPath=`.status.url`
// +kubebuilder:printcolumn:name="Version",type=string,JSONPath=`.status.version`
// +kubebuilder:printcolumn:name="Crates",type=integer,JSONPath=`.status.crates`
// +kubebuilder:printcolumn:name="Reason",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].reason`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:printcolumn:name="Pods",type=integer,priority=1,JSONPath=`.status.replicas`
// +kubebuilder:printcolumn:name="Ready Pods",type=integer,priority=1,JSONPath=`.status.readyReplicas`
// +kubebuilder:printcolumn:name="Last Backup",type=date,priority=1,JSONPath=`.status.backup.lastSuccessful`
// +kubebuilder:printcolumn:name="Status",type=string,priority=1,JSONPath=`.status.conditions[?(@.type=="Ready")].message`
// +kubebuilder:validation:XValidation:rule="size(self.metadata.name) <= 52 && self.metadata.name.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$')",message="metadata.name names the registry for cargo and its Service: at most 52 lower-case letters, digits and dashes, the first a letter"
// +kubebuilder:validation:XValidation:rule="!has(oldSelf.status) || !has(oldSelf.status.version) || (has(self.spec) && has(self.spec.catalog) && has(self.spec.catalog.postgres)) == (has(oldSelf.spec) && has(oldSelf.spec.catalog) && has(oldSelf.spec.catalog.postgres))",fieldPath=".spec.catalog",message="a registry that has served cannot move between sqlite and postgres: what it knows would not move along. Back it up and restore it into a new Registry, see docs/operations.md"
// +kubebuilder:validation:XValidation:rule="!has(oldSelf.status) || !has(oldSelf.status.version) || (has(self.spec) && has(self.spec.storage) && has(self.spec.storage.s3)) == (has(oldSelf.spec) && has(oldSelf.spec.storage) && has(oldSelf.spec.storage.s3))",fieldPath=".spec.storage",message="a registry that has served cannot move between filesystem and s3: its crates would not move along. Back it up and restore it into a new Registry, see docs/operations.md"
// +kubebuilder:validation:XValidation:rule="!has(self.spec) || !has(self.spec.restoreFrom) || !has(oldSelf.status) || !has(oldSelf.status.version) || has(oldSelf.spec) && has(oldSelf.spec.restoreFrom) && self.spec.restoreFrom == oldSelf.spec.restoreFrom",fieldPath=".spec.restoreFrom",message="a registry that has served cannot be restored into: only an empty one can. Make a new Registry with this restoreFrom, see docs/operations.md"
type Registry struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// Spec is the registry as it should be. Everything in it has a default.
	// +optional
	// +kubebuilder:default={}
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
// +kubebuilder:validation:XValidation:rule="!has(self.replicas) || self.replicas <= 1 || has(self.catalog) && has(self.catalog.postgres) && has(self.storage) && (has(self.storage.s3) || has(self.storage.filesystem) && has(self.storage.filesystem.accessMode) && self.storage.filesystem.accessMode == 'ReadWriteMany')",fieldPath=".replicas",message="replicas above 1 need spec.catalog.postgres, and spec.storage.s3 or a volume with spec.storage.filesystem.accessMode ReadWriteMany; set them, or set replicas to 1"
// +kubebuilder:validation:XValidation:rule="(has(self.storage) && has(self.storage.filesystem) && has(self.storage.filesystem.accessMode) ? self.storage.filesystem.accessMode : 'ReadWriteOnce') == (has(oldSelf.storage) && has(oldSelf.storage.filesystem) && has(oldSelf.storage.filesystem.accessMode) ? oldSelf.storage.filesystem.accessMode : 'ReadWriteOnce')",fieldPath=".storage",message="filesystem.accessMode cannot change: a volume keeps it. Back this registry up and restore it into a new Registry, see docs/operations.md"
// +kubebuilder:validation:XValidation:rule=`!has(self.backup) || !has(self.storage) || !has(self.storage.s3) || self.backup.s3.bucket != self.storage.s3.bucket || (has(self.backup.s3.endpoint) ? self.backup.s3.endpoint : "") != (has(self.storage.s3.endpoint) ? self.storage.s3.endpoint : "") || (has(self.backup.s3.prefix) ? self.backup.s3.prefix : "") != (has(self.storage.s3.prefix) ? self.storage.s3.prefix : "")`,fieldPath=".backup.s3",message="a backup cannot lie where the crates lie; give it another bucket, or another prefix at least"
type RegistrySpec struct {
	// URL is the public address of the registry, with no slash at its end, such as https://crates.acme.dev. It stands in every
	// Cargo.lock, so it should outlive the cluster. Left out, it is that of the ingress, or else of the Service, which is
	// reached from inside the cluster only.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=512
	// +kubebuilder:validation:XValidation:rule="self.matches('^https?://[A-Za-z0-9]([-A-Za-z0-9]*[A-Za-z0-9])?([.][A-Za-z0-9]([-A-Za-z0-9]*[A-Za-z0-9])?)*(:([1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5]))?(/[-A-Za-z0-9._~]+)*$')",message="url must begin with https:// or http://, name a host, have a port of at most 65535 if any, and no slash at its end and no user, query or fragment, such as https://crates.acme.dev"
	// +kubebuilder:validation:XValidation:rule="!self.endsWith('.git') && !self.contains('/.')",message="url cannot end in .git (cargo before 1.96 confuses such addresses, CVE-2026-5222) nor have a path element that begins with a dot"
	URL string `json:"url,omitempty"`

	// Aliases are other addresses under which the registry is reached, such as an older one: what depends on a crate from there depends
	// on one of this registry. Those of its Service need not be named.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=16
	Aliases []RegistryAddress `json:"aliases,omitempty"`

	// Image that the registry runs. Left out, it is the operator's own, so that both are of one version.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=512
	// +kubebuilder:validation:XValidation:rule="self.matches('^[a-zA-Z0-9][-a-zA-Z0-9._:/@]*$')",message="image must be the name of an image, such as registry.example.com/crateyard:v1.2.3"
	Image string `json:"image,omitempty"`

	// ImagePullSecrets hold the credentials to pull the image with.
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=16
	ImagePullSecrets []SecretReference `json:"imagePullSecrets,omitempty"`

	// Replicas is how many pods serve the registry. 0 stops it and keeps all it holds. More than 1 need catalog.postgres, and
	// storage.s3 or a volume that many nodes can mount.
	// +optional
	// +default=1
	// +kubebuilder:default=1
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=20
	Replicas *int32 `json:"replicas,omitempty"`

	// Storage says where crate files lie: on a volume, or in a bucket. It cannot change once the registry has served.
	// +optional
	Storage StorageSpec `json:"storage,omitzero"`

	// Catalog says where crates, versions, owners, users and tokens are kept. It cannot change once the registry has served.
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

	// Backup makes a copy of the whole registry now and then, in a bucket.
	// +optional
	Backup *BackupSpec `json:"backup,omitempty"`

	// RestoreFrom makes a new registry begin with what a backup holds. It acts once, on an empty registry, and never overwrites
	// anything; status.restoredAt says when that was done. Afterwards it may be removed.
	// +optional
	RestoreFrom *RestoreSpec `json:"restoreFrom,omitempty"`

	// Sweep removes crate files that nothing names any more, such as those of publishes that failed.
	// +optional
	Sweep *SweepSpec `json:"sweep,omitempty"`

	// Scrub reads stored crate files again, slowly, to find those that are damaged.
	// +optional
	Scrub *ScrubSpec `json:"scrub,omitempty"`

	// Audit says how long the record of changes is kept.
	// +optional
	Audit *AuditSpec `json:"audit,omitempty"`

	// ServiceAccount shapes the ServiceAccount that the registry's pods run under.
	// +optional
	ServiceAccount ServiceAccountSpec `json:"serviceAccount,omitzero"`

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
	// Retain keeps both, and a Registry made again under the same name finds them. Delete removes them for good. Buckets and
	// databases are never removed, and keep all that is in them: crates, users and tokens.
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
	// +kubebuilder:validation:XValidation:rule="isQuantity(string(self))",message="it must be a number with a unit that Kubernetes knows: write 20Gi (1024³ bytes each) or 20G (1000³), with no B behind it"
	// +kubebuilder:validation:XValidation:rule="!isQuantity(string(self)) || quantity(string(self)).compareTo(quantity('1Ki')) >= 0 && quantity(string(self)).compareTo(quantity('512Mi')) <= 0",message="crateSize must lie between 1Ki and 512Mi"
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
	// +kubebuilder:validation:XValidation:rule="self.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*$')",message="it must be lower-case letters, digits, dashes and dots, with a letter or digit at both ends of each part, such as crates.example.com"
	Host string `json:"host"`

	// ClassName of the ingress controller. Left out, it is the cluster's default.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:XValidation:rule="self.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*$')",message="it must be lower-case letters, digits, dashes and dots, with a letter or digit at both ends of each part, such as crates.example.com"
	ClassName string `json:"className,omitempty"`

	// TLSSecretName is the Secret with the host's certificate. With it, the registry's address begins with https.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:XValidation:rule="self.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*$')",message="it must be lower-case letters, digits, dashes and dots, with a letter or digit at both ends of each part, such as crates.example.com"
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
