package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// RegistryStatus is a registry as the operator last saw it.
type RegistryStatus struct {
	// ObservedGeneration is the generation of the spec that is in effect.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`

	// URL is the public address of the registry.
	// +optional
	// +kubebuilder:validation:MaxLength=1024
	URL string `json:"url,omitempty"`

	// IndexURL is what cargo is given as `index` of the registry.
	// +optional
	// +kubebuilder:validation:MaxLength=1024
	IndexURL string `json:"indexURL,omitempty"`

	// Version of Crateyard that serves the registry.
	// +optional
	// +kubebuilder:validation:MaxLength=128
	Version string `json:"version,omitempty"`

	// Crates is how many crates the registry holds, as of the operator's last look: at most 15 s ago while Ready is True, and longer while the server
	// does not answer.
	// +optional
	Crates *int64 `json:"crates,omitempty"`

	// Versions is how many versions of crates the registry holds, as of the same look.
	// +optional
	Versions *int64 `json:"versions,omitempty"`

	// Replicas is how many pods there are.
	// +optional
	Replicas int32 `json:"replicas,omitempty"`

	// ReadyReplicas is how many pods answer.
	// +optional
	ReadyReplicas int32 `json:"readyReplicas,omitempty"`

	// Selector selects the registry's pods, for `kubectl scale` and autoscalers.
	// +optional
	// +kubebuilder:validation:MaxLength=1024
	Selector string `json:"selector,omitempty"`

	// RestoredAt is when spec.restoreFrom was done with. From then on it has no effect.
	// +optional
	RestoredAt *metav1.Time `json:"restoredAt,omitempty"`

	// Backup is what is known of backups; there with spec.backup.
	// +optional
	Backup *BackupStatus `json:"backup,omitempty"`

	// Scrub is what reading stored crate files again has found.
	// +optional
	Scrub *ScrubStatus `json:"scrub,omitempty"`

	// AdminTokenSecretName is the Secret whose key `token` holds the token of the user admin.
	// +optional
	// +kubebuilder:validation:MaxLength=253
	AdminTokenSecretName string `json:"adminTokenSecretName,omitempty"`

	// LastHandledReconcileAt is the value of the annotation crateyard.dev/requested-at that was last acted upon.
	// +optional
	// +kubebuilder:validation:MaxLength=256
	LastHandledReconcileAt string `json:"lastHandledReconcileAt,omitempty"`

	// Conditions say how the registry is: Ready, Reconciling, Stalled, StorageReady, CatalogReady, WorkloadReady,
	// ServerReachable, IngressReady, MonitoringReady, BackupReady, CratesIntact, ClocksAgree.
	// +optional
	// +listType=map
	// +listMapKey=type
	// +kubebuilder:validation:MaxItems=16
	Conditions []metav1.Condition `json:"conditions,omitempty"`
}

// BackupStatus is what is known of a registry's backups.
type BackupStatus struct {
	// LastSuccessful is when the last backup that succeeded was made.
	// +optional
	LastSuccessful *metav1.Time `json:"lastSuccessful,omitempty"`

	// Name of that backup, for spec.restoreFrom.name.
	// +optional
	// +kubebuilder:validation:MaxLength=256
	Name string `json:"name,omitempty"`

	// Bytes is how large the crate files of that backup are together.
	// +optional
	Bytes *int64 `json:"bytes,omitempty"`

	// Blobs is how many crate files that backup holds.
	// +optional
	Blobs *int64 `json:"blobs,omitempty"`

	// LastFailed is when a backup failed last.
	// +optional
	LastFailed *metav1.Time `json:"lastFailed,omitempty"`
}

// ScrubStatus is what reading stored crate files again has found.
type ScrubStatus struct {
	// LastCompleted is when all of them had been read last.
	// +optional
	LastCompleted *metav1.Time `json:"lastCompleted,omitempty"`

	// Problems is how many of them are damaged or missing.
	// +optional
	Problems *int64 `json:"problems,omitempty"`
}

// GetConditions gives the conditions for reading.
func (r *Registry) GetConditions() []metav1.Condition { return r.Status.Conditions }

// SetConditions replaces the conditions.
func (r *Registry) SetConditions(c []metav1.Condition) { r.Status.Conditions = c }
