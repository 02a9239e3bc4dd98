// Package v1alpha1 holds the resources of crateyard.dev/v1alpha1: Registry, a registry for Rust crates that the operator
// deploys; RegistryUser, a user of one whose tokens lie in Secrets; and CrateMirror, crates.io or another registry cached beside it.
//
// The comments on the fields are what `kubectl explain` shows. The package imports apimachinery and nothing else, so that
// others can use the types without the operator's dependencies.
//
// +kubebuilder:object:generate=true
// +groupName=crateyard.dev
package v1alpha1
