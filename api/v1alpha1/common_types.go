package v1alpha1

// LocalReference names an object in the same namespace.
type LocalReference struct {
	// Name of the object.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:XValidation:rule="self.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?$')",message="it must be lower-case letters, digits and dashes, with a letter or digit at both ends"
	Name string `json:"name"`
}

// SecretName is the name of a Secret in the same namespace.
// +kubebuilder:validation:MinLength=1
// +kubebuilder:validation:MaxLength=253
// +kubebuilder:validation:XValidation:rule="self.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*$')",message="it must be lower-case letters, digits, dashes and dots, with a letter or digit at both ends of each part, such as crates.example.com"
type SecretName string

// SecretReference names a Secret in the same namespace.
type SecretReference struct {
	// Name of the Secret.
	// +required
	Name SecretName `json:"name"`
}

// SecretKeyReference names a key of a Secret in the same namespace.
type SecretKeyReference struct {
	// Name of the Secret.
	// +required
	Name SecretName `json:"name"`

	// Key in the Secret. Left out, it is the one that such Secrets have by custom.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:XValidation:rule="self.matches('^[.]?[-_a-zA-Z0-9][-._a-zA-Z0-9]*$')",message="it must be a key as Secrets and ConfigMaps have them: letters, digits, dashes, dots and underscores"
	Key string `json:"key,omitempty"`
}

// ConfigMapKeyReference names a key of a ConfigMap in the same namespace.
type ConfigMapKeyReference struct {
	// Name of the ConfigMap.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:XValidation:rule="self.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*$')",message="it must be lower-case letters, digits, dashes and dots, with a letter or digit at both ends of each part, such as crates.example.com"
	Name string `json:"name"`

	// Key in the ConfigMap. Left out, it is the one that such ConfigMaps have by custom: Cargo.lock, or ca.crt.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:XValidation:rule="self.matches('^[.]?[-_a-zA-Z0-9][-._a-zA-Z0-9]*$')",message="it must be a key as Secrets and ConfigMaps have them: letters, digits, dashes, dots and underscores"
	Key string `json:"key,omitempty"`
}

// Switch turns something on or off.
// +kubebuilder:validation:Enum=Enabled;Disabled
type Switch string

// The two positions of a Switch.
const (
	Enabled  Switch = "Enabled"
	Disabled Switch = "Disabled"
)

// DeletionPolicy says what happens to that which an object stands for, when the object is deleted.
// +kubebuilder:validation:Enum=Retain;Delete
type DeletionPolicy string

// The deletion policies.
const (
	// DeletionRetain keeps it; an object made again under the same name finds it.
	DeletionRetain DeletionPolicy = "Retain"
	// DeletionDelete removes it for good.
	DeletionDelete DeletionPolicy = "Delete"
)

// RequestedAtAnnotation on an object makes the operator look at it at once, whenever its value changes. The value, by custom
// the time, comes back as status.lastHandledReconcileAt.
const RequestedAtAnnotation = "crateyard.dev/requested-at"

// SyncRequestedAtAnnotation on a CrateMirror has it look at once for what it is to cache, whenever its value changes. The value, by
// custom the time, comes back as status.lastHandledSyncAt.
const SyncRequestedAtAnnotation = "crateyard.dev/sync-requested-at"

// TakeOverAnnotation on a Registry, with the value "true", lets it take a database, bucket or volume that says that it belongs to
// another Registry. Remove it when the Registry is Ready: it is for one start.
const TakeOverAnnotation = "crateyard.dev/take-over"
