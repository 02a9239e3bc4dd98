package v1alpha1

import "k8s.io/apimachinery/pkg/api/resource"

// StorageSpec says where crate files lie.
//
// +kubebuilder:validation:XValidation:rule="!has(self.filesystem) || !has(self.s3)",message="storage is either filesystem or s3; remove one of them"
type StorageSpec struct {
	// Filesystem keeps them on a volume of the cluster. It is the default.
	// +optional
	Filesystem FilesystemStorage `json:"filesystem,omitzero"`

	// S3 keeps them in a bucket.
	// +optional
	S3 *S3Storage `json:"s3,omitempty"`
}

// FilesystemStorage is a PersistentVolumeClaim named {registry}-data.
//
// +kubebuilder:validation:XValidation:rule=`(has(self.storageClassName) ? self.storageClassName : "") == (has(oldSelf.storageClassName) ? oldSelf.storageClassName : "")`,fieldPath=".storageClassName",message="storageClassName cannot change: a volume stays in its class"
type FilesystemStorage struct {
	// Size of the volume. It can grow, where the storage class allows that. A volume never shrinks: with a smaller size it stays as it is.
	// +optional
	// +default="10Gi"
	// +kubebuilder:default="10Gi"
	// +kubebuilder:validation:XValidation:rule="isQuantity(string(self))",message="it must be a number with a unit that Kubernetes knows: write 20Gi (1024³ bytes each) or 20G (1000³), with no B behind it"
	// +kubebuilder:validation:XValidation:rule="!isQuantity(string(self)) || quantity(string(self)).isGreaterThan(quantity('1Mi'))",message="size must be more than 1Mi"
	Size *resource.Quantity `json:"size,omitempty"`

	// StorageClassName is the class of the volume. Left out, it is the cluster's default class. It cannot change.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:XValidation:rule="self.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*$')",message="it must be lower-case letters, digits, dashes and dots, with a letter or digit at both ends of each part, such as crates.example.com"
	StorageClassName string `json:"storageClassName,omitempty"`

	// AccessMode of the volume. ReadWriteMany lets pods on several nodes share it, where the storage class allows that; with
	// catalog.postgres there can then be several replicas. It cannot change.
	// +optional
	// +default="ReadWriteOnce"
	// +kubebuilder:default=ReadWriteOnce
	AccessMode AccessMode `json:"accessMode,omitempty"`
}

// AccessMode says how many nodes can mount a volume.
// +kubebuilder:validation:Enum=ReadWriteOnce;ReadWriteMany
type AccessMode string

// The access modes.
const (
	ReadWriteOnce AccessMode = "ReadWriteOnce"
	ReadWriteMany AccessMode = "ReadWriteMany"
)

// S3Storage keeps crate files in a bucket.
type S3Storage struct {
	S3Location `json:",inline"`

	// Delivery of downloads: Proxy streams them through the registry; Redirect sends cargo to the bucket, with an address that
	// holds for a few minutes, so the bucket must be reachable from where cargo runs.
	// +optional
	// +default="Proxy"
	// +kubebuilder:default=Proxy
	// +kubebuilder:validation:Enum=Proxy;Redirect
	Delivery string `json:"delivery,omitempty"`

	// CacheSize bounds the copies of crate files that each pod keeps of what it sends: in its scratch folder, which is larger by as much,
	// or on the volume where there is one, of which the last tenth stays free. 0: none. Left out, it is 1Gi.
	// +optional
	// +kubebuilder:validation:XValidation:rule="isQuantity(string(self))",message="it must be a number with a unit that Kubernetes knows: write 20Gi (1024³ bytes each) or 20G (1000³), with no B behind it"
	// +kubebuilder:validation:XValidation:rule="!isQuantity(string(self)) || (quantity(string(self)).compareTo(quantity('0')) == 0 || quantity(string(self)).compareTo(quantity('1Mi')) >= 0 && quantity(string(self)).compareTo(quantity('10Ti')) <= 0)",message="cacheSize must be 0, for no cache, or lie between 1Mi and 10Ti"
	CacheSize *resource.Quantity `json:"cacheSize,omitempty"`
}

// S3Location is a bucket, or a part of one, on anything that speaks S3.
type S3Location struct {
	// Bucket that is there already.
	// +required
	// +kubebuilder:validation:MinLength=3
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:XValidation:rule="self.matches('^[a-zA-Z0-9][a-zA-Z0-9._-]*[a-zA-Z0-9]$')",message="bucket must be letters, digits, dots, dashes and underscores, with a letter or digit at both ends; what comes before the keys in it is prefix"
	Bucket string `json:"bucket"`

	// Region of the bucket. Left out, it is us-east-1, or what the pod's environment says.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:XValidation:rule="self.matches('^[a-zA-Z0-9][-a-zA-Z0-9]*$')",message="region must be letters, digits and dashes, such as eu-central-1"
	Region string `json:"region,omitempty"`

	// Endpoint of the S3 server, such as https://s3.example.com. Left out, it is Amazon's for the region.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=512
	// +kubebuilder:validation:XValidation:rule="self.matches('^https?://[A-Za-z0-9]([-A-Za-z0-9]*[A-Za-z0-9])?([.][A-Za-z0-9]([-A-Za-z0-9]*[A-Za-z0-9])?)*(:([1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5]))?(/[-A-Za-z0-9._~/]*)?$')",message="endpoint must look like https://s3.example.com, without a user or a password in it; those belong in the Secret of credentialsSecretRef"
	Endpoint string `json:"endpoint,omitempty"`

	// Prefix before all keys, such as team/crates. Left out, the whole bucket is the registry's.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=512
	// +kubebuilder:validation:XValidation:rule="self.matches('^[-A-Za-z0-9._]+(/[-A-Za-z0-9._]+)*$')",message="prefix must be a path without a slash at its ends, such as team/crates"
	Prefix string `json:"prefix,omitempty"`

	// ForcePathStyle puts the bucket's name in the path of addresses instead of the host, as most servers that are not Amazon's
	// need it.
	// +optional
	ForcePathStyle bool `json:"forcePathStyle,omitempty"`

	// CredentialsSecretRef names a Secret with the keys AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and perhaps AWS_SESSION_TOKEN.
	// Left out, the pod's surroundings give credentials, such as those that spec.serviceAccount.annotations ask for.
	// +optional
	CredentialsSecretRef *SecretReference `json:"credentialsSecretRef,omitempty"`

	// Encryption that the S3 server is asked for. Left out, it is as the bucket has it.
	// +optional
	Encryption *S3Encryption `json:"encryption,omitempty"`

	// CASecretRef names a Secret with PEM certificates that are believed besides the system's, under the key ca.crt if it says
	// no other.
	// +optional
	CASecretRef *SecretKeyReference `json:"caSecretRef,omitempty"`
}

// S3Encryption is encryption by the S3 server.
//
// +kubebuilder:validation:XValidation:rule="!has(self.kmsKeyID) || self.type == 'aws:kms'",fieldPath=".kmsKeyID",message="kmsKeyID needs the type aws:kms"
type S3Encryption struct {
	// Type is AES256 for the server's own keys, or aws:kms for keys of AWS KMS.
	// +required
	// +kubebuilder:validation:Enum=AES256;aws:kms
	Type string `json:"type"`

	// KMSKeyID is the key of aws:kms. Left out, it is the bucket's own.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=2048
	KMSKeyID string `json:"kmsKeyID,omitempty"`
}

// CatalogSpec says where the catalog is kept.
//
// +kubebuilder:validation:XValidation:rule="!has(self.sqlite) || !has(self.postgres)",message="the catalog is either sqlite or postgres; remove one of them"
type CatalogSpec struct {
	// SQLite keeps it beside the crate files, on the same volume. It is the default.
	// +optional
	SQLite *SQLiteCatalog `json:"sqlite,omitempty"`

	// Postgres keeps it in a database of a PostgreSQL server, 15 or later.
	// +optional
	Postgres *PostgresCatalog `json:"postgres,omitempty"`
}

// SQLiteCatalog is a catalog in one file; there is nothing to set.
type SQLiteCatalog struct{}

// PostgresCatalog is a catalog in a database that is there already.
type PostgresCatalog struct {
	// URISecretRef names a Secret with the connection URI, such as postgresql://user:password@host/database?sslmode=verify-full,
	// under the key uri if it says no other: what CloudNativePG writes fits. A change of the URI replaces the pods.
	// +required
	URISecretRef SecretKeyReference `json:"uriSecretRef"`

	// CASecretRef names a Secret with the PEM certificate of the database server's authority, under the key ca.crt if it says no
	// other. With it, the server's certificate is verified unless the URI has an sslmode.
	// +optional
	CASecretRef *SecretKeyReference `json:"caSecretRef,omitempty"`

	// MaxConnections is the most that one pod opens. Left out, it is 20.
	// +optional
	// +kubebuilder:validation:Minimum=2
	// +kubebuilder:validation:Maximum=10000
	MaxConnections int32 `json:"maxConnections,omitempty"`
}
