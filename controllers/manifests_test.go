package controllers_test

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"
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

// helm renders the chart as `helm install` would, with the program that hack/tools pins. A key that stands twice is an error, as it is for
// `helm install`.
func helm(t *testing.T, namespace string, flags ...string) (objects []*unstructured.Unstructured) {
	t.Helper()
	out, err := helmTemplate(t, namespace, flags...)
	if err != nil {
		t.Fatalf("helm template %q: %v", flags, err)
	}
	for _, doc := range strings.Split(out, "\n---\n") {
		u := &unstructured.Unstructured{}
		if err := yaml.UnmarshalStrict([]byte(doc), &u.Object); err != nil {
			t.Fatalf("%v in\n%s", err, doc)
		}
		if len(u.Object) > 0 { // a template may leave nothing but a comment
			objects = append(objects, u)
		}
	}
	return objects
}

// buildHelm builds the program once, and gives its path.
var buildHelm = sync.OnceValues(func() (string, error) {
	program, err := filepath.Abs("../bin/helm")
	if err != nil {
		return "", err
	}
	build := exec.Command("go", "build", "-C", "../hack/tools/helm", "-o", program, "helm.sh/helm/v3/cmd/helm")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	out, err := build.CombinedOutput()
	if err != nil {
		err = fmt.Errorf("%w\n%s", err, out)
	}
	return program, err
})

func helmTemplate(t *testing.T, namespace string, flags ...string) (string, error) {
	t.Helper()
	program, err := buildHelm()
	if err != nil {
		t.Fatalf("go build helm: %v", err)
	}
	cmd := exec.CommandContext(t.Context(), program, append([]string{"template", namespace, "../charts/crateyard", "--namespace", namespace, "--kube-version", "1.37.0"}, flags...)...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		err = fmt.Errorf("%w\n%s", err, stderr.Bytes())
	}
	return string(out), err
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
				if text, err := yaml.Marshal(u.Object); err != nil || u.GetKind() == "Role" && strings.Contains(string(text), "storageclasses") {
					t.Errorf("Role %s names what is in no namespace (%v)", u.GetName(), err)
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

// TestChartValues holds what the values make of the operator's pod against a real API server.
func TestChartValues(t *testing.T) {
	h := newHarness(t)
	for _, u := range helm(t, h.ns, "-f", "testdata/values.yaml") {
		if u.GetKind() != "Deployment" && u.GetKind() != "ServiceMonitor" {
			continue
		}
		if u.GetKind() == "ServiceMonitor" {
			if got := u.GetLabels(); got["release"] != "prometheus" || got["app.kubernetes.io/managed-by"] != "us" {
				t.Errorf("labels of the ServiceMonitor = %v", got)
			}
			continue
		}
		if err := h.client.Create(t.Context(), u, client.FieldValidation("Strict"), client.DryRunAll); err != nil {
			t.Error(err)
		}
		labels, _, err := unstructured.NestedStringMap(u.Object, "spec", "template", "metadata", "labels")
		h.must(err)
		if labels["team"] != "platform" || labels["app.kubernetes.io/component"] != "operator" {
			t.Errorf("labels of the pod = %v", labels)
		}
		annotations, _, err := unstructured.NestedStringMap(u.Object, "spec", "template", "metadata", "annotations")
		h.must(err)
		if annotations["kubectl.kubernetes.io/default-container"] != "sidecar" {
			t.Errorf("annotations of the pod = %v", annotations)
		}
	}
	if _, err := helmTemplate(t, h.ns, "--set", "podLabels=null,podAnnotations=null,resources=null,tolerations=null,affinity=null,metrics.serviceMonitor.labels=null,metrics.prometheusRule.enabled=true,metrics.prometheusRule.labels=null,metrics.prometheusRule.disabled=null"); err != nil {
		t.Errorf("without values that have defaults: %v", err)
	}
}

// TestChartRefuses what the API server would refuse later, or pass over.
func TestChartRefuses(t *testing.T) {
	for flag, want := range map[string]string{
		"replicas=many":                         "/replicas",
		"replica=2":                             "'replica' not allowed",
		"image.repository=":                     "/image/repository",
		"image.tag=a/b":                         "/image/tag",
		"image.name=x":                          "'name' not allowed",
		"imagePullSecrets={A_B}":                "/imagePullSecrets/0",
		"watchNamespaces=team-a":                "/watchNamespaces",
		"watchNamespaces={Team A}":              "/watchNamespaces/0",
		"watchNamespaces={a,a}":                 "/watchNamespaces",
		"serviceAccount.name=My SA":             "/serviceAccount/name",
		"podLabels.team=a b":                    "/podLabels/team",
		"nodeSelector.a=true":                   "/nodeSelector/a",
		"resources.memory=1Gi":                  "'memory' not allowed",
		"resources.limits.memory=256MB":         "/resources/limits/memory",
		"resources.requests.cpu=-1":             "/resources/requests/cpu",
		"tolerations[0].keys=a":                 "'keys' not allowed",
		"tolerations[0].effect=NoRun":           "/tolerations/0/effect",
		"affinity.nodes.a=b":                    "'nodes' not allowed",
		"affinity.podAntiAffinity.required.a=b": "'required' not allowed",
		"metrics.enabled=false,metrics.serviceMonitor.enabled=true":                              "metrics.serviceMonitor.enabled needs metrics.enabled",
		"metrics.prometheusRule.rules=x":                                                         "'rules' not allowed",
		"metrics.prometheusRule.enabled=true,metrics.prometheusRule.disabled={CrateyardBackups}": "disabled names CrateyardBackups, and there is no such alert: there are CrateyardBackendDown, ",
		"metrics.serviceMonitor.interval=30s":                                                    "'interval' not allowed",
		"log.level=trace":                                                                        "/log/level",
		"priorityClassName=Very High":                                                            "/priorityClassName",
	} {
		if out, err := helmTemplate(t, "default", "--set", flag); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("--set %s: helm says %v, want %q (%d bytes of manifests)", flag, err, want, len(out))
		}
	}
}

// TestOperatorMayDelete only what it prunes; what has an owner is deleted by the garbage collector. It deletes no volume, either, but must have the
// right to, where OwnerReferencesPermissionEnforcement is on, to take one's owner away or give it one.
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
	if want := []string{"ingresses", "persistentvolumeclaims", "poddisruptionbudgets", "secrets", "servicemonitors"}; !slices.Equal(may, want) {
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
