package controllers_test

import (
	"fmt"
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
	const (
		user   = "{registryRef: {name: acme}, tokens: [{name: ci, "
		mirror = "{registryRef: {name: acme}, "
	)
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
		{"backup every day", "Registry", "acme", "{backup: {schedule: daily, s3: {bucket: backup}}}", "schedule must have five fields"},
		// What a pattern in the schema would answer with itself says what it asks for.
		{"host in capitals", "Registry", "acme", "{ingress: {host: Crates.example.com}}", "it must be lower-case letters, digits, dashes and dots, with a letter or digit at both ends of each part"},
		{"image with a space", "Registry", "acme", "{image: 'a b'}", "image must be the name of an image"},
		{"label with a space", "Registry", "acme", "{nodeSelector: {a: 'b c'}}", "it must be the value of a label"},
		{"backup elsewhere", "Registry", "acme", "{restoreFrom: {s3: {bucket: backup}, name: ../x}}", "name must be that of a backup"},
		{"token in capitals", "RegistryUser", "ci", "{registryRef: {name: acme}, tokens: [{name: CI}]}", "it must be lower-case letters, digits and dashes"},
		{"claim of a path", "RegistryUser", "ci", "{registryRef: {name: acme}, claims: [a/b]}", "it must be a crate's name, or the beginning of one with * behind it"},
		{"group with a space", "RegistryUser", "ci", "{registryRef: {name: acme}, groups: ['a b']}", "it must be letters, digits, dashes, dots and underscores"},
		{"mirrored crate with a space", "CrateMirror", "deps", mirror + "crates: [{name: 'ser de'}]}", "it must be the name of a crate"},
		{"requirement in brackets", "CrateMirror", "deps", mirror + "crates: [{name: serde, versions: '[1,2)'}]}", "versions must be a requirement as in Cargo.toml"},
		{"denied path", "CrateMirror", "deps", mirror + "policy: {deny: [a/b]}}", "it must be a crate's name, in which * stands for any characters"},
		{"license in words", "CrateMirror", "deps", mirror + "policy: {licenses: [MIT License]}}", "it must be one license by its SPDX identifier"},
		{"sync every day", "CrateMirror", "deps", "{registryRef: {name: acme}, schedule: daily}", "schedule must have five fields"},
		{"backup among the crates", "Registry", "acme", "{storage: {s3: {bucket: crates, prefix: a}}, backup: {schedule: '0 3 * * *', s3: {bucket: crates, prefix: a}}}", "a backup cannot lie where the crates lie"},
		{"delivery of a backup", "Registry", "acme", "{backup: {schedule: '0 3 * * *', s3: {bucket: backup, delivery: Proxy}}}", "unknown field"},
		{"no backups kept", "Registry", "acme", "{backup: {schedule: '0 3 * * *', keep: -1, s3: {bucket: backup}}}", "greater than or equal to 1"},
		{"sweep without pause", "Registry", "acme", "{sweep: {every: 1s}}", "every must be 0s, for never, or at least 1m"},
		{"sweep of what is on its way", "Registry", "acme", "{sweep: {olderThan: 5m}}", "olderThan must be at least 1h"},
		{"audit of a second", "Registry", "acme", "{audit: {keep: 1s}}", "spec.audit.keep: Invalid value: keep must be 0s, for ever, or at least 24h: what is older is deleted, and does not come back"},
		{"audit of nearly a day", "Registry", "acme", "{audit: {keep: 23h59m59s}}", "keep must be 0s, for ever, or at least 24h"},
		{"audit in days", "Registry", "acme", "{audit: {keep: 90d}}", "days are not known"},
		{"more memory than the limit", "Registry", "acme", "{resources: {requests: {cpu: 1, memory: 1Gi}, limits: {memory: 512Mi}}}", "spec.resources.requests: Invalid value: requests cannot be above limits: no pod can have less than it asks for; lower the request, or raise the limit of the same name"},
		{"more cores than the limit", "Registry", "acme", "{resources: {requests: {cpu: 2}, limits: {cpu: 1500m}}}", "requests cannot be above limits"},
		{"more disk than the limit", "Registry", "acme", "{resources: {requests: {ephemeral-storage: 10G}, limits: {ephemeral-storage: 9Gi}}}", "requests cannot be above limits"},
		{"a request in MB under a limit", "Registry", "acme", "{resources: {requests: {memory: 256MB}, limits: {memory: 512Mi}}}", "with no B behind it"},
		{"sweep in days", "Registry", "acme", "{sweep: {every: 1d}}", "days are not known"},
		{"tiny cache", "Registry", "acme", "{storage: {s3: {bucket: crates, cacheSize: 10Ki}}}", "cacheSize must be 0, for no cache, or lie between 1Mi and 10Ti"},
		{"negative scrub", "Registry", "acme", "{scrub: {rate: '-1'}}", "rate must lie between 0, for never, and 10Gi"},
		{"negative replicas", "Registry", "acme", "{replicas: -1}", "greater than or equal to 0"},
		{"url with slash at its end", "Registry", "acme", "{url: 'https://a.example/'}", "no slash at its end"},
		{"url without scheme", "Registry", "acme", "{url: 'a.example'}", "url must begin with https://"},
		{"url with a port that there is not", "Registry", "acme", "{url: 'https://a.example:65536'}", "a port of at most 65535"},
		{"url with port 0", "Registry", "acme", "{url: 'https://a.example:0'}", "a port of at most 65535"},
		{"url with a label of nothing", "Registry", "acme", "{url: 'https://a..example'}", "name a host"},
		{"alias with a port that there is not", "Registry", "acme", "{aliases: ['https://a.example:99999']}", "a port of at most 65535"},
		{"allowed registry with a label of nothing", "Registry", "acme", "{access: {allowedRegistries: ['https://a..example/index/']}}", "such as sparse+https://"},
		{"endpoint with a port that there is not", "Registry", "acme", "{storage: {s3: {bucket: crates, endpoint: 'https://s3.example.com:70000'}}}", "endpoint must look like"},
		{"storage class", "Registry", "acme", "{storage: {filesystem: {storageClassName: Fast SSD}}}", "spec.storage.filesystem.storageClassName"},
		{"ingress class", "Registry", "acme", "{ingress: {host: a.example, className: NGINX}}", "spec.ingress.className"},
		{"certificate's Secret", "Registry", "acme", "{ingress: {host: a.example, tlsSecretName: a/b}}", "spec.ingress.tlsSecretName"},
		{"pull Secret", "Registry", "acme", "{imagePullSecrets: [{name: A_B}]}", "spec.imagePullSecrets[0].name"},
		{"pull Secret with a long name", "Registry", "acme", "{imagePullSecrets: [{name: " + strings.Repeat("a", 254) + "}]}", "spec.imagePullSecrets[0].name"},
		{"key that no Secret has", "Registry", "acme", "{catalog: {postgres: {uriSecretRef: {name: pg, key: ..}}}}", "spec.catalog.postgres.uriSecretRef.key"},
		{"node label", "Registry", "acme", "{nodeSelector: {disk: -fast}}", "spec.nodeSelector[disk]"},
		{"url with userinfo", "Registry", "acme", "{url: 'https://me:secret@a.example'}", "spec.url"},
		{"long name", "Registry", strings.Repeat("a", 53), "{}", "at most 52"},
		{"name that no Service can have", "Registry", "1acme", "{}", "the first a letter"},
		{"size zero", "Registry", "acme", "{storage: {filesystem: {size: '0'}}}", "size must be more than 1Mi"},
		{"size in GB", "Registry", "acme", "{storage: {filesystem: {size: 20GB}}}", "is invalid: spec.storage.filesystem.size: Invalid value: \"20GB\": it must be a number with a unit that Kubernetes knows: write 20Gi (1024³ bytes each) or 20G (1000³), with no B behind it"},
		{"cache in MB", "Registry", "acme", "{storage: {s3: {bucket: crates, cacheSize: 500MB}}}", "with no B behind it"},
		{"crates in MiB", "Registry", "acme", "{limits: {crateSize: 20MiB}}", "with no B behind it"},
		{"rate in words", "Registry", "acme", "{scrub: {rate: fast}}", "with no B behind it"},
		{"memory in MB", "Registry", "acme", "{resources: {limits: {memory: 512MB}}}", "write 512Mi or 512M, with no B behind it"},
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
		{"shadowing", "Registry", "acme", "{publishing: {shadowing: Deny}}", "Unsupported value"},
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
		{"days", "RegistryUser", "ci", user + "expiresAfter: 90d}]}", "such as 2160h for 90 days, 30m or 1h30m; days are not known"},
		{"weeks", "RegistryUser", "ci", user + "expiresAfter: 12w, rotateBefore: 1h}]}", "such as 2160h for 90 days"},
		{"a number without unit", "RegistryUser", "ci", user + "expiresAfter: '90'}]}", "it must be hours, minutes and seconds"},
		{"pattern", "RegistryUser", "ci", user + "crates: ['*-sys']}]}", "spec.tokens[0].crates[0]"},
		{"two tokens of one name", "RegistryUser", "ci", "{registryRef: {name: acme}, tokens: [{name: a}, {name: a}]}", "Duplicate value"},
		{"Secret of a token", "RegistryUser", "ci", user + "secretName: a..b}]}", "spec.tokens[0].secretName"},
		{"two tokens in one Secret", "RegistryUser", "ci", "{registryRef: {name: acme}, tokens: [{name: a, secretName: s}, {name: b, secretName: s}]}", "secretName stands twice"},

		{"mirror of nobody", "CrateMirror", "deps", "{}", "registryRef"},
		{"mirror with a dot", "CrateMirror", "a.b", "{registryRef: {name: acme}}", "at most 63 lower-case letters, digits and dashes; set spec.name"},
		{"long mirror", "CrateMirror", strings.Repeat("a", 64), "{registryRef: {name: acme}}", "set spec.name"},
		{"mirror called as cargo's own", "CrateMirror", "crates-io", "{registryRef: {name: acme}}", "could not tell a mirror of that name from it"},
		{"mirror named as cargo's own", "CrateMirror", "deps", "{registryRef: {name: acme}, name: crates-io}", "could not tell a mirror of that name from it"},
		{"mirror mode", "CrateMirror", "deps", "{registryRef: {name: acme}, mode: Lazy}", "Unsupported value"},
		{"pinned to nothing", "CrateMirror", "deps", "{registryRef: {name: acme}, mode: Pinned}", "a mirror with mode Pinned serves only what is cached, so it needs crates or lockfiles"},
		{"upstream over git", "CrateMirror", "deps", mirror + "upstream: {index: 'https://github.com/rust-lang/crates.io-index'}}", "index must be a sparse index with a slash at its end"},
		{"upstream without slash", "CrateMirror", "deps", mirror + "upstream: {index: 'sparse+https://crates.example.com/index'}}", "with a slash at its end"},
		{"upstream with a password", "CrateMirror", "deps", mirror + "upstream: {index: 'sparse+https://me:pw@crates.example.com/index/'}}", "a token belongs in the Secret of tokenSecretRef"},
		{"upstream with a query", "CrateMirror", "deps", mirror + "upstream: {index: 'sparse+https://crates.example.com/index/?a=b'}}", "index must be a sparse index"},
		{"token for crates.io", "CrateMirror", "deps", mirror + "upstream: {tokenSecretRef: {name: t}}}", "tokenSecretRef needs index"},
		{"two CAs", "CrateMirror", "deps", mirror + "upstream: {caSecretRef: {name: a}, caConfigMapRef: {name: a}}}", "come from caSecretRef or from caConfigMapRef"},
		{"contact of two lines", "CrateMirror", "deps", mirror + `upstream: {contact: "a\nb"}}`, "spec.upstream.contact"},
		{"no request at once", "CrateMirror", "deps", mirror + "upstream: {concurrency: -1}}", "greater than or equal to 1"},
		{"too many requests at once", "CrateMirror", "deps", mirror + "upstream: {concurrency: 257}}", "less than or equal to 256"},
		{"index never asked for again", "CrateMirror", "deps", mirror + "upstream: {maxAge: 10000h}}", "maxAge must lie between 1s and 720h"},
		{"crate without name", "CrateMirror", "deps", mirror + "crates: [{versions: '1'}]}", "spec.crates[0].name"},
		{"crate with a slash", "CrateMirror", "deps", mirror + "crates: [{name: a/b}]}", "spec.crates[0].name"},
		{"requirement", "CrateMirror", "deps", mirror + "crates: [{name: serde, versions: '1 || 2'}]}", "spec.crates[0].versions"},
		{"no version", "CrateMirror", "deps", mirror + "crates: [{name: serde, latest: -1}]}", "greater than or equal to 1"},
		{"crate twice", "CrateMirror", "deps", mirror + "crates: [{name: serde}, {name: serde, versions: '*'}]}", "Duplicate value"},
		{"lockfile of nowhere", "CrateMirror", "deps", mirror + "lockfiles: [{}]}", "spec.lockfiles[0].configMapKeyRef"},
		{"lockfile key", "CrateMirror", "deps", mirror + "lockfiles: [{configMapKeyRef: {name: a, key: a/b}}]}", "spec.lockfiles[0].configMapKeyRef.key"},
		{"dependencies", "CrateMirror", "deps", mirror + "dependencies: Some}", "Unsupported value"},
		{"mirror at no time", "CrateMirror", "deps", mirror + "schedule: '@daily at three'}", "schedule must have five fields"},
		{"pattern of a mirror", "CrateMirror", "deps", mirror + "policy: {deny: ['a b']}}", "spec.policy.deny[0]"},
		{"denied and allowed", "CrateMirror", "deps", mirror + "policy: {allow: [a, b], deny: [b]}}", "a pattern stands in allow and in deny"},
		{"all denied", "CrateMirror", "deps", mirror + "policy: {deny: ['*']}}", "so that nothing could enter"},
		{"nothing allowed", "CrateMirror", "deps", mirror + "policy: {allow: []}}", "should have at least 1 items"},
		{"exception from no age", "CrateMirror", "deps", mirror + "policy: {minimumAgeExceptions: [a]}}", "minimumAgeExceptions need minimumAge"},
		{"exception from no license", "CrateMirror", "deps", mirror + "policy: {licenseExceptions: [a]}}", "licenseExceptions need licenses"},
		{"age in days", "CrateMirror", "deps", mirror + "policy: {minimumAge: 3d}}", "days are not known"},
		{"no age", "CrateMirror", "deps", mirror + "policy: {minimumAge: 0s}}", "minimumAge must be more than 0s"},
		{"licenses in one", "CrateMirror", "deps", mirror + "policy: {licenses: ['MIT OR Apache-2.0']}}", "spec.policy.licenses[0]"},
		{"no crate size", "CrateMirror", "deps", mirror + "policy: {maxCrateSize: '0'}}", "maxCrateSize must be at least 1Ki"},
		{"advisories of nowhere", "CrateMirror", "deps", mirror + "policy: {advisories: {action: Warn}}}", "spec.policy.advisories.source"},
		{"advisories over ssh", "CrateMirror", "deps", mirror + "policy: {advisories: {source: 'git@github.com:rustsec/advisory-db'}}}", "source must be the https address of a git repository"},
		{"advisories at a port that there is not", "CrateMirror", "deps", mirror + "policy: {advisories: {source: 'https://a.example:99999/db'}}}", "source must be the https address of a git repository"},
		{"severity", "CrateMirror", "deps", mirror + "policy: {advisories: {source: /db, minimumSeverity: Worst}}}", "Unsupported value"},
		{"exception without reason", "CrateMirror", "deps", mirror + "policy: {advisories: {source: /db, exceptions: [{id: RUSTSEC-2020-0071, reason: ' '}]}}}", "reason must say why"},
		{"exception twice", "CrateMirror", "deps", mirror + "policy: {advisories: {source: /db, exceptions: [{id: A, reason: a}, {id: A, reason: b}]}}}", "Duplicate value"},
		{"upstream with a port that there is not", "CrateMirror", "deps", mirror + "upstream: {index: 'sparse+https://a.example:65999/index/'}}", "index must be a sparse index"},
		{"cache in GB", "CrateMirror", "deps", mirror + "retention: {maxSize: 50GB}}", "with no B behind it"},
		{"crate size in MB", "CrateMirror", "deps", mirror + "policy: {maxCrateSize: 20MB}}", "with no B behind it"},
		{"no cache", "CrateMirror", "deps", mirror + "retention: {maxSize: '0'}}", "maxSize must be at least 1Mi"},
		{"cache for no time", "CrateMirror", "deps", mirror + "retention: {unusedFor: 1m}}", "unusedFor must be at least 1h"},
		{"kept from nothing", "CrateMirror", "deps", mirror + "retention: {keepPinned: true}}", "keepPinned needs maxSize or unusedFor"},
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

// What Kubernetes itself takes must not be refused.
func TestSchemaTakes(t *testing.T) {
	long := strings.Repeat("a", 250) + ".bc"
	for name, spec := range map[string]string{
		"names with dots":          "{imagePullSecrets: [{name: docker.io-1}, {name: " + long + "}], ingress: {host: a.b.example, className: a.nginx, tlsSecretName: tls.a.example}, storage: {filesystem: {storageClassName: topolvm.io-fast}}}",
		"keys":                     "{catalog: {postgres: {uriSecretRef: {name: pg.app, key: .dockerconfigjson}, caSecretRef: {name: pg, key: CA_1-x.crt}}}}",
		"addresses":                "{url: 'https://crates-1.acme.dev:65535/a/b', aliases: ['http://localhost:1', 'http://10.0.0.1:8080', 'https://A.example'], access: {allowedRegistries: [crates-io, 'sparse+https://a.example:443/i/', 'https://a']}}",
		"quantities":               "{storage: {filesystem: {size: 0.5Ti}}, limits: {crateSize: 20e6}, scrub: {rate: 1048576}, resources: {requests: {cpu: 1, memory: 1e9}, limits: {cpu: 1500m, memory: 1.5Gi, example.com/gpu: '1'}}}",
		"requests at their limits": "{resources: {requests: {cpu: 1, memory: 1Gi, example.com/gpu: 1}, limits: {cpu: 1000m, memory: 1024Mi, example.com/gpu: '1'}}}",
		"requests of all kinds":    "{resources: {requests: {" + numbered("example.com/r%d: 1", 16) + "}, limits: {" + numbered("example.com/r%d: 1Ki", 16) + "}}}",
		"an audit for ever":        "{audit: {keep: 0s}}",
		"an audit of a day":        "{audit: {keep: 24h}}",
		"many secrets and hosts":   "{imagePullSecrets: [" + numbered("{name: s%d}", 16) + "], aliases: [" + numbered("'https://a%d.example:8443/x'", 16) + "]}",
		"labels":                   "{nodeSelector: {a: '', b: x_1.y, kubernetes.io/arch: amd64}}",
	} {
		t.Run(name, func(t *testing.T) {
			h := newHarness(t)
			if err := h.client.Create(t.Context(), h.object("Registry", "acme", spec), client.FieldValidation("Strict")); err != nil {
				t.Error(err)
			}
		})
	}
}

// numbered lists n times a text with a number in it.
func numbered(text string, n int) string {
	var list []string
	for i := range n {
		list = append(list, fmt.Sprintf(text, i))
	}
	return strings.Join(list, ", ")
}

// patterns lists n names that begin so.
func patterns(begin string, n int) string {
	var list []string
	for i := range n {
		list = append(list, fmt.Sprintf("%s%d", begin, i))
	}
	return strings.Join(list, ", ")
}

func TestSchemaRefusesChanges(t *testing.T) {
	const (
		onPostgres = "{catalog: {postgres: {uriSecretRef: {name: pg}}}}"
		onS3       = "{storage: {s3: {bucket: crates}}}"
		fromBackup = "{restoreFrom: {s3: {bucket: backup}}}"
		fromOther  = "{restoreFrom: {s3: {bucket: backup}, name: '2026-01-01'}}"
	)
	full := "{registryRef: {name: a}, policy: {allow: [" + patterns("a", 512) + "], deny: [" + patterns("d", 512) + "]}, crates: ["
	for i := range 10_000 {
		full += fmt.Sprintf("{name: c%d, versions: '^1.2.3'},", i)
	}
	full += "]}"
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
		{"larger volume", "Registry", "{storage: {filesystem: {size: 1Gi}}}", "{storage: {filesystem: {size: 2048Mi}}}", ""},
		{"another class", "Registry", "{storage: {filesystem: {storageClassName: a}}}", "{storage: {filesystem: {storageClassName: b}}}", "storageClassName cannot change"},
		{"no class", "Registry", "{storage: {filesystem: {storageClassName: a}}}", "{storage: {filesystem: {size: 20Gi}}}", "storageClassName cannot change"},
		{"another registry", "RegistryUser", "{registryRef: {name: a}}", "{registryRef: {name: b}}", "registryRef cannot change"},
		{"another name", "RegistryUser", "{registryRef: {name: a}, name: one}", "{registryRef: {name: a}, name: two}", "name cannot change"},
		{"a name at last", "RegistryUser", "{registryRef: {name: a}}", "{registryRef: {name: a}, name: two}", "name cannot change"},
		{"another registry of a mirror", "CrateMirror", "{registryRef: {name: a}}", "{registryRef: {name: b}}", "registryRef cannot change"},
		{"another name of a mirror", "CrateMirror", "{registryRef: {name: a}, name: one}", "{registryRef: {name: a}}", "name cannot change"},
		{"another upstream", "CrateMirror", "{registryRef: {name: a}}", "{registryRef: {name: a}, upstream: {index: 'sparse+http://a.example:8080/index/'}}", ""},
		{"pinned to an imported bundle", "CrateMirror", "{registryRef: {name: a}}", "{registryRef: {name: a}, mode: Pinned, crates: []}", ""},
		{"one crate, two requirements", "CrateMirror", "{registryRef: {name: a}}", "{registryRef: {name: a}, crates: [{name: rand, versions: '>=0.7, <0.9'}, {name: rand, versions: '0.6.*', latest: 3}]}", ""},
		{"full lists", "CrateMirror", "{registryRef: {name: a}}", full, ""},
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

func TestSelectionByRegistry(t *testing.T) {
	for _, kind := range []string{"RegistryUser", "CrateMirror"} {
		h := newHarness(t)
		h.must(h.client.Create(t.Context(), h.object(kind, "it", "{registryRef: {name: acme}}")))
		list := &unstructured.UnstructuredList{}
		list.SetAPIVersion("crateyard.dev/v1alpha1")
		list.SetKind(kind + "List")
		for registry, want := range map[string]int{"acme": 1, "other": 0} {
			h.must(h.client.List(t.Context(), list, client.InNamespace(h.ns), client.MatchingFields{"spec.registryRef.name": registry}))
			if len(list.Items) != want {
				t.Errorf("%d of %s of %s, want %d", len(list.Items), kind, registry, want)
			}
		}
	}
}
