package registry

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/api/resource"
	"sigs.k8s.io/yaml"

	"github.com/crateyard/crateyard/api/v1alpha1"
	server "github.com/crateyard/crateyard/registry"
)

var update = flag.Bool("update", false, "write the golden files anew")

// sample reads a Registry as a user wrote it, with what the API server adds.
func sample(t *testing.T, file string) *v1alpha1.Registry {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("../../config/samples", file))
	if os.IsNotExist(err) { // a case that nobody needs as an example
		b, err = os.ReadFile(filepath.Join("testdata", file))
	}
	if err != nil {
		t.Fatal(err)
	}
	r := &v1alpha1.Registry{}
	if err := yaml.UnmarshalStrict(b, r); err != nil {
		t.Fatal(err)
	}
	r.Namespace, r.UID = "default", "11111111-2222-3333-4444-555555555555"
	return r
}

// TestGolden holds all children of each sample against a file. After a change that is meant: go test ./controllers/registry -update
func TestGolden(t *testing.T) {
	for _, name := range []string{"registry", "registry_private", "registry_full", "registry_production", "registry_restore", "ambient", "shared_volume", "bucket_with_sqlite"} {
		t.Run(name, func(t *testing.T) {
			p := Params{Registry: sample(t, name+".yaml"), Image: "crateyard:test", AdminToken: "cy_test", ServiceMonitors: true}
			children, err := Build(p)
			if err != nil {
				t.Fatal(err)
			}
			var docs []string
			for _, c := range children {
				b, err := yaml.Marshal(c.Object)
				if err != nil {
					t.Fatal(err)
				}
				docs = append(docs, string(b))
			}
			got := strings.Join(docs, "---\n")
			golden := filepath.Join("testdata", name+".golden.yaml")
			if *update {
				if err := os.WriteFile(golden, []byte(got), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), got); diff != "" {
				t.Errorf("children of %s (-want +got):\n%s", name, diff)
			}
		})
	}
}

func TestBuildIsPure(t *testing.T) {
	r := sample(t, "registry_full.yaml")
	was := r.DeepCopy()
	first, err := Build(Params{Registry: r, Image: "i"})
	if err != nil {
		t.Fatal(err)
	}
	for range 20 {
		again, err := Build(Params{Registry: r, Image: "i"})
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(first, again); diff != "" {
			t.Fatalf("the same Registry gave other children:\n%s", diff)
		}
	}
	if diff := cmp.Diff(was, r); diff != "" {
		t.Errorf("Build changed its input:\n%s", diff)
	}
}

func TestPodStartsAnewWhen(t *testing.T) {
	base := Params{Registry: sample(t, "registry.yaml"), AdminToken: "a"}
	for name, change := range map[string]func(*Params){
		"admin token":    func(p *Params) { p.AdminToken = "b" },
		"anonymous read": func(p *Params) { p.Registry.Spec.Access.AnonymousRead = v1alpha1.Disabled },
		"url":            func(p *Params) { p.Registry.Spec.URL = "https://a.example" },
		"dependencies":   func(p *Params) { p.Registry.Spec.Access.AllowedRegistries = []v1alpha1.RegistryLocation{} },
		"policy":         func(p *Params) { p.Registry.Spec.Publishing = &v1alpha1.PublishingSpec{Licenses: "SPDX"} },
		"rate limits":    func(p *Params) { p.Registry.Spec.RateLimits = &v1alpha1.RateLimitsSpec{Mode: "Enabled"} },
		"git index":      func(p *Params) { p.Registry.Spec.GitIndex = v1alpha1.Disabled },
		"proxies":        func(p *Params) { p.Registry.Spec.TrustedProxies = []v1alpha1.CIDR{"10.0.0.0/8"} },
		"a Secret":       func(p *Params) { p.Secrets = []byte("another") },
		"take-over":      func(p *Params) { p.Registry.Annotations = map[string]string{v1alpha1.TakeOverAnnotation: "true"} },
		"sweep":          func(p *Params) { p.Registry.Spec.Sweep = &v1alpha1.SweepSpec{Every: "0s"} },
		"scrub":          func(p *Params) { p.Registry.Spec.Scrub = &v1alpha1.ScrubSpec{Rate: new(resource.Quantity)} },
		"audit":          func(p *Params) { p.Registry.Spec.Audit = &v1alpha1.AuditSpec{Keep: "48h"} },
		"backup":         func(p *Params) { p.Registry.Spec.Backup = &v1alpha1.BackupSpec{Schedule: "0 3 * * *"} },
		"crate size":     func(p *Params) { q := resource.MustParse("20Mi"); p.Registry.Spec.Limits.CrateSize = &q },
	} {
		p := base
		p.Registry = base.Registry.DeepCopy()
		change(&p)
		if p.configDigest() == base.configDigest() {
			t.Errorf("a change of the %s leaves the pod as it is", name)
		}
	}
}

// A time below the least, which an older schema let in, would have the server not start.
func TestShortAudit(t *testing.T) {
	for spec, want := range map[v1alpha1.Duration]v1alpha1.Duration{"1s": "24h", "23h59m": "24h", "24h": "24h", "8760h": "8760h", "0s": "0s", "": ""} {
		r := sample(t, "registry.yaml")
		r.Spec.Audit = &v1alpha1.AuditSpec{Keep: spec}
		c := &serverConfig{}
		Params{Registry: r}.backends(c)
		if c.Audit == nil || c.Audit.Keep != want || r.Spec.Audit.Keep != spec {
			t.Errorf("keep %q is rendered as %+v, want %q", spec, c.Audit, want)
		}
		_, ready, _ := strings.Cut(summarize(r, facts{}, nil, nil)[0].Message, "; ")
		if tells := strings.HasPrefix(ready, "keeps the audit for 24h, which is the least, and not for the "+string(spec)+" "); tells != (want != spec) {
			t.Errorf("keep %q, and Ready says %q", spec, ready)
		}
	}
}

// An upgrade of the operator must not replace the pods of Registries that say nothing about what is new.
func TestConfigSaysNoMoreThanTheSpec(t *testing.T) {
	r := sample(t, "registry.yaml")
	plain := Params{Registry: r}.config()
	r.Spec.GitIndex = v1alpha1.Enabled // as the API server fills it in
	if diff := cmp.Diff(plain, Params{Registry: r}.config()); diff != "" {
		t.Errorf("a default is rendered:\n%s", diff)
	}
	for _, key := range []string{"publishing", "rateLimits", "gitIndex", "trustedProxies", "allowedRegistries", "storage", "catalog", "backup", "restoreFrom", "sweep", "scrub", "audit", "takeOver"} {
		if strings.Contains(plain, key) {
			t.Errorf("%s is rendered, and the spec does not have it", key)
		}
	}
	r.Spec.Access.AllowedRegistries = []v1alpha1.RegistryLocation{}
	if !strings.Contains((Params{Registry: r}).config(), "allowedRegistries: []") {
		t.Error("an empty list of allowed registries is rendered as if it were left out")
	}
}

func TestDesiredURL(t *testing.T) {
	for want, spec := range map[string]v1alpha1.RegistrySpec{
		"http://acme.default.svc": {},
		"https://own.example/x":   {URL: "https://own.example/x", Ingress: &v1alpha1.IngressSpec{Host: "in.example"}},
		"http://in.example":       {Ingress: &v1alpha1.IngressSpec{Host: "in.example"}},
		"https://in.example":      {Ingress: &v1alpha1.IngressSpec{Host: "in.example", TLSSecretName: "tls"}},
	} {
		r := sample(t, "registry.yaml")
		r.Spec = spec
		if got := DesiredURL(r); got != want {
			t.Errorf("DesiredURL = %s, want %s", got, want)
		}
	}
	r := sample(t, "registry_full.yaml")
	if got := ServiceAddress(r); got != "http://full.default.svc:80/rust" {
		t.Errorf("ServiceAddress = %s: the server answers under the path of its public address", got)
	}
}

// The server refuses keys and values that it does not know; what the operator renders must not be among them.
func TestServerReadsWhatIsRendered(t *testing.T) {
	for _, name := range []string{"registry", "registry_private", "registry_full", "registry_production", "ambient", "shared_volume", "bucket_with_sqlite"} {
		file := filepath.Join(t.TempDir(), "config.yaml")
		if err := os.WriteFile(file, []byte(Params{Registry: sample(t, name+".yaml")}.config()), 0o600); err != nil {
			t.Fatal(err)
		}
		c := server.DefaultConfig()
		if err := server.ReadConfig(file, &c); err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if err := c.Check(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}
