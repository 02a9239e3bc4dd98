package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// GroupVersion is the API group and version of this package.
var GroupVersion = schema.GroupVersion{Group: "crateyard.dev", Version: "v1alpha1"}

// AddToScheme makes the types of this package known to a scheme.
var AddToScheme = (&runtime.SchemeBuilder{addKnownTypes}).AddToScheme

func addKnownTypes(scheme *runtime.Scheme) error {
	scheme.AddKnownTypes(GroupVersion,
		&Registry{}, &RegistryList{},
		&RegistryUser{}, &RegistryUserList{},
		&CrateMirror{}, &CrateMirrorList{},
	)
	metav1.AddToGroupVersion(scheme, GroupVersion)
	return nil
}
