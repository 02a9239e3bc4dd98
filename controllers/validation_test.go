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
		{"three replicas on SQLite", "Registry", "acme", "{replicas: 3}", "replicas above 1 need spec.catalog.postgres, and spec.storage.s3 or a volume with spec.storage.filesystem.accessMode ReadWriteMany; set them, or set replicas to 1"},
		{"three replicas on one node's volume", "Registry", "acme", "{replicas: 3, catalog: {postgres: {uriSecretRef: {name: pg}}}}", "replicas above 1 need"},
		{"three replicas on S3 and SQLite", "Registry", "acme", "{replicas: 3, storage: {s3: {bucket: crates}}}", "replicas above 1 need"},
		{"two storages", "Registry", "acme", "{storage: {filesystem: {size: 1Gi}, s3: {bucket: crates}}}", "storage is either filesystem or s3; remove one of them"},
		{"two catalogs", "Registry", "acme", "{catalog: {sqlite: {}, postgres: {uriSecretRef: {name: pg}}}}", "the catalog is either sqlite or postgres; remove one of them"},
		{"no URI", "Registry", "acme", "{catalog: {postgres: {}}}", "spec.catalog.postgres.uriSecretRef"},
		{"one connection", "Registry", "acme", "{catalog: {postgres: {uriSecretRef: {name: pg}, maxConnections: 1}}}", "greater than or equal to 2"},
		{"no bucket", "Registry", "acme", "{storage: {s3: {}}}", "spec.storage.s3.bucket"},
		{"bucket with a slash", "Registry", "acme", "{storage: {s3: {bucket: crates/a}}}", "spec.storage.s3.bucket"},
		{"endpoint with a password", "Registry", "acme", "{storage: {s3: {bucket: crates, endpoint: 'https://id:key@s3.example.com'}}}", "those belong in the Secret of credentialsSecretRef"},
		{"endpoint without scheme", "Registry", "acme", "{storage: {s3: {bucket: crates, endpoint: s3.example.com}}}", "endpoint must look like https://s3.example.com"},
		{"prefix with a slash at its end", "Registry", "acme", "{storage: {s3: {bucket: crates, prefix: a/}}}", "prefix must be a path without a slash at its ends"},
		{"delivery", "Registry", "acme", "{storage: {s3: {bucket: crates, delivery: Direct}}}", "Unsupported value"},
		{"key of no KMS", "Registry", "acme", "{storage: {s3: {bucket: crates, encryption: {type: AES256, kmsKeyID: k}}}}", "kmsKeyID needs the type aws:kms"},
		{"access mode", "Registry", "acme", "{storage: {filesystem: {accessMode: ReadOnlyMany}}}", "Unsupported value"},
		{"backup without place", "Registry", "acme", "{backup: {schedule: '0 3 * * *'}}", "spec.backup.s3"},
		{"backup at no time", "Registry", "acme", "{backup: {schedule: '@daily at three', s3: {bucket: backup}}}", "schedule must have five fields"},
		{"backup among the crates", "Registry", "acme", "{storage: {s3: {bucket: crates, prefix: a}}, backup: {schedule: '0 3 * * *', s3: {bucket: crates, prefix: a}}}", "a backup cannot lie where the crates lie"},
		{"delivery of a backup", "Registry", "acme", "{backup: {schedule: '0 3 * * *', s3: {bucket: backup, delivery: Proxy}}}", "unknown field"},
		{"no backups kept", "Registry", "acme", "{backup: {schedule: '0 3 * * *', keep: -1, s3: {bucket: backup}}}", "greater than or equal to 1"},
		{"sweep without pause", "Registry", "acme", "{sweep: {every: 1s}}", "every must be 0s, for never, or at least 1m"},
		{"sweep of what is on its way", "Registry", "acme", "{sweep: {olderThan: 5m}}", "olderThan must be at least 1h"},
		{"sweep in days", "Registry", "acme", "{sweep: {every: 1d}}", "days are not known"},
		{"tiny cache", "Registry", "acme", "{storage: {s3: {bucket: crates, cacheSize: 10Ki}}}", "cacheSize must be 0, for no cache, or lie between 1Mi and 10Ti"},
		{"negative scrub", "Registry", "acme", "{scrub: {rate: '-1'}}", "rate must lie between 0, for never, and 10Gi"},
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
	const (
		onPostgres = "{catalog: {postgres: {uriSecretRef: {name: pg}}}}"
		onS3       = "{storage: {s3: {bucket: crates}}}"
		fromBackup = "{restoreFrom: {s3: {bucket: backup}}}"
		fromOther  = "{restoreFrom: {s3: {bucket: backup}, name: '2026-01-01'}}"
	)
	for _, tt := range []struct{ name, kind, was, now, want string }{
		{"SQLite to PostgreSQL", "Registry", "{}", onPostgres, "a registry that has served cannot move between sqlite and postgres: what it knows would not move along. Back it up and restore it into a new Registry, see docs/operations.md"},
		{"PostgreSQL to SQLite", "Registry", onPostgres, "{catalog: {sqlite: {}}}", "cannot move between sqlite and postgres"},
		{"another database", "Registry", onPostgres, "{catalog: {postgres: {uriSecretRef: {name: other}}}}", ""},
		{"volume to bucket", "Registry", "{storage: {filesystem: {size: 1Gi}}}", onS3, "a registry that has served cannot move between filesystem and s3: its crates would not move along"},
		{"bucket to volume", "Registry", onS3, "{}", "cannot move between filesystem and s3"},
		{"another endpoint", "Registry", onS3, "{storage: {s3: {bucket: crates, endpoint: 'https://s3.example.com'}}}", ""},
		{"another access mode", "Registry", "{storage: {filesystem: {accessMode: ReadWriteMany}}}", "{storage: {filesystem: {accessMode: ReadWriteOnce}}}", "accessMode cannot change"},
		{"access mode left out", "Registry", "{storage: {filesystem: {accessMode: ReadWriteMany}}}", "{}", "accessMode cannot change"},
		{"the default access mode", "Registry", "{storage: {filesystem: {accessMode: ReadWriteOnce}}}", "{}", ""},
		{"a restore too late", "Registry", "{}", fromBackup, "a registry that has served cannot be restored into: only an empty one can"},
		{"another restore", "Registry", fromBackup, fromOther, "cannot be restored into"},
		{"restore done with", "Registry", fromBackup, "{}", ""},
		{"restore stays", "Registry", fromBackup, "{restoreFrom: {s3: {bucket: backup}}, gitIndex: Disabled}", ""},
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
			if tt.kind == "Registry" { // it has served
				h.must(unstructured.SetNestedField(was.Object, "v1", "status", "version"))
				h.must(h.client.Status().Update(t.Context(), was))
			}
			now.SetResourceVersion(was.GetResourceVersion())
			err := h.client.Update(t.Context(), now)
			if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
				t.Errorf("update said %v, want %q", err, tt.want)
			}
		})
	}
}

// As long as a registry has not served, nothing is lost when it begins elsewhere.
func TestSchemaLetsMistakesBeMended(t *testing.T) {
	h := newHarness(t)
	was := h.object("Registry", "it", "{}")
	h.must(h.client.Create(t.Context(), was))
	for _, spec := range []string{
		"{catalog: {postgres: {uriSecretRef: {name: pg}}}}",
		"{storage: {s3: {bucket: crates}}}",
		"{restoreFrom: {s3: {bucket: backup}}}",
		"{restoreFrom: {s3: {bucket: other}, name: latest}}",
	} {
		now := h.object("Registry", "it", spec)
		now.SetResourceVersion(was.GetResourceVersion())
		if err := h.client.Update(t.Context(), now); err != nil {
			t.Errorf("%s: %v", spec, err)
		}
		was = now
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
