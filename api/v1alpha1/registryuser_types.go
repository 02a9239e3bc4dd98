package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// RegistryUser is a user of a Registry in the same namespace. Each of its tokens lies in a Secret that is ready to be mounted
// as a cargo home, and is replaced before it expires.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:shortName=reguser,categories=crateyard
// +kubebuilder:selectablefield:JSONPath=`.spec.registryRef.name`
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Registry",type=string,JSONPath=`.spec.registryRef.name`
// +kubebuilder:printcolumn:name="Role",type=string,JSONPath=`.spec.role`
// +kubebuilder:printcolumn:name="Access",type=string,JSONPath=`.spec.access`
// +kubebuilder:printcolumn:name="Secrets",type=string,JSONPath=`.status.secretNames`
// +kubebuilder:printcolumn:name="Reason",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].reason`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:printcolumn:name="Status",type=string,priority=1,JSONPath=`.status.conditions[?(@.type=="Ready")].message`
// +kubebuilder:validation:XValidation:rule="size(self.metadata.name) <= 63",message="metadata.name stands in labels: at most 63 characters"
type RegistryUser struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// Spec is the user as it should be.
	// +required
	Spec RegistryUserSpec `json:"spec"`

	// Status is the user as the operator last saw it.
	// +optional
	Status RegistryUserStatus `json:"status,omitzero"`
}

// RegistryUserList is a list of registry users.
//
// +kubebuilder:object:root=true
type RegistryUserList struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []RegistryUser `json:"items"`
}

// RegistryUserSpec is a user as it should be.
//
// +kubebuilder:validation:XValidation:rule=`(has(self.name) ? self.name : "") == (has(oldSelf.name) ? oldSelf.name : "")`,fieldPath=".name",message="name cannot change; delete this RegistryUser and make another"
// +kubebuilder:validation:XValidation:rule="!has(self.name) || self.name != 'admin'",fieldPath=".name",message="the name admin belongs to the registry's own administrator"
// +kubebuilder:validation:XValidation:rule="!has(self.tokens) || self.role == 'Admin' || self.tokens.all(t, !has(t.scopes) || !('admin' in t.scopes))",fieldPath=".tokens",message="the scope admin needs the role Admin"
// +kubebuilder:validation:XValidation:rule="!has(self.tokens) || self.role != 'Reader' || self.tokens.all(t, !has(t.scopes) || t.scopes.all(s, s == 'read'))",fieldPath=".tokens",message="the role Reader has the scope read only; set role to Publisher"
type RegistryUserSpec struct {
	// RegistryRef names the Registry, in the same namespace. It cannot change.
	// +required
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="registryRef cannot change; delete this RegistryUser and make another"
	RegistryRef LocalReference `json:"registryRef"`

	// Name of the user at the registry. Left out, it is metadata.name. It cannot change.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:XValidation:rule="self.matches('^[A-Za-z0-9][-A-Za-z0-9._]*$')",message="it must be letters, digits, dashes, dots and underscores, and begin with a letter or digit"
	Name string `json:"name,omitempty"`

	// Role is what the user may do at most: a Reader reads, a Publisher publishes new crates and changes its own, an Admin
	// does everything.
	// +optional
	// +default="Publisher"
	// +kubebuilder:default=Publisher
	Role Role `json:"role,omitempty"`

	// Access, when Suspended, makes the registry refuse all tokens of the user until it is Active again.
	// +optional
	// +default="Active"
	// +kubebuilder:default=Active
	Access UserAccess `json:"access,omitempty"`

	// Groups that the user is a member of: these and no others. A group that is not there is made; none is ever deleted, for it
	// may own crates. Left out, the user is in no group.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=32
	Groups []GroupName `json:"groups,omitempty"`

	// Claims are the names that the user may give to new crates, such as acme-*. Left out, it may take any name that is free.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=64
	Claims []CratePattern `json:"claims,omitempty"`

	// Tokens that are made for the user, each with a Secret.
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=32
	// +kubebuilder:validation:XValidation:rule="self.all(t, !has(t.secretName) || self.exists_one(o, has(o.secretName) && o.secretName == t.secretName))",message="each token needs a Secret of its own: secretName stands twice"
	Tokens []TokenSpec `json:"tokens,omitempty"`

	// DeletionPolicy says what happens to the user at the registry when this object is deleted. Delete removes the user and
	// revokes its tokens; Retain revokes the tokens of this object only. Crates stay in either case.
	// +optional
	// +default="Delete"
	// +kubebuilder:default=Delete
	DeletionPolicy DeletionPolicy `json:"deletionPolicy,omitempty"`
}

// Role is what a user may do at most.
// +kubebuilder:validation:Enum=Reader;Publisher;Admin
type Role string

// The roles, each with all that the one before may do.
const (
	RoleReader    Role = "Reader"
	RolePublisher Role = "Publisher"
	RoleAdmin     Role = "Admin"
)

// UserAccess says whether a user's tokens are honoured.
// +kubebuilder:validation:Enum=Active;Suspended
type UserAccess string

// The two forms of access.
const (
	AccessActive    UserAccess = "Active"
	AccessSuspended UserAccess = "Suspended"
)

// Scope is what a token may do at most.
// +kubebuilder:validation:Enum=read;publish-new;publish-update;yank;change-owners;admin
type Scope string

// GroupName is the name of a group of users at the registry.
// +kubebuilder:validation:MinLength=1
// +kubebuilder:validation:MaxLength=64
// +kubebuilder:validation:XValidation:rule="self.matches('^[A-Za-z0-9][-A-Za-z0-9._]*$')",message="it must be letters, digits, dashes, dots and underscores, and begin with a letter or digit"
type GroupName string

// CratePattern is a crate's name, or the beginning of one with `*` behind it.
// +kubebuilder:validation:MinLength=1
// +kubebuilder:validation:MaxLength=65
// +kubebuilder:validation:XValidation:rule="self.matches('^[A-Za-z0-9_-]*[*]?$')",message="it must be a crate's name, or the beginning of one with * behind it, such as acme-*"
type CratePattern string

// Duration is a time span in hours, minutes and seconds, such as 2160h or 1h30m. Days are not known: 90 days are 2160h.
// +kubebuilder:validation:MinLength=2
// +kubebuilder:validation:MaxLength=32
// +kubebuilder:validation:XValidation:rule="self.matches('^([0-9]{1,6}(h|m|s))+$')",message="it must be hours, minutes and seconds, such as 2160h for 90 days, 30m or 1h30m; days are not known"
type Duration string

// TokenSpec is one token of a user.
//
// +kubebuilder:validation:XValidation:rule="!has(self.rotateBefore) || has(self.expiresAfter)",fieldPath=".rotateBefore",message="rotateBefore needs expiresAfter: a token that never expires is never rotated"
// +kubebuilder:validation:XValidation:rule="!has(self.rotateBefore) || !has(self.expiresAfter) || !self.rotateBefore.matches('^([0-9]{1,6}(h|m|s))+$') || !self.expiresAfter.matches('^([0-9]{1,6}(h|m|s))+$') || duration(self.rotateBefore) < duration(self.expiresAfter)",fieldPath=".rotateBefore",message="rotateBefore must be shorter than expiresAfter"
// +kubebuilder:validation:XValidation:rule="!has(self.expiresAfter) || !self.expiresAfter.matches('^([0-9]{1,6}(h|m|s))+$') || duration(self.expiresAfter) >= duration('10m')",fieldPath=".expiresAfter",message="expiresAfter must be at least 10m"
type TokenSpec struct {
	// Name of the token, unique within the user.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:XValidation:rule="self.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?$')",message="it must be lower-case letters, digits and dashes, with a letter or digit at both ends"
	Name string `json:"name"`

	// Scopes are what the token may do at most. Left out, it may do all that the user's role allows. Reading is part of each.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=6
	Scopes []Scope `json:"scopes,omitempty"`

	// Crates are those that the token may change, such as acme-*. Left out, it may change all that the user may.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=64
	Crates []CratePattern `json:"crates,omitempty"`

	// ExpiresAfter is how long a token lives, such as 2160h. Left out, it never expires, and is not rotated.
	// +optional
	ExpiresAfter Duration `json:"expiresAfter,omitempty"`

	// RotateBefore is how long before its end a token is replaced by a new one. Left out, it is a third of expiresAfter, and
	// at most 168h.
	// +optional
	RotateBefore Duration `json:"rotateBefore,omitempty"`

	// GracePeriod is how long the old token stays valid beside the new one, for jobs that began with it; it never outlives
	// its own end. Left out, it is 24h.
	// +optional
	GracePeriod Duration `json:"gracePeriod,omitempty"`

	// SecretName is the Secret that holds the token, as keys token, config.toml and credentials.toml. Left out, it is
	// {metadata.name}-{name}.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:XValidation:rule="self.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*$')",message="it must be lower-case letters, digits, dashes and dots, with a letter or digit at both ends of each part, such as crates.example.com"
	SecretName string `json:"secretName,omitempty"`
}

// RegistryUserStatus is a user as the operator last saw it.
type RegistryUserStatus struct {
	// ObservedGeneration is the generation of the spec that is in effect.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`

	// UserName is the user's name at the registry.
	// +optional
	// +kubebuilder:validation:MaxLength=253
	UserName string `json:"userName,omitempty"`

	// UserID is the user's number at the registry.
	// +optional
	UserID int64 `json:"userID,omitempty"`

	// Tokens that were made, those of the spec and those that are not revoked yet.
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=64
	Tokens []TokenStatus `json:"tokens,omitempty"`

	// SecretNames are the Secrets of those tokens, in the same order, for kubectl get -o wide.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=64
	// +kubebuilder:validation:items:MaxLength=253
	SecretNames []string `json:"secretNames,omitempty"`

	// LastHandledReconcileAt is the value of the annotation crateyard.dev/requested-at that was last acted upon.
	// +optional
	// +kubebuilder:validation:MaxLength=256
	LastHandledReconcileAt string `json:"lastHandledReconcileAt,omitempty"`

	// Conditions say how the user is: Ready, Reconciling, Stalled, RegistryReady, UserReady, TokensReady.
	// +optional
	// +listType=map
	// +listMapKey=type
	// +kubebuilder:validation:MaxItems=16
	Conditions []metav1.Condition `json:"conditions,omitempty"`
}

// TokenStatus is a token that was made.
type TokenStatus struct {
	// Name of the token in the spec.
	// +required
	// +kubebuilder:validation:MaxLength=63
	Name string `json:"name"`

	// ID of the token at the registry.
	// +required
	ID int64 `json:"id"`

	// SecretName is the Secret that holds it.
	// +required
	// +kubebuilder:validation:MaxLength=253
	SecretName string `json:"secretName"`

	// ExpiresAt is when the token ends. Missing: never.
	// +optional
	ExpiresAt *metav1.Time `json:"expiresAt,omitempty"`

	// RotatesAt is when a new token takes its place. Missing: never.
	// +optional
	RotatesAt *metav1.Time `json:"rotatesAt,omitempty"`

	// Retiring are tokens that were replaced and are still valid for a while.
	// +optional
	// +listType=map
	// +listMapKey=id
	// +kubebuilder:validation:MaxItems=16
	Retiring []RetiringToken `json:"retiring,omitempty"`
}

// RetiringToken is a token that was replaced.
type RetiringToken struct {
	// ID of the token at the registry.
	// +required
	ID int64 `json:"id"`

	// RevokedAt is when the operator revokes it.
	// +required
	RevokedAt metav1.Time `json:"revokedAt"`
}

// GetConditions gives the conditions for reading.
func (u *RegistryUser) GetConditions() []metav1.Condition { return u.Status.Conditions }

// SetConditions replaces the conditions.
func (u *RegistryUser) SetConditions(c []metav1.Condition) { u.Status.Conditions = c }

// UserName gives the name of the user at the registry.
func (u *RegistryUser) UserName() string {
	if u.Spec.Name != "" {
		return u.Spec.Name
	}
	return u.Name
}

// SecretFor gives the name of the Secret that holds a token.
func (u *RegistryUser) SecretFor(t TokenSpec) string {
	if t.SecretName != "" {
		return t.SecretName
	}
	return u.Name + "-" + t.Name
}
