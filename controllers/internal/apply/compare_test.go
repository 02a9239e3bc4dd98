package apply

import (
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"
)

func parse(t *testing.T, text string) map[string]any {
	t.Helper()
	m := map[string]any{}
	if err := yaml.Unmarshal([]byte(text), &m); err != nil {
		t.Fatal(err)
	}
	return m
}

func TestDifference(t *testing.T) {
	for _, tt := range []struct{ name, live, intent, want string }{
		{"equal", "{spec: {a: 1}}", "{spec: {a: 1}}", ""},
		{"more in live", "{spec: {a: 1, b: 2}, status: {c: 3}}", "{spec: {a: 1}}", ""},
		{"changed", "{spec: {a: 2}}", "{spec: {a: 1}}", "spec.a"},
		{"missing", "{}", "{spec: {a: 1}}", "spec.a"},
		{"false is not missing", "{spec: {}}", "{spec: {a: false}}", "spec.a"},
		{"empty struct left out", "{}", "{spec: {emptyDir: {}}}", ""},
		{"quantity", "{memory: 1Gi}", "{memory: 1024Mi}", ""},
		{"another quantity", "{memory: 1Gi}", "{memory: 1025Mi}", "memory"},
		{"args", "{args: [a, b]}", "{args: [a]}", "args"},
		{"order of args", "{args: [b, a]}", "{args: [a, b]}", "args"},
		{"sidecar stays", "{containers: [{name: mesh}, {name: registry, image: a, x: y}]}", "{containers: [{name: registry, image: a}]}", ""},
		{"changed in list", "{containers: [{name: registry, image: b}]}", "{containers: [{name: registry, image: a}]}", "containers"},
		{"added to a list of ours", "{rules: [{host: a}, {host: b}]}", "{rules: [{host: a}]}", "rules"},
		{"list that is gone", "{}", "{ports: [{port: 1}]}", "ports"},
		{"more in a selector", "{selector: {a: b, c: d}}", "{selector: {a: b}}", "selector"},
		{"more in a nested selector", "{selector: {matchLabels: {a: b}, x: y}}", "{selector: {matchLabels: {a: b}}}", ""},
		{"apiVersion of typed objects", "{}", "{apiVersion: v1, kind: Secret}", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := difference(parse(t, tt.live), parse(t, tt.intent))
			if (tt.want == "") != (len(got) == 0) || tt.want != "" && got[0].String() != tt.want {
				t.Errorf("difference = %v, want %q", got, tt.want)
			}
		})
	}
}

func TestChanges(t *testing.T) {
	for _, tt := range []struct{ live, intent, want string }{
		{"{data: {config.toml: a, token: b}}", "{data: {config.toml: b, token: c}}", ": config.toml, token"},
		{"{metadata: {annotations: {crateyard.dev/x: a}, labels: {a.b/c: d}}}", "{metadata: {annotations: {crateyard.dev/x: b}, labels: {a.b/c: e}}}", ": annotations, labels"},
		{"{metadata: {annotations: {crateyard.dev/applied: a}}}", "{metadata: {annotations: {crateyard.dev/applied: b}}}", ""},
	} {
		got := changes(&unstructured.Unstructured{Object: parse(t, tt.live)}, &unstructured.Unstructured{Object: parse(t, tt.intent)})
		if got != tt.want {
			t.Errorf("changes from %s to %s = %q, want %q", tt.live, tt.intent, got, tt.want)
		}
	}
}

func TestStampFollowsContent(t *testing.T) {
	digest := func(text string) string {
		u := &unstructured.Unstructured{Object: parse(t, text)}
		if err := stamp(u); err != nil {
			t.Fatal(err)
		}
		first := u.GetAnnotations()["crateyard.dev/applied"]
		if err := stamp(u); err != nil {
			t.Fatal(err)
		}
		if again := u.GetAnnotations()["crateyard.dev/applied"]; again != first {
			t.Errorf("stamping twice gave %s, then %s", first, again)
		}
		return first
	}
	if digest("{metadata: {}, a: 1}") == digest("{metadata: {}, a: 2}") {
		t.Error("other content has the same digest")
	}
	// A field that is left out at last would not show as a difference; the digest tells.
	if digest("{metadata: {}, a: 1}") == digest("{metadata: {}, a: 1, b: 1}") {
		t.Error("less content has the same digest")
	}
}
