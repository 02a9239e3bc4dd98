package v1alpha1

import "k8s.io/apimachinery/pkg/api/resource"

// The types of this file say the same as their namesakes in core/v1, with bounds. They are here so that this package needs
// apimachinery alone and every string in it has a limit.

// LabelValue is the value of a label.
// +kubebuilder:validation:MaxLength=63
// +kubebuilder:validation:XValidation:rule="self.matches('^([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?$')",message="it must be the value of a label: letters, digits, dashes, dots and underscores, with a letter or digit at both ends"
type LabelValue string

// AnnotationValue is the value of an annotation.
// +kubebuilder:validation:MaxLength=4096
type AnnotationValue string

// ResourceRequirements are what a container asks for and what it may use at most.
//
// +kubebuilder:validation:XValidation:rule="!has(self.requests) || !has(self.limits) || ['cpu', 'memory', 'ephemeral-storage'].all(k, !(k in self.requests) || !(k in self.limits) || !isQuantity(string(self.requests[k])) || !isQuantity(string(self.limits[k])) || quantity(string(self.requests[k])).compareTo(quantity(string(self.limits[k]))) <= 0)",fieldPath=".requests",message="requests cannot be above limits: no pod can have less than it asks for; lower the request, or raise the limit of the same name"
type ResourceRequirements struct {
	// Requests are what the scheduler sets aside, such as cpu: 50m and memory: 64Mi. None may be above the limit of its name.
	// +optional
	// +kubebuilder:validation:MaxProperties=16
	// +kubebuilder:validation:XValidation:rule="!('memory' in self) || isQuantity(string(self['memory']))",message="memory must be a number with a unit that Kubernetes knows: write 512Mi or 512M, with no B behind it"
	Requests map[string]resource.Quantity `json:"requests,omitempty"`

	// Limits are the most that the container gets.
	// +optional
	// +kubebuilder:validation:MaxProperties=16
	// +kubebuilder:validation:XValidation:rule="!('memory' in self) || isQuantity(string(self['memory']))",message="memory must be a number with a unit that Kubernetes knows: write 512Mi or 512M, with no B behind it"
	Limits map[string]resource.Quantity `json:"limits,omitempty"`
}

// Toleration lets a pod run on nodes with matching taints.
type Toleration struct {
	// Key of the taint. Empty with operator Exists: every taint.
	// +optional
	// +kubebuilder:validation:MaxLength=317
	Key string `json:"key,omitempty"`

	// Operator compares the key's value.
	// +optional
	// +kubebuilder:validation:Enum=Exists;Equal
	Operator string `json:"operator,omitempty"`

	// Value of the taint.
	// +optional
	// +kubebuilder:validation:MaxLength=63
	Value string `json:"value,omitempty"`

	// Effect of the taint. Empty: every effect.
	// +optional
	// +kubebuilder:validation:Enum=NoSchedule;PreferNoSchedule;NoExecute
	Effect string `json:"effect,omitempty"`

	// TolerationSeconds is how long a pod stays after a NoExecute taint came. Left out: for ever.
	// +optional
	// +kubebuilder:validation:Minimum=0
	TolerationSeconds *int64 `json:"tolerationSeconds,omitempty"`
}
