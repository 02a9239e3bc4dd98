package v1alpha1

import "k8s.io/apimachinery/pkg/api/resource"

// MirrorPolicySpec says what may enter through a mirror. cargo is shown what may not as yanked, so it never chooses it anew; to a
// lockfile that names it already, the mirror answers with the rule that keeps it out.
//
// +kubebuilder:validation:XValidation:rule="!has(self.minimumAgeExceptions) || has(self.minimumAge)",fieldPath=".minimumAgeExceptions",message="minimumAgeExceptions need minimumAge: there is nothing to except from"
// +kubebuilder:validation:XValidation:rule="!has(self.licenseExceptions) || has(self.licenses)",fieldPath=".licenseExceptions",message="licenseExceptions need licenses: there is nothing to except from"
// +kubebuilder:validation:XValidation:rule="!has(self.deny) || !has(self.allow) || self.allow.all(a, !(a in self.deny))",fieldPath=".allow",message="a pattern stands in allow and in deny; deny wins, so remove it from one of them"
// +kubebuilder:validation:XValidation:rule="!has(self.deny) || self.deny.all(d, d != '*')",fieldPath=".deny",message="deny holds *, which is everything, so that nothing could enter; list what may in allow instead"
// +kubebuilder:validation:XValidation:rule="!has(self.minimumAge) || !self.minimumAge.matches('^([0-9]{1,6}(h|m|s))+$') || duration(self.minimumAge) > duration('0s')",fieldPath=".minimumAge",message="minimumAge must be more than 0s; left out, nothing is too young"
type MirrorPolicySpec struct {
	// Allow is what may enter. Left out, it is everything.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=512
	Allow []MirrorPattern `json:"allow,omitempty"`

	// Deny is what may not enter, whatever the rest says.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=512
	Deny []MirrorPattern `json:"deny,omitempty"`

	// MinimumAge is how long ago a version must have been published, such as 72h. One that does not say when is too young.
	// +optional
	MinimumAge Duration `json:"minimumAge,omitempty"`

	// MinimumAgeExceptions may enter however young they are: a fix that is needed today.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=512
	MinimumAgeExceptions []MirrorPattern `json:"minimumAgeExceptions,omitempty"`

	// Licenses that suffice: identifiers of SPDX, such as MIT, or Apache-2.0 WITH LLVM-exception. A crate's license expression must
	// be satisfied with these alone. Left out, any license will do.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=512
	Licenses []LicenseID `json:"licenses,omitempty"`

	// LicenseExceptions may enter whatever their license.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=512
	LicenseExceptions []MirrorPattern `json:"licenseExceptions,omitempty"`

	// Yanked versions stay for lockfiles that name them (Keep), or do not enter (Deny).
	// +optional
	// +default="Keep"
	// +kubebuilder:default=Keep
	// +kubebuilder:validation:Enum=Keep;Deny
	Yanked string `json:"yanked,omitempty"`

	// MaxCrateSize is the largest crate file that may enter, such as 20Mi. Left out, it is the server's own limit.
	// +optional
	// +kubebuilder:validation:XValidation:rule="isQuantity(string(self))",message="it must be a number with a unit that Kubernetes knows: write 20Gi (1024³ bytes each) or 20G (1000³), with no B behind it"
	// +kubebuilder:validation:XValidation:rule="!isQuantity(string(self)) || quantity(string(self)).compareTo(quantity('1Ki')) >= 0",message="maxCrateSize must be at least 1Ki"
	MaxCrateSize *resource.Quantity `json:"maxCrateSize,omitempty"`

	// Advisories says what becomes of versions that have known weaknesses. Left out, nobody looks.
	// +optional
	Advisories *MirrorAdvisoriesSpec `json:"advisories,omitempty"`
}

// MirrorPattern is a crate's name in which * stands for any characters, and may be followed by @ and a requirement as in Cargo.toml:
// openssl-*, time@<0.2.23. Case, - and _ make no difference, as on crates.io.
// +kubebuilder:validation:MinLength=1
// +kubebuilder:validation:MaxLength=128
// +kubebuilder:validation:XValidation:rule="self.matches('^[A-Za-z*][-A-Za-z0-9_*]*(@[-A-Za-z0-9.+*^~<>=, ]+)?$')",message="it must be a crate's name, in which * stands for any characters, and may be followed by @ and a requirement: openssl-* or time@<0.2.23"
type MirrorPattern string

// LicenseID is a license of the SPDX list, or one with an exception.
// +kubebuilder:validation:MinLength=1
// +kubebuilder:validation:MaxLength=128
// +kubebuilder:validation:XValidation:rule="self.matches('^[A-Za-z0-9][-A-Za-z0-9.+]*( WITH [A-Za-z0-9][-A-Za-z0-9.+]*)?$')",message="it must be one license by its SPDX identifier, such as MIT or Apache-2.0, and may be followed by WITH and an exception"
type LicenseID string

// MirrorAdvisoriesSpec says what becomes of versions that an advisory of the RustSec database is about.
type MirrorAdvisoriesSpec struct {
	// Source is the database: the https address of a git repository, such as https://github.com/rustsec/advisory-db, or a folder
	// in the registry's pod. It is read again every hour, a folder every minute.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=512
	// +kubebuilder:validation:XValidation:rule="self.matches('^(/|file:///|https?://[A-Za-z0-9]([-A-Za-z0-9]*[A-Za-z0-9])?([.][A-Za-z0-9]([-A-Za-z0-9]*[A-Za-z0-9])?)*(:([1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5]))?(/|$))') && !self.contains('@')",message="source must be the https address of a git repository, without a user or a password, or a folder that begins with / or file:///"
	Source string `json:"source"`

	// Action on such a version: Deny, or Warn, which serves it and says so in the log and in metrics.
	// +optional
	// +default="Deny"
	// +kubebuilder:default=Deny
	// +kubebuilder:validation:Enum=Deny;Warn
	Action string `json:"action,omitempty"`

	// MinimumSeverity from which an advisory counts, by its CVSS base score. One without a score counts as High.
	// +optional
	// +default="Low"
	// +kubebuilder:default=Low
	// +kubebuilder:validation:Enum=Low;Medium;High;Critical
	MinimumSeverity string `json:"minimumSeverity,omitempty"`

	// Informational advisories (unmaintained, unsound, notice) count, too.
	// +optional
	Informational bool `json:"informational,omitempty"`

	// Exceptions are advisories that do not count.
	// +optional
	// +listType=map
	// +listMapKey=id
	// +kubebuilder:validation:MaxItems=512
	Exceptions []AdvisoryException `json:"exceptions,omitempty"`
}

// AdvisoryException lets in what an advisory is about.
type AdvisoryException struct {
	// ID of the advisory, such as RUSTSEC-2020-0071, or one of its other names, such as CVE-2020-26235.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=100
	// +kubebuilder:validation:XValidation:rule="self.matches('^[A-Za-z0-9][-A-Za-z0-9_.:]*$')",message="id must be that of an advisory, such as RUSTSEC-2020-0071"
	ID string `json:"id"`

	// Reason why that may enter, for whoever reads this later.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=512
	// +kubebuilder:validation:XValidation:rule="self.trim() != ''",message="reason must say why what the advisory is about may enter"
	Reason string `json:"reason"`
}
