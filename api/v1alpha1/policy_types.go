package v1alpha1

// PublishingSpec says what a crate must be to be published. crates.io's limits and rules of structure hold in any case.
type PublishingSpec struct {
	// Profile sets what the other fields leave out. private asks for nothing more; crates-io asks for all that crates.io asks
	// for: description and license, an SPDX expression, known categories, and rate limits.
	// +optional
	// +default="private"
	// +kubebuilder:default=private
	Profile PublishingProfile `json:"profile,omitempty"`

	// RequiredFields are fields of Cargo.toml that a crate must set. license is satisfied by license-file, too. Left out, they
	// are those of the profile.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=9
	RequiredFields []ManifestField `json:"requiredFields,omitzero"`

	// Licenses says what the field license may hold: Any text, or an SPDX expression. Left out, it is that of the profile.
	// +optional
	// +kubebuilder:validation:Enum=Any;SPDX
	Licenses string `json:"licenses,omitempty"`

	// Categories says what the field categories may hold: Any text, or Known ones of crates.io. Left out, it is that of the
	// profile.
	// +optional
	// +kubebuilder:validation:Enum=Any;Known
	Categories string `json:"categories,omitempty"`

	// NewCrates says who sees a new crate: all who may read (Open), or its owners and its access list only (Restricted). Left
	// out, it is Open.
	// +optional
	// +kubebuilder:validation:Enum=Open;Restricted
	NewCrates string `json:"newCrates,omitempty"`

	// Shadowing says what becomes of a new crate whose name the upstream of a CrateMirror has, too, so that a build may get the wrong
	// one: Warn where that is known, Refuse, for which the upstreams are asked and so learn the name, or Allow. Left out, it is Warn.
	// +optional
	// +kubebuilder:validation:Enum=Warn;Refuse;Allow
	Shadowing string `json:"shadowing,omitempty"`
}

// PublishingProfile is a set of rules for what is published.
// +kubebuilder:validation:Enum=private;crates-io
type PublishingProfile string

// The profiles.
const (
	ProfilePrivate  PublishingProfile = "private"
	ProfileCratesIO PublishingProfile = "crates-io"
)

// ManifestField is a field of the table [package] of a Cargo.toml.
// +kubebuilder:validation:Enum=description;license;documentation;homepage;repository;readme;keywords;categories;rust-version
type ManifestField string

// RateLimitsSpec bounds how often something may be done. What is left out is as on crates.io.
type RateLimitsSpec struct {
	// Mode turns all limits on or off. Auto: on with the publishing profile crates-io.
	// +optional
	// +default="Auto"
	// +kubebuilder:default=Auto
	// +kubebuilder:validation:Enum=Auto;Enabled;Disabled
	Mode string `json:"mode,omitempty"`

	// PublishNew bounds new crates by one user. Left out: 5 at once, then one every 10m.
	// +optional
	PublishNew *RateLimit `json:"publishNew,omitempty"`

	// PublishUpdate bounds new versions by one user. Left out: 30 at once, then one every 1m.
	// +optional
	PublishUpdate *RateLimit `json:"publishUpdate,omitempty"`

	// Yank bounds yanks and unyanks by one user. Left out: 100 at once, then one every 1m.
	// +optional
	Yank *RateLimit `json:"yank,omitempty"`

	// FailedAuth bounds requests with a wrong token from one address. Left out: 100 at once, then one every 1s.
	// +optional
	FailedAuth *RateLimit `json:"failedAuth,omitempty"`
}

// RateLimit lets some through at once, and then one every while.
//
// +kubebuilder:validation:XValidation:rule="!self.every.matches('^([0-9]{1,6}(h|m|s))+$') || duration(self.every) >= duration('1s') && duration(self.every) <= duration('720h')",fieldPath=".every",message="every must lie between 1s and 720h"
type RateLimit struct {
	// Burst is how many are let through at once.
	// +required
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=1000000
	Burst int32 `json:"burst"`

	// Every is how long it takes until one more is let through, such as 10m.
	// +required
	Every Duration `json:"every"`
}

// RegistryAddress is what all addresses of a registry begin with.
// +kubebuilder:validation:MinLength=1
// +kubebuilder:validation:MaxLength=512
// +kubebuilder:validation:XValidation:rule="self.matches('^https?://[A-Za-z0-9]([-A-Za-z0-9]*[A-Za-z0-9])?([.][A-Za-z0-9]([-A-Za-z0-9]*[A-Za-z0-9])?)*(:([1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5]))?(/[-A-Za-z0-9._~]+)*$')",message="it must begin with https:// or http://, name a host, have a port of at most 65535 if any, and no slash at its end and no user, query or fragment, such as https://crates.acme.dev"
type RegistryAddress string

// RegistryLocation is crates-io, or the index of a registry as cargo is given it.
// +kubebuilder:validation:MinLength=1
// +kubebuilder:validation:MaxLength=512
// +kubebuilder:validation:XValidation:rule="self.matches('^(crates-io|(sparse[+])?https?://[A-Za-z0-9]([-A-Za-z0-9]*[A-Za-z0-9])?([.][A-Za-z0-9]([-A-Za-z0-9]*[A-Za-z0-9])?)*(:([1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5]))?(/[-A-Za-z0-9._~/]*)?)$')",message="it must be crates-io, or a registry's index as cargo is given it, such as sparse+https://crates.example.com/index/"
type RegistryLocation string

// CIDR is a range of IP addresses.
// +kubebuilder:validation:MinLength=4
// +kubebuilder:validation:MaxLength=43
// +kubebuilder:validation:XValidation:rule="isCIDR(self)",message="it must be a range of addresses such as 10.0.0.0/8; one address is 10.1.2.3/32"
type CIDR string
