package v1alpha1

import "k8s.io/apimachinery/pkg/api/resource"

// BackupSpec says when and where to a registry is backed up.
type BackupSpec struct {
	// Schedule in five fields, as cron has them, in UTC: "0 3 * * *" is every day at three.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=128
	// +kubebuilder:validation:XValidation:rule="self.matches('^[0-9A-Za-z*/,-]+( +[0-9A-Za-z*/,-]+){4}$')",message="schedule must have five fields, as in cron: minute, hour, day of the month, month, day of the week; 0 3 * * * is every day at three"
	Schedule string `json:"schedule"`

	// Keep is how many backups are kept; older ones are removed.
	// +optional
	// +default=14
	// +kubebuilder:default=14
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=10000
	Keep int32 `json:"keep,omitempty"`

	// Suspend makes no more backups for now. Those that are there stay.
	// +optional
	Suspend bool `json:"suspend,omitempty"`

	// S3 is where backups lie. It should be no bucket of the registry's own storage, and have other credentials.
	// +required
	S3 S3Location `json:"s3"`
}

// RestoreSpec names a backup.
type RestoreSpec struct {
	// S3 is where backups lie.
	// +required
	S3 S3Location `json:"s3"`

	// Name of the backup, as status.backup.name has it. Left out, it is the latest.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=256
	// +kubebuilder:validation:XValidation:rule="self.matches('^[A-Za-z0-9][-A-Za-z0-9._:]*$')",message="name must be that of a backup, as status.backup.name has it"
	Name string `json:"name,omitempty"`
}

// SweepSpec says when crate files that nothing names are removed.
//
// +kubebuilder:validation:XValidation:rule="!has(self.every) || !self.every.matches('^([0-9]{1,6}(h|m|s))+$') || duration(self.every) == duration('0s') || duration(self.every) >= duration('1m')",fieldPath=".every",message="every must be 0s, for never, or at least 1m"
// +kubebuilder:validation:XValidation:rule="!has(self.olderThan) || !self.olderThan.matches('^([0-9]{1,6}(h|m|s))+$') || duration(self.olderThan) >= duration('1h')",fieldPath=".olderThan",message="olderThan must be at least 1h, for uploads that are on their way"
type SweepSpec struct {
	// Every is how often that is done. 0s: never. Left out, it is 24h.
	// +optional
	Every Duration `json:"every,omitempty"`

	// OlderThan is how old a file must be to be removed. Left out, it is 24h.
	// +optional
	OlderThan Duration `json:"olderThan,omitempty"`
}

// ScrubSpec says how fast stored crate files are read again.
type ScrubSpec struct {
	// Rate in bytes a second. 0: not at all. Left out, it is 1Mi.
	// +optional
	// +kubebuilder:validation:XValidation:rule="isQuantity(string(self))",message="it must be a number with a unit that Kubernetes knows: write 20Gi (1024³ bytes each) or 20G (1000³), with no B behind it"
	// +kubebuilder:validation:XValidation:rule="!isQuantity(string(self)) || quantity(string(self)).compareTo(quantity('0')) >= 0 && quantity(string(self)).compareTo(quantity('10Gi')) <= 0",message="rate must lie between 0, for never, and 10Gi"
	Rate *resource.Quantity `json:"rate,omitempty"`
}

// AuditSpec says how long the record of changes is kept.
//
// +kubebuilder:validation:XValidation:rule="!has(self.keep) || !self.keep.matches('^([0-9]{1,6}(h|m|s))+$') || duration(self.keep) == duration('0s') || duration(self.keep) >= duration('24h')",fieldPath=".keep",message="keep must be 0s, for ever, or at least 24h: what is older is deleted, and does not come back"
type AuditSpec struct {
	// Keep is how long, 24h at least: what is older is deleted. Left out, or 0s, it is for ever.
	// +optional
	Keep Duration `json:"keep,omitempty"`
}

// ServiceAccountSpec shapes the ServiceAccount that the registry's pods run under.
type ServiceAccountSpec struct {
	// Annotations on the ServiceAccount, for platforms that give pods credentials by them, such as eks.amazonaws.com/role-arn.
	// +optional
	// +kubebuilder:validation:MaxProperties=64
	Annotations map[string]AnnotationValue `json:"annotations,omitempty"`
}
