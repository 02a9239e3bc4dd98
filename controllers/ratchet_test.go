package controllers_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
	"sigs.k8s.io/yaml"

	"github.com/crateyard/crateyard/api/v1alpha1"
)

// A Registry that an older schema let in with what is refused now stays usable: its other fields and its status can be written, what is refused can be
// mended, and nothing wrong can be added. The Registries of this test are of a group of their own, whose schema can change.
func TestSchemaLeavesWhatIsThere(t *testing.T) {
	h := newHarness(t)
	text, err := os.ReadFile("../config/crd/bases/crateyard.dev_registries.yaml")
	h.must(err)
	group := "older." + v1alpha1.GroupVersion.Group
	// write writes the schema, as it is or changed, and gives the options to install it.
	write := func(change func(version map[string]any)) envtest.CRDInstallOptions {
		crd := decode(t, text)[0]
		crd.SetName("registries." + group)
		h.must(unstructured.SetNestedField(crd.Object, group, "spec", "group"))
		unstructured.RemoveNestedField(crd.Object, "spec", "names", "shortNames")
		unstructured.RemoveNestedField(crd.Object, "spec", "names", "categories")
		versions, _, err := unstructured.NestedSlice(crd.Object, "spec", "versions")
		h.must(err)
		change(versions[0].(map[string]any))
		h.must(unstructured.SetNestedSlice(crd.Object, versions, "spec", "versions"))
		out, err := yaml.Marshal(crd.Object)
		h.must(err)
		file := filepath.Join(t.TempDir(), "crd.yaml")
		h.must(os.WriteFile(file, out, 0o600))
		return envtest.CRDInstallOptions{Paths: []string{file}, ErrorIfPathMissing: true, MaxTime: time.Minute, PollInterval: 50 * time.Millisecond}
	}
	now := write(func(map[string]any) {})
	_, err = envtest.InstallCRDs(config, write(func(version map[string]any) {
		for _, field := range []string{"audit", "resources"} {
			rules := []string{"schema", "openAPIV3Schema", "properties", "spec", "properties", field, "x-kubernetes-validations"}
			if _, found, err := unstructured.NestedSlice(version, rules...); err != nil || !found {
				t.Errorf("the schema has no rule for spec.%s (%v)", field, err)
			}
			unstructured.RemoveNestedField(version, rules...)
		}
	}))
	h.must(err)
	t.Cleanup(func() { h.must(envtest.UninstallCRDs(config, now)) })
	c, err := client.New(config, client.Options{})
	h.must(err)
	object := func(name, spec string) *unstructured.Unstructured {
		u := h.object("Registry", name, spec)
		u.SetAPIVersion(group + "/v1alpha1")
		return u
	}
	const wrong = "audit: {keep: 1s}, resources: {requests: {memory: 2Gi}, limits: {memory: 1Gi}}"
	old := object("old", "{"+wrong+"}")
	h.must(c.Create(t.Context(), old, client.FieldValidation("Strict")))

	_, err = envtest.InstallCRDs(config, now)
	h.must(err)
	h.eventually("the schema of now", func() bool {
		return c.Create(t.Context(), object("new", "{audit: {keep: 1s}}"), client.DryRunAll) != nil &&
			c.Create(t.Context(), object("new", "{resources: {requests: {cpu: 2}, limits: {cpu: 1}}}"), client.DryRunAll) != nil
	})
	h.must(unstructured.SetNestedField(old.Object, "v1", "status", "version"))
	if err := c.Status().Update(t.Context(), old); err != nil {
		t.Errorf("its status: %v", err)
	}
	for _, tt := range []struct{ spec, want string }{
		{"{" + wrong + ", gitIndex: Disabled}", ""},
		{"{audit: {keep: 2s}, resources: {requests: {memory: 2Gi}, limits: {memory: 1Gi}}}", "keep must be 0s, for ever, or at least 24h"},
		{"{audit: {keep: 1s}, resources: {requests: {memory: 3Gi}, limits: {memory: 1Gi}}}", "requests cannot be above limits"},
		{"{audit: {keep: 24h}, resources: {requests: {memory: 2Gi}, limits: {memory: 1Gi}}}", ""},
		{"{audit: {keep: 24h}, resources: {requests: {memory: 1Gi}, limits: {memory: 1Gi}}}", ""},
	} {
		change := object("old", tt.spec)
		change.SetResourceVersion(old.GetResourceVersion())
		err := c.Update(t.Context(), change)
		if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want %q", tt.spec, err, tt.want)
		}
		if err == nil {
			old = change
		}
	}
}
