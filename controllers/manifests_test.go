package controllers_test

import (
	"bytes"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// kustomize renders a folder as `kubectl apply -k` would.
func kustomize(t *testing.T, dir string) []*unstructured.Unstructured {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), filepath.Join(os.Getenv("KUBEBUILDER_ASSETS"), "kubectl"), "kustomize", dir)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("kubectl kustomize %s: %v\n%s", dir, err, stderr.Bytes())
	}
	var objects []*unstructured.Unstructured
	for d := utilyaml.NewYAMLOrJSONDecoder(bytes.NewReader(out), 4096); ; {
		u := &unstructured.Unstructured{}
		if err := d.Decode(&u.Object); err == io.EOF {
			return objects
		} else if err != nil {
			t.Fatal(err)
		}
		objects = append(objects, u)
	}
}

// TestOperatorMayDelete only what it prunes; what has an owner is deleted by the garbage collector.
func TestOperatorMayDelete(t *testing.T) {
	var may []string
	for _, u := range kustomize(t, "../config/rbac") {
		if u.GetKind() != "ClusterRole" || u.GetName() != "crateyard-operator" {
			continue
		}
		rules, _, err := unstructured.NestedSlice(u.Object, "rules")
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range rules {
			rule := r.(map[string]any)
			if slices.Contains(rule["verbs"].([]any), any("delete")) {
				for _, resource := range rule["resources"].([]any) {
					may = append(may, resource.(string))
				}
			}
		}
	}
	slices.Sort(may)
	if want := []string{"ingresses", "poddisruptionbudgets", "secrets", "servicemonitors"}; !slices.Equal(may, want) {
		t.Errorf("the operator may delete %v, want %v", may, want)
	}
}

// TestManifests holds what we ship against a real API server, strictly: a field that it does not know is an error.
func TestManifests(t *testing.T) {
	h := newHarness(t)
	for _, u := range kustomize(t, "../config/default") {
		err := h.client.Create(t.Context(), u, client.FieldValidation("Strict"))
		if err != nil && !apierrors.IsAlreadyExists(err) { // the CRDs are there
			t.Errorf("%s %s: %v", u.GetKind(), u.GetName(), err)
		}
	}
	for _, u := range kustomize(t, "../config/samples") {
		u.SetNamespace(h.ns)
		if err := h.client.Create(t.Context(), u, client.FieldValidation("Strict")); err != nil {
			t.Errorf("%s %s: %v", u.GetKind(), u.GetName(), err)
		}
	}
	for _, name := range []string{"cratemirror_pinned", "cratemirror_policy", "registry_full", "registry_private", "registry_production", "registry_restore", "registryuser_team"} { // those that no kustomization names
		sample, err := os.Open("../config/samples/" + name + ".yaml")
		h.must(err)
		for d := utilyaml.NewYAMLOrJSONDecoder(sample, 4096); ; {
			u := &unstructured.Unstructured{}
			if err := d.Decode(&u.Object); err == io.EOF {
				break
			} else if err != nil {
				t.Fatal(err)
			}
			u.SetNamespace(h.ns)
			h.must(h.client.Create(t.Context(), u, client.FieldValidation("Strict")))
		}
		h.must(sample.Close())
	}
}
