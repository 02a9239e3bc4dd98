package registryuser

import (
	"context"
	"encoding/base64"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"github.com/crateyard/crateyard/api/v1alpha1"
	"github.com/crateyard/crateyard/controllers/internal/outcome"
)

var update = flag.Bool("update", false, "write the golden files anew")

// sample reads an object as a user wrote it, with what the API server adds.
func sample[T metav1.Object](t *testing.T, file string, obj T) T {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("../../config/samples", file))
	if err != nil {
		t.Fatal(err)
	}
	if err := yaml.UnmarshalStrict(b, obj); err != nil {
		t.Fatal(err)
	}
	obj.SetNamespace("default")
	obj.SetUID("11111111-2222-3333-4444-555555555555")
	return obj
}

// TestGolden holds the Secrets of each sample against a file: they are what people mount and read. After a change that is meant:
// go test ./controllers/registryuser -update
func TestGolden(t *testing.T) {
	for name, registry := range map[string]string{"registryuser": "registry", "registryuser_team": "registry_private"} {
		t.Run(name, func(t *testing.T) {
			user := sample(t, name+".yaml", &v1alpha1.RegistryUser{})
			reg := sample(t, registry+".yaml", &v1alpha1.Registry{})
			if user.Spec.RegistryRef.Name != reg.Name {
				t.Fatalf("the sample is of Registry %s, not %s", user.Spec.RegistryRef.Name, reg.Name)
			}
			var docs []string
			for i, spec := range user.Spec.Tokens {
				secret, err := buildSecret(user, reg, spec, held{id: int64(i) + 7, token: "cy_test", issuedAt: t0, expiresAt: t0.Add(90 * day)})
				if err != nil {
					t.Fatal(err)
				}
				data := secret.Object["data"].(map[string]any)
				for key, value := range data { // for people: as it is mounted
					text, err := base64.StdEncoding.DecodeString(value.(string))
					if err != nil {
						t.Fatal(err)
					}
					data[key] = string(text)
				}
				b, err := yaml.Marshal(secret.Object)
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
				t.Errorf("Secrets of %s (-want +got):\n%s", name, diff)
			}
		})
	}
}

// What stands behind the schema: a RegistryUser that an older schema let in, and names that come of two fields.
func TestValidate(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(*v1alpha1.RegistryUser)
		reason string // empty: it is fine
		says   string
	}{
		{"as it should be", func(*v1alpha1.RegistryUser) {}, "", ""},
		{"the administrator's name", func(u *v1alpha1.RegistryUser) { u.Name = "admin" }, v1alpha1.ReasonUserNameReserved, "set spec.name, or make this RegistryUser under another name"},
		{"the administrator's name in the spec", func(u *v1alpha1.RegistryUser) { u.Spec.Name = "admin" }, v1alpha1.ReasonUserNameReserved, "the user name admin belongs to"},
		{"another name in the spec", func(u *v1alpha1.RegistryUser) { u.Name, u.Spec.Name = "admin", "ci" }, "", ""},
		{"two tokens in one Secret", func(u *v1alpha1.RegistryUser) {
			u.Spec.Tokens = append(u.Spec.Tokens, v1alpha1.TokenSpec{Name: "b", SecretName: "ci-a"})
		}, v1alpha1.ReasonInvalidSpec, "tokens a and b would both lie in Secret ci-a; give one of them another secretName"},
		{"a Secret with too long a name", func(u *v1alpha1.RegistryUser) { u.Name = strings.Repeat("a", 252) }, v1alpha1.ReasonInvalidSpec, "longer than 253 characters; set its secretName"},
		{"no duration", func(u *v1alpha1.RegistryUser) { u.Spec.Tokens[0].ExpiresAfter = "90d" }, v1alpha1.ReasonInvalidSpec, `token a: expiresAfter "90d" is no duration such as 2160h`},
		{"negative", func(u *v1alpha1.RegistryUser) { u.Spec.Tokens[0].GracePeriod = "-1h" }, v1alpha1.ReasonInvalidSpec, `token a: gracePeriod "-1h" is no duration`},
		{"rotated before it is made", func(u *v1alpha1.RegistryUser) {
			u.Spec.Tokens[0].ExpiresAfter, u.Spec.Tokens[0].RotateBefore = "1h", "1h"
		}, v1alpha1.ReasonInvalidSpec, "token a: rotateBefore must be shorter than expiresAfter"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			u := &v1alpha1.RegistryUser{ObjectMeta: metav1.ObjectMeta{Name: "ci"}, Spec: v1alpha1.RegistryUserSpec{Tokens: []v1alpha1.TokenSpec{{Name: "a"}}}}
			tt.change(u)
			err := (&scope{user: u}).validate(context.Background())
			stalled, isStalled := outcome.IsStalled(err)
			switch {
			case tt.reason == "" && err != nil:
				t.Errorf("refused: %v", err)
			case tt.reason != "" && (!isStalled || stalled.Reason != tt.reason || !strings.Contains(stalled.Message, tt.says)):
				t.Errorf("got %v, want a stall with reason %s that says %q", err, tt.reason, tt.says)
			}
		})
	}
}
