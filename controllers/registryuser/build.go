package registryuser

import (
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	corev1ac "k8s.io/client-go/applyconfigurations/core/v1"
	metav1ac "k8s.io/client-go/applyconfigurations/meta/v1"

	"github.com/crateyard/crateyard/api/v1alpha1"
	"github.com/crateyard/crateyard/controllers/internal/names"
	"github.com/crateyard/crateyard/controllers/registry"
	"github.com/crateyard/crateyard/registry/wire"
)

// buildSecret gives the Secret of a token: the bare token, for CARGO_REGISTRIES_{NAME}_TOKEN, and the two files of a cargo
// home.
func buildSecret(user *v1alpha1.RegistryUser, reg *v1alpha1.Registry, spec v1alpha1.TokenSpec, h held) (*unstructured.Unstructured, error) {
	url := registry.DesiredURL(reg)
	annotations := map[string]string{
		names.TokenIDAnnotation:  formatID(h.id),
		names.IssuedAtAnnotation: h.issuedAt.UTC().Format(time.RFC3339),
		names.DigestAnnotation:   digest(h.token),
	}
	if !h.createdAt.IsZero() {
		annotations[names.CreatedAtAnnotation] = h.createdAt.UTC().Format(time.RFC3339)
	}
	if !h.expiresAt.IsZero() {
		annotations[names.ExpiresAtAnnotation] = h.expiresAt.UTC().Format(time.RFC3339)
	}
	secret := corev1ac.Secret(user.SecretFor(spec), user.Namespace).
		WithType(corev1.SecretTypeOpaque).
		WithLabels(map[string]string{
			names.ManagedByLabel: names.ManagedBy, names.PartOfLabel: "crateyard", names.NameLabel: "crateyard",
			names.InstanceLabel: reg.Name, names.ComponentLabel: "token", names.UserLabel: user.Name, names.TokenLabel: spec.Name,
		}).
		WithAnnotations(annotations).
		WithOwnerReferences(metav1ac.OwnerReference().
			WithAPIVersion(v1alpha1.GroupVersion.String()).WithKind("RegistryUser").
			WithName(user.Name).WithUID(user.UID).WithController(true).WithBlockOwnerDeletion(true)).
		WithData(map[string][]byte{
			"token":            []byte(h.token),
			"name":             []byte(reg.Name), // not "registry": mounted as a cargo home, that would be a file where cargo needs a folder
			"index":            []byte(wire.IndexURL(url)),
			"config.toml":      []byte(wire.CargoConfig(reg.Name, url)),
			"credentials.toml": []byte(wire.CargoCredentials(reg.Name, h.token)),
		})
	content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(secret)
	return &unstructured.Unstructured{Object: content}, err
}
