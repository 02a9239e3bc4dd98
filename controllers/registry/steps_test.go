package registry

import (
	"context"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/crateyard/crateyard/api/v1alpha1"
	"github.com/crateyard/crateyard/controllers/internal/outcome"
)

// What stands behind the schema: a Registry that an older schema let in, or one that is scaled.
func TestValidate(t *testing.T) {
	three := func(s v1alpha1.RegistrySpec) v1alpha1.RegistrySpec {
		n := int32(3)
		s.Replicas, s.Image = &n, "i"
		return s
	}
	resources := func(cpu, memory, memoryLimit string) v1alpha1.RegistrySpec {
		return v1alpha1.RegistrySpec{Resources: &v1alpha1.ResourceRequirements{
			Requests: map[string]resource.Quantity{"cpu": resource.MustParse(cpu), "memory": resource.MustParse(memory)},
			Limits:   map[string]resource.Quantity{"memory": resource.MustParse(memoryLimit)},
		}}
	}
	postgres := v1alpha1.CatalogSpec{Postgres: &v1alpha1.PostgresCatalog{}}
	const sharing = "replicas above 1 need spec.catalog.postgres, and spec.storage.s3 or a volume with spec.storage.filesystem.accessMode ReadWriteMany; set them, or set replicas to 1"
	for _, tt := range []struct {
		name     string
		spec     v1alpha1.RegistrySpec
		operator string // its image
		says     string // empty: it is fine
	}{
		{"nothing said", v1alpha1.RegistrySpec{}, "i", ""},
		{"an image of its own", v1alpha1.RegistrySpec{Image: "i"}, "", ""},
		{"no image at all", v1alpha1.RegistrySpec{}, "", "the operator was started without --image, and spec.image is empty; set one of them"},
		{"three on SQLite", three(v1alpha1.RegistrySpec{}), "", "spec.replicas is 3: " + sharing},
		{"three on SQLite and S3", three(v1alpha1.RegistrySpec{Storage: v1alpha1.StorageSpec{S3: &v1alpha1.S3Storage{}}}), "", sharing},
		{"three on PostgreSQL and a node's volume", three(v1alpha1.RegistrySpec{Catalog: postgres}), "", sharing},
		{"three on PostgreSQL and S3", three(v1alpha1.RegistrySpec{Catalog: postgres, Storage: v1alpha1.StorageSpec{S3: &v1alpha1.S3Storage{}}}), "", ""},
		{"three on PostgreSQL and a shared volume", three(v1alpha1.RegistrySpec{Catalog: postgres,
			Storage: v1alpha1.StorageSpec{Filesystem: v1alpha1.FilesystemStorage{AccessMode: "ReadWriteMany"}}}), "", ""},
		{"a request above its limit", resources("1", "2Gi", "1Gi"), "i", "spec.resources.requests asks for 2Gi memory, and spec.resources.limits allows 1Gi: no pod can have less than it asks for; lower the request, or raise the limit"},
		{"a request of all of its limit", resources("1", "1024Mi", "1Gi"), "i", ""},
		{"a request without limit", resources("64", "1Mi", "1Gi"), "i", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := &scope{Reconciler: &Reconciler{Image: tt.operator}, registry: &v1alpha1.Registry{Spec: tt.spec}}
			err := s.validate(context.Background())
			stalled, isStalled := outcome.IsStalled(err)
			switch {
			case tt.says == "" && err != nil:
				t.Errorf("refused: %v", err)
			case tt.says != "" && (!isStalled || stalled.Reason != v1alpha1.ReasonInvalidSpec || !strings.Contains(stalled.Message, tt.says)):
				t.Errorf("got %v, want a stall that says %q", err, tt.says)
			}
		})
	}
}
