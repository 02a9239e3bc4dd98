package v1alpha1

import (
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// CrateMirror is crates.io, or another registry, cached beside the crates of a Registry in the same namespace: what cargo asks
// for, and what is listed here before anybody asks. Its policy says what may enter.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:shortName=mirror,categories=crateyard
// +kubebuilder:selectablefield:JSONPath=`.spec.registryRef.name`
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Registry",type=string,JSONPath=`.spec.registryRef.name`
// +kubebuilder:printcolumn:name="Mode",type=string,JSONPath=`.spec.mode`
// +kubebuilder:printcolumn:name="Upstream",type=string,JSONPath=`.status.conditions[?(@.type=="UpstreamReady")].status`
// +kubebuilder:printcolumn:name="Progress",type=string,JSONPath=`.status.sync.progress`
// +kubebuilder:printcolumn:name="Failed",type=integer,JSONPath=`.status.sync.failed`
// +kubebuilder:printcolumn:name="Size",type=string,JSONPath=`.status.size`
// +kubebuilder:printcolumn:name="Synced",type=date,JSONPath=`.status.sync.lastSuccessful`
// +kubebuilder:printcolumn:name="Reason",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].reason`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:printcolumn:name="Crates",type=integer,priority=1,JSONPath=`.status.crates`
// +kubebuilder:printcolumn:name="Suspend",type=boolean,priority=1,JSONPath=`.spec.suspend`
// +kubebuilder:printcolumn:name="Last Sync",type=date,priority=1,JSONPath=`.status.sync.endedAt`
// +kubebuilder:printcolumn:name="Next Sync",type=string,priority=1,JSONPath=`.status.sync.nextAt`
// +kubebuilder:printcolumn:name="Index",type=string,priority=1,JSONPath=`.status.indexURL`
// +kubebuilder:printcolumn:name="Status",type=string,priority=1,JSONPath=`.status.conditions[?(@.type=="Ready")].message`
// +kubebuilder:validation:XValidation:rule="has(self.spec.name) || size(self.metadata.name) <= 63 && !self.metadata.name.contains('.')",message="metadata.name is the mirror's name in addresses, at most 63 lower-case letters, digits and dashes; set spec.name, or choose another"
// +kubebuilder:validation:XValidation:rule="has(self.spec.name) || self.metadata.name != 'crates-io'",message="cargo calls crates.io itself crates-io, and could not tell a mirror of that name from it; set spec.name, or choose another"
type CrateMirror struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// Spec is the mirror as it should be.
	// +required
	Spec CrateMirrorSpec `json:"spec"`

	// Status is the mirror as the operator last saw it.
	// +optional
	Status CrateMirrorStatus `json:"status,omitzero"`
}

// CrateMirrorList is a list of mirrors.
//
// +kubebuilder:object:root=true
type CrateMirrorList struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []CrateMirror `json:"items"`
}

// CrateMirrorSpec is a mirror as it should be.
//
// +kubebuilder:validation:XValidation:rule=`(has(self.name) ? self.name : "") == (has(oldSelf.name) ? oldSelf.name : "")`,fieldPath=".name",message="name cannot change, for it stands in the addresses that cargo knows; delete this CrateMirror and make another"
// +kubebuilder:validation:XValidation:rule="!has(self.name) || self.name != 'crates-io'",fieldPath=".name",message="cargo calls crates.io itself crates-io, and could not tell a mirror of that name from it"
// +kubebuilder:validation:XValidation:rule="self.mode != 'Pinned' || has(self.crates) || has(self.lockfiles)",fieldPath=".mode",message="a mirror with mode Pinned serves only what is cached, so it needs crates or lockfiles; where a bundle is imported instead, say so with crates: []"
type CrateMirrorSpec struct {
	// RegistryRef names the Registry, in the same namespace. It cannot change.
	// +required
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="registryRef cannot change; delete this CrateMirror and make another"
	RegistryRef LocalReference `json:"registryRef"`

	// Name of the mirror at the registry, as in {url}/mirrors/{name}/. Left out, it is metadata.name. It cannot change.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:XValidation:rule="self.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?$')",message="it must be lower-case letters, digits and dashes, with a letter or digit at both ends"
	Name string `json:"name,omitempty"`

	// Upstream is the registry that is mirrored, and how it is spoken to.
	// +optional
	Upstream MirrorUpstreamSpec `json:"upstream,omitzero"`

	// Mode OnDemand caches whatever the policy admits when it is asked for. Pinned serves only what is cached already: what
	// crates and lockfiles name, or an imported bundle brought.
	// +optional
	// +default="OnDemand"
	// +kubebuilder:default=OnDemand
	Mode MirrorMode `json:"mode,omitempty"`

	// Crates are cached before anybody asks for them.
	// +optional
	// +listType=map
	// +listMapKey=name
	// +listMapKey=versions
	// +kubebuilder:validation:MaxItems=10000
	Crates []MirroredCrate `json:"crates,omitzero"`

	// Lockfiles are Cargo.lock files in ConfigMaps. Every version that they name is cached, and kept.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=256
	Lockfiles []LockfileSource `json:"lockfiles,omitempty"`

	// Dependencies says which dependencies of crates are cached, too: None, Normal (normal and build dependencies, for all targets
	// and features), or All (and the development dependencies of what is listed). A lockfile names its own.
	// +optional
	// +default="Normal"
	// +kubebuilder:default=Normal
	Dependencies MirrorDependencies `json:"dependencies,omitempty"`

	// RustVersion is the oldest Rust that builds with the mirror, such as 1.85: of crates and their dependencies, what cargo chooses
	// for it, by the rust-version of each version, is cached beside the newest. Left out, it is the newest alone.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:XValidation:rule="self.matches('^(0|[1-9][0-9]{0,8})([.](0|[1-9][0-9]{0,8})){0,2}$')",message="rustVersion must be one to three numbers, such as 1.85"
	RustVersion string `json:"rustVersion,omitempty"`

	// Schedule is when new versions of crates are looked for, in five fields, as cron has them, in UTC: "0 3 * * *" is every day at
	// three. Left out, it is only when spec or lockfiles change, or when the annotation crateyard.dev/sync-requested-at asks for it.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=128
	// +kubebuilder:validation:XValidation:rule="self.matches('^[0-9A-Za-z*/,-]+( +[0-9A-Za-z*/,-]+){4}$')",message="schedule must have five fields, as in cron: minute, hour, day of the month, month, day of the week; 0 3 * * * is every day at three"
	Schedule string `json:"schedule,omitempty"`

	// Suspend holds back the syncs that begin by themselves: by schedule, when spec or lockfiles change, and after failures. One that
	// runs goes on to its end, and the annotation crateyard.dev/sync-requested-at still starts one. What builds ask for is served and
	// cached as before.
	// +optional
	Suspend bool `json:"suspend,omitempty"`

	// Policy says what may enter. Left out, everything may.
	// +optional
	Policy MirrorPolicySpec `json:"policy,omitzero"`

	// Retention says what of the cache is removed again. Left out, nothing is.
	// +optional
	Retention MirrorRetentionSpec `json:"retention,omitzero"`

	// DeletionPolicy says what happens to the mirror when this object is deleted. Retain leaves it at the registry with all that
	// it cached, and builds that use it go on; Delete removes both.
	// +optional
	// +default="Retain"
	// +kubebuilder:default=Retain
	DeletionPolicy DeletionPolicy `json:"deletionPolicy,omitempty"`
}

// MirrorMode says what a mirror serves.
// +kubebuilder:validation:Enum=OnDemand;Pinned
type MirrorMode string

// The modes.
const (
	MirrorOnDemand MirrorMode = "OnDemand"
	MirrorPinned   MirrorMode = "Pinned"
)

// MirrorDependencies says which dependencies are followed.
// +kubebuilder:validation:Enum=None;Normal;All
type MirrorDependencies string

// Which dependencies are followed; each with those of the one before.
const (
	DependenciesNone   MirrorDependencies = "None"
	DependenciesNormal MirrorDependencies = "Normal"
	DependenciesAll    MirrorDependencies = "All"
)

// MirrorUpstreamSpec is the registry that is mirrored.
//
// +kubebuilder:validation:XValidation:rule="!has(self.caSecretRef) || !has(self.caConfigMapRef)",message="the certificates come from caSecretRef or from caConfigMapRef; remove one of them"
// +kubebuilder:validation:XValidation:rule="!has(self.tokenSecretRef) || has(self.index)",fieldPath=".tokenSecretRef",message="tokenSecretRef needs index: crates.io itself takes no token for reading"
// +kubebuilder:validation:XValidation:rule="!has(self.maxAge) || !self.maxAge.matches('^([0-9]{1,6}(h|m|s))+$') || duration(self.maxAge) >= duration('1s') && duration(self.maxAge) <= duration('720h')",fieldPath=".maxAge",message="maxAge must lie between 1s and 720h"
type MirrorUpstreamSpec struct {
	// Index is a sparse index, such as sparse+https://crates.example.com/index/. Left out, it is that of crates.io.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=512
	// +kubebuilder:validation:XValidation:rule="self.matches('^sparse[+]https?://[A-Za-z0-9]([-A-Za-z0-9]*[A-Za-z0-9])?([.][A-Za-z0-9]([-A-Za-z0-9]*[A-Za-z0-9])?)*(:([1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5]))?(/[-A-Za-z0-9._~]+)*/$')",message="index must be a sparse index with a slash at its end, such as sparse+https://crates.example.com/index/, without a user or a password in it; a token belongs in the Secret of tokenSecretRef"
	Index string `json:"index,omitempty"`

	// MaxAge is how long an index file is served without asking upstream whether it has changed. Left out, it is 5m.
	// +optional
	MaxAge Duration `json:"maxAge,omitempty"`

	// TokenSecretRef names a Secret with the token that a private upstream needs, under the key token if it says no other.
	// +optional
	TokenSecretRef *SecretKeyReference `json:"tokenSecretRef,omitempty"`

	// CASecretRef names a Secret with PEM certificates that are believed besides the system's, under the key ca.crt if it says
	// no other.
	// +optional
	CASecretRef *SecretKeyReference `json:"caSecretRef,omitempty"`

	// CAConfigMapRef names a ConfigMap with such certificates, under the key ca.crt if it says no other.
	// +optional
	CAConfigMapRef *ConfigMapKeyReference `json:"caConfigMapRef,omitempty"`

	// Contact is an address of people, such as an e-mail address or a page, for the people of upstream. It stands in the
	// User-Agent; crates.io asks for it.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=200
	// +kubebuilder:validation:XValidation:rule="self.matches('^[ -~]+$')",message="contact must be printable ASCII, for it stands in a header"
	Contact string `json:"contact,omitempty"`

	// Concurrency is how many requests to upstream run at once, of each pod of the registry. Left out, it is 16.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=256
	Concurrency int32 `json:"concurrency,omitempty"`

	// RequestsPerSecond bounds how many requests to upstream begin in a second, of each pod of the registry. Left out, nothing
	// does.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=100000
	RequestsPerSecond int32 `json:"requestsPerSecond,omitempty"`
}

// MirroredCrate names versions of a crate.
type MirroredCrate struct {
	// Name of the crate.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=64
	// +kubebuilder:validation:XValidation:rule="self.matches('^[A-Za-z][-A-Za-z0-9_]*$')",message="it must be the name of a crate: a letter, and behind it letters, digits, - and _"
	Name string `json:"name"`

	// Versions is a requirement as in Cargo.toml, such as ^1 or >=0.3, <0.5.
	// +optional
	// +default="*"
	// +kubebuilder:default="*"
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=256
	// +kubebuilder:validation:XValidation:rule="self.matches('^[-A-Za-z0-9.+*^~<>=, ]+$')",message="versions must be a requirement as in Cargo.toml, such as ^1 or >=0.3, <0.5"
	Versions string `json:"versions,omitempty"`

	// Latest is how many of the newest versions that match are cached. Left out, it is 1.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=1000
	Latest int32 `json:"latest,omitempty"`
}

// LockfileSource says where a Cargo.lock is.
type LockfileSource struct {
	// ConfigMapKeyRef is a ConfigMap, and the key in it that holds the file.
	// +required
	ConfigMapKeyRef ConfigMapKeyReference `json:"configMapKeyRef"`
}

// MirrorRetentionSpec says what of the cache is removed again, the least recently used first. What a lockfile names always stays.
//
// +kubebuilder:validation:XValidation:rule="!has(self.unusedFor) || !self.unusedFor.matches('^([0-9]{1,6}(h|m|s))+$') || duration(self.unusedFor) >= duration('1h')",fieldPath=".unusedFor",message="unusedFor must be at least 1h"
// +kubebuilder:validation:XValidation:rule="!has(self.keepPinned) || !self.keepPinned || has(self.maxSize) || has(self.unusedFor)",fieldPath=".keepPinned",message="keepPinned needs maxSize or unusedFor: without them nothing is removed"
type MirrorRetentionSpec struct {
	// MaxSize is the most that all crate files of the mirror may have together, such as 50Gi.
	// +optional
	// +kubebuilder:validation:XValidation:rule="isQuantity(string(self))",message="it must be a number with a unit that Kubernetes knows: write 20Gi (1024³ bytes each) or 20G (1000³), with no B behind it"
	// +kubebuilder:validation:XValidation:rule="!isQuantity(string(self)) || quantity(string(self)).compareTo(quantity('1Mi')) >= 0",message="maxSize must be at least 1Mi"
	MaxSize *resource.Quantity `json:"maxSize,omitempty"`

	// UnusedFor is for how long nobody asked for a version that is removed, such as 2160h.
	// +optional
	UnusedFor Duration `json:"unusedFor,omitempty"`

	// KeepPinned has the versions of spec.crates, and of their dependencies, always stay, too.
	// +optional
	KeepPinned bool `json:"keepPinned,omitempty"`
}

// GetConditions gives the conditions for reading.
func (m *CrateMirror) GetConditions() []metav1.Condition { return m.Status.Conditions }

// SetConditions replaces the conditions.
func (m *CrateMirror) SetConditions(c []metav1.Condition) { m.Status.Conditions = c }

// MirrorName gives the name of the mirror at the registry.
func (m *CrateMirror) MirrorName() string {
	if m.Spec.Name != "" {
		return m.Spec.Name
	}
	return m.Name
}
