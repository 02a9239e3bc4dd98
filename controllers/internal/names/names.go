// Package names holds the labels, annotations and field owner by which the operator knows its own objects.
package names

import (
	"k8s.io/apimachinery/pkg/labels"

	"github.com/crateyard/crateyard/api/v1alpha1"
)

// FieldOwner is the operator's name in managedFields.
const FieldOwner = "crateyard-operator"

// Labels.
const (
	ManagedByLabel = "app.kubernetes.io/managed-by"
	NameLabel      = "app.kubernetes.io/name"
	InstanceLabel  = "app.kubernetes.io/instance"
	ComponentLabel = "app.kubernetes.io/component"
	PartOfLabel    = "app.kubernetes.io/part-of"

	// RegistryLabel is the Registry that an object belongs to.
	RegistryLabel = "crateyard.dev/registry"
	// UserLabel is the RegistryUser that a Secret belongs to.
	UserLabel = "crateyard.dev/registry-user"
	// TokenLabel is the token of the RegistryUser that a Secret holds.
	TokenLabel = "crateyard.dev/token"
)

// ManagedBy is the value of ManagedByLabel on all that the operator makes. The operator's cache holds nothing else.
const ManagedBy = "crateyard"

// Annotations.
const (
	// AppliedAnnotation holds a digest of what was last applied, so that an unchanged object costs no write.
	AppliedAnnotation = "crateyard.dev/applied"
	// RegistryUIDAnnotation on what outlives a Registry says which one used it last.
	RegistryUIDAnnotation = "crateyard.dev/registry-uid"
	// ConfigAnnotation on a pod holds a digest of its configuration, its admin token and the Secrets of others: a change replaces the pod.
	ConfigAnnotation = "crateyard.dev/config"
	// CreatedUserAnnotation on a RegistryUser names the user that was made for it, and goes with it.
	CreatedUserAnnotation = "crateyard.dev/created-user"
	// DepartedUsersAnnotation on an admin Secret names users, with commas between, whose RegistryUsers went while the Registry was gone.
	DepartedUsersAnnotation = "crateyard.dev/departed-users"
	// TokenIDAnnotation and the others describe the token in a Secret.
	TokenIDAnnotation   = "crateyard.dev/token-id"
	IssuedAtAnnotation  = "crateyard.dev/issued-at"
	CreatedAtAnnotation = "crateyard.dev/created-at" // by the registry's clock
	ExpiresAtAnnotation = "crateyard.dev/expires-at"
	DigestAnnotation    = "crateyard.dev/token-sha256"
)

// UserFinalizer keeps a RegistryUser until its tokens are revoked.
const UserFinalizer = "crateyard.dev/registry-user"

// MirrorFinalizer keeps a CrateMirror until its mirror is removed, where spec.deletionPolicy asks for that.
const MirrorFinalizer = "crateyard.dev/crate-mirror"

// Managed selects what the operator made.
func Managed() labels.Selector { return labels.SelectorFromSet(labels.Set{ManagedByLabel: ManagedBy}) }

// The names of a Registry's children.
func AdminSecret(registry string) string { return registry + "-admin" }
func Config(registry string) string      { return registry + "-config" }
func Data(registry string) string        { return registry + "-data" }
func Metrics(registry string) string     { return registry + "-metrics" }

// ForRegistry gives the labels of a Registry's children.
func ForRegistry(r *v1alpha1.Registry) map[string]string {
	l := SelectorFor(r.Name)
	l[ManagedByLabel] = ManagedBy
	l[PartOfLabel] = "crateyard"
	l[RegistryLabel] = r.Name
	return l
}

// SelectorFor gives the labels that select a Registry's pods; they never change, since a Deployment's selector cannot.
func SelectorFor(registry string) map[string]string {
	return map[string]string{NameLabel: "crateyard", InstanceLabel: registry, ComponentLabel: "registry"}
}

// TokenPrefix begins the names of the operator's tokens at a registry. Tokens that somebody made by hand have other names and
// are left alone.
const TokenPrefix = "kubernetes/"

// LockfilePrefix begins the names of the operator's lockfiles at a registry. Those that somebody pinned by hand have other names and
// are left alone.
const LockfilePrefix = "kubernetes_"
