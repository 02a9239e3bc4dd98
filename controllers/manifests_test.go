package controllers_test

import (
	"bytes"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
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
	return decode(t, out)
}

// decode reads the objects of YAML documents.
func decode(t *testing.T, text []byte) (objects []*unstructured.Unstructured) {
	t.Helper()
	for d := utilyaml.NewYAMLOrJSONDecoder(bytes.NewReader(text), 4096); ; {
		u := &unstructured.Unstructured{}
		if err := d.Decode(&u.Object); err == io.EOF {
			return objects
		} else if err != nil {
			t.Fatal(err)
		}
		if len(u.Object) > 0 { // a template may leave nothing but a comment
			objects = append(objects, u)
		}
	}
}

// helm renders the chart as `helm install` would, with the program that hack/tools pins.
func helm(t *testing.T, namespace string, flags ...string) []*unstructured.Unstructured {
	t.Helper()
	program, err := filepath.Abs("../bin/helm")
	if err != nil {
		t.Fatal(err)
	}
	build := exec.CommandContext(t.Context(), "go", "build", "-C", "../hack/tools/helm", "-o", program, "helm.sh/helm/v3/cmd/helm")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("go build helm: %v\n%s", err, out)
	}
	cmd := exec.CommandContext(t.Context(), program, append([]string{"template", namespace, "../charts/crateyard", "--namespace", namespace, "--kube-version", "1.36.0"}, flags...)...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("helm template %q: %v\n%s", flags, err, stderr.Bytes())
	}
	return decode(t, out)
}

// TestChart holds the Helm chart against a real API server, strictly, in both ways to install it.
func TestChart(t *testing.T) {
	for name, mode := range map[string]struct {
		flags []string
		kinds []string // beside what both have
	}{
		"all namespaces":  {nil, []string{"ClusterRole", "ClusterRoleBinding"}},
		"some namespaces": {[]string{"--set", "watchNamespaces={NAMESPACE,default}", "--set", "image.tag=v0.1.0", "--set", "replicas=2"}, []string{"Role", "Role", "RoleBinding", "RoleBinding"}},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHarness(t)
			var flags []string
			for _, f := range mode.flags {
				flags = append(flags, strings.ReplaceAll(f, "NAMESPACE", h.ns))
			}
			var kinds []string
			for _, u := range helm(t, h.ns, flags...) {
				kinds = append(kinds, u.GetKind())
				if u.GetKind() == "CustomResourceDefinition" { // they are there, and must be no others
					h.must(h.client.Apply(t.Context(), client.ApplyConfigurationFromUnstructured(u), client.FieldOwner("chart"), client.ForceOwnership, client.DryRunAll))
					continue
				}
				if err := h.client.Create(t.Context(), u, client.FieldValidation("Strict")); err != nil {
					t.Errorf("%s %s: %v", u.GetKind(), u.GetName(), err)
				}
			}
			want := append([]string{"CustomResourceDefinition", "CustomResourceDefinition", "CustomResourceDefinition", "ServiceAccount", "Service", "Deployment",
				"Role", "RoleBinding", "ClusterRole", "ClusterRole"}, mode.kinds...)
			slices.Sort(kinds)
			slices.Sort(want)
			if !slices.Equal(kinds, want) {
				t.Errorf("the chart has\n%q, want\n%q", kinds, want)
			}
		})
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

var yamlBlock = regexp.MustCompile("(?s)\n```yaml\n(.*?)\n```")

// TestDocumentedManifests holds the manifests of docs/mirroring.md against a real API server, strictly, without making them.
func TestDocumentedManifests(t *testing.T) {
	h := newHarness(t)
	text, err := os.ReadFile("../docs/mirroring.md")
	h.must(err)
	tried := 0
	for _, block := range yamlBlock.FindAllSubmatch(text, -1) {
		if !bytes.Contains(block[1], []byte("apiVersion:")) {
			continue // a file of the server's or of the command line
		}
		for _, u := range decode(t, block[1]) {
			u.SetNamespace(h.ns)
			if err := h.client.Create(t.Context(), u, client.FieldValidation("Strict"), client.DryRunAll); err != nil {
				t.Errorf("%s %s: %v\n%s", u.GetKind(), u.GetName(), err, block[1])
			}
			tried++
		}
	}
	if tried < 10 {
		t.Errorf("docs/mirroring.md has only %d manifests", tried)
	}
}
