package controllers_test

import (
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"
)

// object reads an object's spec; kind and metadata come from the test.
func (h *harness) object(kind, name, spec string) *unstructured.Unstructured {
	h.Helper()
	u := &unstructured.Unstructured{}
	h.must(yaml.Unmarshal([]byte("apiVersion: crateyard.dev/v1alpha1\nkind: "+kind+"\nspec: "+spec), &u.Object))
	u.SetNamespace(h.ns)
	u.SetName(name)
	return u
}

func TestSchemaRefuses(t *testing.T) {
	const user = "{registryRef: {name: acme}, tokens: [{name: ci, "
	for _, tt := range []struct{ name, kind, object, spec, want string }{
		{"three replicas on SQLite", "Registry", "acme", "{replicas: 3}", "replicas above 1 need spec.catalog.postgres and spec.storage.s3, which this version does not have yet; set replicas to 1"},
		{"negative replicas", "Registry", "acme", "{replicas: -1}", "greater than or equal to 0"},
		{"url with slash at its end", "Registry", "acme", "{url: 'https://a.example/'}", "spec.url"},
		{"url without scheme", "Registry", "acme", "{url: 'a.example'}", "spec.url"},
		{"url with userinfo", "Registry", "acme", "{url: 'https://me:secret@a.example'}", "spec.url"},
		{"long name", "Registry", strings.Repeat("a", 53), "{}", "at most 52"},
		{"name that no Service can have", "Registry", "1acme", "{}", "the first a letter"},
		{"size zero", "Registry", "acme", "{storage: {filesystem: {size: '0'}}}", "size must be more than 1Mi"},
		{"large crates", "Registry", "acme", "{limits: {crateSize: 1Gi}}", "crateSize must lie between 1Ki and 512Mi"},
		{"misspelt switch", "Registry", "acme", "{access: {anonymousRead: 'off'}}", "Unsupported value"},
		{"service type", "Registry", "acme", "{service: {type: ExternalName}}", "Unsupported value"},
		{"unknown field", "Registry", "acme", "{replica: 1}", "unknown field"},
		{"ingress without host", "Registry", "acme", "{ingress: {}}", "spec.ingress.host"},

		{"allowed registry without scheme", "Registry", "acme", "{access: {allowedRegistries: [crates.example.com]}}", "sparse+https://crates.example.com/index/"},
		{"allowed registry twice", "Registry", "acme", "{access: {allowedRegistries: [crates-io, crates-io]}}", "Duplicate value"},
		{"profile", "Registry", "acme", "{publishing: {profile: public}}", "Unsupported value"},
		{"required field", "Registry", "acme", "{publishing: {requiredFields: [authors]}}", "Unsupported value"},
		{"licenses", "Registry", "acme", "{publishing: {licenses: MIT}}", "Unsupported value"},
		{"burst of none", "Registry", "acme", "{rateLimits: {publishNew: {burst: 0, every: 1m}}}", "greater than or equal to 1"},
		{"half a limit", "Registry", "acme", "{rateLimits: {yank: {burst: 5}}}", "spec.rateLimits.yank.every"},
		{"limit over no time", "Registry", "acme", "{rateLimits: {yank: {burst: 5, every: 0s}}}", "every must lie between 1s and 720h"},
		{"limit over days", "Registry", "acme", "{rateLimits: {yank: {burst: 5, every: 1d}}}", "days are not known"},
		{"proxy without range", "Registry", "acme", "{trustedProxies: [10.1.2.3]}", "one address is 10.1.2.3/32"},
		{"proxy by name", "Registry", "acme", "{trustedProxies: [proxy.example.com]}", "range of addresses"},

		{"group name", "RegistryUser", "ci", "{registryRef: {name: acme}, groups: ['a b']}", "spec.groups[0]"},
		{"claim", "RegistryUser", "ci", "{registryRef: {name: acme}, claims: ['*-sys']}", "spec.claims[0]"},
		{"no registry", "RegistryUser", "ci", "{}", "registryRef"},
		{"admin", "RegistryUser", "ci", "{registryRef: {name: acme}, name: admin}", "belongs to the registry's own administrator"},
		{"unknown role", "RegistryUser", "ci", "{registryRef: {name: acme}, role: Owner}", "Unsupported value"},
		{"unknown scope", "RegistryUser", "ci", user + "scopes: [everything]}]}", "Unsupported value"},
		{"admin scope without role", "RegistryUser", "ci", user + "scopes: [admin]}]}", "the scope admin needs the role Admin"},
		{"publishing reader", "RegistryUser", "ci", "{role: Reader, registryRef: {name: acme}, tokens: [{name: ci, scopes: [publish-new]}]}", "the role Reader has the scope read only"},
		{"rotation after the end", "RegistryUser", "ci", user + "expiresAfter: 24h, rotateBefore: 168h}]}", "rotateBefore must be shorter than expiresAfter"},
		{"rotation without end", "RegistryUser", "ci", user + "rotateBefore: 168h}]}", "rotateBefore needs expiresAfter"},
		{"short life", "RegistryUser", "ci", user + "expiresAfter: 1m}]}", "expiresAfter must be at least 10m"},
		{"days", "RegistryUser", "ci", user + "expiresAfter: 90d}]}", "days are not known; use hours: 2160h"},
		{"weeks", "RegistryUser", "ci", user + "expiresAfter: 12w, rotateBefore: 1h}]}", "use hours: 2160h for 90 days"},
		{"pattern", "RegistryUser", "ci", user + "crates: ['*-sys']}]}", "spec.tokens[0].crates[0]"},
		{"two tokens of one name", "RegistryUser", "ci", "{registryRef: {name: acme}, tokens: [{name: a}, {name: a}]}", "Duplicate value"},
		{"two tokens in one Secret", "RegistryUser", "ci", "{registryRef: {name: acme}, tokens: [{name: a, secretName: s}, {name: b, secretName: s}]}", "secretName stands twice"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			h := newHarness(t)
			err := h.client.Create(t.Context(), h.object(tt.kind, tt.object, tt.spec), client.FieldValidation("Strict"))
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("create said %v, want %q", err, tt.want)
			}
		})
	}
}

func TestSchemaRefusesChanges(t *testing.T) {
	for _, tt := range []struct{ name, kind, was, now, want string }{
		{"smaller volume", "Registry", "{storage: {filesystem: {size: 2Gi}}}", "{storage: {filesystem: {size: 1Gi}}}", "size can grow and never shrink"},
		{"larger volume", "Registry", "{storage: {filesystem: {size: 1Gi}}}", "{storage: {filesystem: {size: 2048Mi}}}", ""},
		{"another class", "Registry", "{storage: {filesystem: {storageClassName: a}}}", "{storage: {filesystem: {storageClassName: b}}}", "storageClassName cannot change"},
		{"no class", "Registry", "{storage: {filesystem: {storageClassName: a}}}", "{storage: {filesystem: {size: 20Gi}}}", "storageClassName cannot change"},
		{"another registry", "RegistryUser", "{registryRef: {name: a}}", "{registryRef: {name: b}}", "registryRef cannot change"},
		{"another name", "RegistryUser", "{registryRef: {name: a}, name: one}", "{registryRef: {name: a}, name: two}", "name cannot change"},
		{"a name at last", "RegistryUser", "{registryRef: {name: a}}", "{registryRef: {name: a}, name: two}", "name cannot change"},
		{"another role", "RegistryUser", "{registryRef: {name: a}}", "{registryRef: {name: a}, role: Reader}", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			h := newHarness(t)
			was, now := h.object(tt.kind, "it", tt.was), h.object(tt.kind, "it", tt.now)
			h.must(h.client.Create(t.Context(), was))
			now.SetResourceVersion(was.GetResourceVersion())
			err := h.client.Update(t.Context(), now)
			if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
				t.Errorf("update said %v, want %q", err, tt.want)
			}
		})
	}
}

func TestUsersCanBeSelectedByRegistry(t *testing.T) {
	h := newHarness(t)
	h.makeUser("ci", nil)
	list := &unstructured.UnstructuredList{}
	list.SetAPIVersion("crateyard.dev/v1alpha1")
	list.SetKind("RegistryUserList")
	for registry, want := range map[string]int{"acme": 1, "other": 0} {
		h.must(h.client.List(t.Context(), list, client.InNamespace(h.ns), client.MatchingFields{"spec.registryRef.name": registry}))
		if len(list.Items) != want {
			t.Errorf("%d users of %s, want %d", len(list.Items), registry, want)
		}
	}
}
