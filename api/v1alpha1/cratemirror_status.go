package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// CrateMirrorStatus is a mirror as the operator last saw it.
type CrateMirrorStatus struct {
	// ObservedGeneration is the generation of the spec that is in effect.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`

	// MirrorName is the mirror's name at the registry.
	// +optional
	// +kubebuilder:validation:MaxLength=63
	MirrorName string `json:"mirrorName,omitempty"`

	// IndexURL is the mirror's index as cargo is given it.
	// +optional
	// +kubebuilder:validation:MaxLength=1024
	IndexURL string `json:"indexURL,omitempty"`

	// CargoConfig holds the lines for cargo's config.toml that make it use the mirror.
	// +optional
	// +kubebuilder:validation:MaxLength=4096
	CargoConfig string `json:"cargoConfig,omitempty"`

	// Sync says how far the caching ahead of what crates and lockfiles name is.
	// +optional
	Sync MirrorSyncStatus `json:"sync,omitzero"`

	// Lockfiles are those that the mirror keeps the versions of.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=256
	Lockfiles []LockfileStatus `json:"lockfiles,omitempty"`

	// Crates is how many crate files are cached.
	// +optional
	Crates int64 `json:"crates,omitempty"`

	// IndexFiles is how many files of upstream's index are cached: one for each crate.
	// +optional
	IndexFiles int64 `json:"indexFiles,omitempty"`

	// Bytes is how many bytes the cached crate files have.
	// +optional
	Bytes int64 `json:"bytes,omitempty"`

	// Size is Bytes for people, such as 1.2Gi.
	// +optional
	// +kubebuilder:validation:MaxLength=16
	Size string `json:"size,omitempty"`

	// Problems are what somebody should look at, apart from failures of a sync: a changed checksum, say.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=20
	// +kubebuilder:validation:items:MaxLength=1100
	Problems []string `json:"problems,omitempty"`

	// Shadowed are crates that both the Registry and upstream have: a build may get the wrong one.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=20
	// +kubebuilder:validation:items:MaxLength=128
	Shadowed []string `json:"shadowed,omitempty"`

	// LastHandledReconcileAt is the value of the annotation crateyard.dev/requested-at that was last acted upon.
	// +optional
	// +kubebuilder:validation:MaxLength=256
	LastHandledReconcileAt string `json:"lastHandledReconcileAt,omitempty"`

	// LastHandledSyncAt is the value of the annotation crateyard.dev/sync-requested-at that was last acted upon.
	// +optional
	// +kubebuilder:validation:MaxLength=256
	LastHandledSyncAt string `json:"lastHandledSyncAt,omitempty"`

	// Conditions say how the mirror is: Ready, Reconciling, Stalled, RegistryReady, PolicyValid, UpstreamReady, LockfilesReady,
	// Synced.
	// +optional
	// +listType=map
	// +listMapKey=type
	// +kubebuilder:validation:MaxItems=16
	Conditions []metav1.Condition `json:"conditions,omitempty"`
}

// MirrorSyncStatus is the sync that runs, or the last one.
type MirrorSyncStatus struct {
	// Running says that one is at work.
	// +optional
	Running bool `json:"running,omitempty"`

	// Progress is Done and Total for people, such as 812/1000; 812/1000+ while Total grows.
	// +optional
	// +kubebuilder:validation:MaxLength=48
	Progress string `json:"progress,omitempty"`

	// Total is how many versions are wanted, and entries that lead to none, as far as is known; it grows while dependencies are
	// followed. What of it is neither done nor failed was not tried yet.
	// +optional
	Total int64 `json:"total,omitempty"`

	// Done is how many of them are cached.
	// +optional
	Done int64 `json:"done,omitempty"`

	// Failed is how many of them, versions and requirements, could not be cached.
	// +optional
	Failed int64 `json:"failed"`

	// Fetched is how many versions this sync has fetched.
	// +optional
	Fetched int64 `json:"fetched,omitempty"`

	// FetchedBytes is how many bytes these have.
	// +optional
	FetchedBytes int64 `json:"fetchedBytes,omitempty"`

	// StartedAt is when the last sync began. Missing: never.
	// +optional
	StartedAt *metav1.Time `json:"startedAt,omitempty"`

	// EndedAt is when the last sync that ended did. Missing: never.
	// +optional
	EndedAt *metav1.Time `json:"endedAt,omitempty"`

	// LastSuccessful is when a sync last ended without a failure, with upstream asked about all that is listed. Missing: never.
	// +optional
	LastSuccessful *metav1.Time `json:"lastSuccessful,omitempty"`

	// NextAt is when the next sync is due: by spec.schedule, or to try again what failed.
	// +optional
	NextAt *metav1.Time `json:"nextAt,omitempty"`

	// Message says why the sync as a whole failed, or is no success although nothing of it failed.
	// +optional
	// +kubebuilder:validation:MaxLength=1100
	Message string `json:"message,omitempty"`

	// Failures are the first of what could not be cached.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=20
	Failures []MirrorFailure `json:"failures,omitempty"`
}

// MirrorFailure is a version or requirement that could not be cached.
type MirrorFailure struct {
	// Crate is its name.
	// +required
	// +kubebuilder:validation:MaxLength=128
	Crate string `json:"crate"`

	// Version, or the requirement that no version fits.
	// +optional
	// +kubebuilder:validation:MaxLength=512
	Version string `json:"version,omitempty"`

	// From says who wants it: spec.crates, a lockfile, or a crate that depends on it.
	// +optional
	// +kubebuilder:validation:MaxLength=1100
	From string `json:"from,omitempty"`

	// Reason why it could not be cached.
	// +required
	// +kubebuilder:validation:MaxLength=1100
	Reason string `json:"reason"`
}

// LockfileStatus is a Cargo.lock that the mirror keeps the versions of.
type LockfileStatus struct {
	// ConfigMap that the file came from.
	// +required
	// +kubebuilder:validation:MaxLength=253
	ConfigMap string `json:"configMap"`

	// Key in the ConfigMap.
	// +required
	// +kubebuilder:validation:MaxLength=253
	Key string `json:"key"`

	// SHA256 of the file that is in effect, which is an older one while the ConfigMap holds none that can be read.
	// +optional
	// +kubebuilder:validation:MaxLength=64
	SHA256 string `json:"sha256,omitempty"`

	// Versions is how many versions the mirror keeps for it.
	// +optional
	Versions int64 `json:"versions"`

	// Skipped is how many packages of the file are of other sources, such as git, which the mirror cannot have.
	// +optional
	Skipped int64 `json:"skipped,omitempty"`

	// Message says why the ConfigMap's file is not in effect.
	// +optional
	// +kubebuilder:validation:MaxLength=1100
	Message string `json:"message,omitempty"`
}
