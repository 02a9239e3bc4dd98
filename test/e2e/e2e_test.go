//go:build e2e

package e2e

import (
	"encoding/base64"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/crateyard/crateyard/test/port"
)

// The steps build on each other, as a team's first weeks with a registry do.
func TestRegistry(t *testing.T) {
	c := start(t)
	for _, step := range []struct {
		name string
		run  func(*testing.T, *cluster)
	}{
		{"samples become ready", samplesBecomeReady},
		{"cargo publishes and builds with the Secret", publishAndBuild},
		{"get and describe tell what works", getTells},
		{"a pod is deleted", podDeleted},
		{"a token rotates", tokenRotates},
		{"a Secret is deleted or edited", secretMended},
		{"a user is suspended", userSuspended},
		{"the image is upgraded", imageUpgraded},
		{"an image that cannot be pulled", imageMissing},
		{"bad specs", badSpecs},
		{"the Registry is deleted and made again", deletedAndMadeAgain},
		{"deletionPolicy Delete", deletedForGood},
	} {
		if !t.Run(step.name, func(t *testing.T) { step.run(t, c) }) {
			t.Fatal("the steps build on each other")
		}
	}
}

// applyToReady is what docs/performance.md promises.
const applyToReady = 15 * time.Second

func samplesBecomeReady(t *testing.T, c *cluster) {
	c.kubectl(t, "apply", "-f", "hack/demo/namespace.yaml")
	l := port.Address(t)
	c.address = l
	began := time.Now()
	c.applySamples(t)
	c.waitReady(t, "registry/acme")
	took := time.Since(began)
	t.Logf("from apply to Ready: %.1f s", took.Seconds())
	if took > applyToReady {
		t.Errorf("a Registry took %.1f s from apply to Ready with its image on the node, and should take %s at most", took.Seconds(), applyToReady)
	}
	c.waitReady(t, "registryuser/ci")
	c.kubectl(t, "-n", namespace, "wait", "--for=condition=RegistryReady", "--timeout=120s", "cratemirror/deps") // Ready is for who reaches crates.io
	c.forward(t)
}

// applySamples applies config/samples with an address that works on this machine.
func (c *cluster) applySamples(t *testing.T) {
	t.Helper()
	c.sh(t, "kubectl kustomize hack/demo | sed 's|DEMO_ADDRESS|"+c.address+"|' | kubectl apply --server-side --force-conflicts -f -")
}

func (c *cluster) forward(t *testing.T) {
	t.Helper()
	c.must(t, c.tool, "forward", "--name", "e2e", "--listen", c.address, "--service", namespace+"/acme:80")
}

// secret reads one key of a Secret.
func (c *cluster) secret(t *testing.T, name, key string) string {
	t.Helper()
	data, err := base64.StdEncoding.DecodeString(c.get(t, "secret/"+name, "{.data."+strings.ReplaceAll(key, ".", `\.`)+"}"))
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// cargo runs cargo with a fresh CARGO_HOME from the user's Secret.
func (c *cluster) cargo(t *testing.T, dir string, args ...string) (string, error) {
	t.Helper()
	return c.cargoAs(t, "ci-cargo", dir, args...)
}

// cargoAs is cargo with the Secret of another user.
func (c *cluster) cargoAs(t *testing.T, secret, dir string, args ...string) (string, error) {
	t.Helper()
	home := t.TempDir()
	for _, file := range []string{"config.toml", "credentials.toml"} {
		if err := os.WriteFile(filepath.Join(home, file), []byte(c.secret(t, secret, file)), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.Command("cargo", args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "CARGO_HOME="+home, "CARGO_TERM_COLOR=never")
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func (c *cluster) mustCargo(t *testing.T, dir string, args ...string) {
	t.Helper()
	if out, err := c.cargo(t, dir, args...); err != nil {
		t.Fatalf("cargo %v: %v\n%s", args, err, out)
	}
}

// crate makes the folder of a crate.
func crate(t *testing.T, name, version, dependencies string) string {
	t.Helper()
	dir := t.TempDir()
	if err := writeCrate(dir, name, version, dependencies); err != nil {
		t.Fatal(err)
	}
	return dir
}

func writeCrate(dir, name, version, dependencies string) error {
	for file, text := range map[string]string{
		"Cargo.toml": fmt.Sprintf("[package]\nname = %q\nversion = %q\nedition = \"2021\"\ndescription = \"e2e\"\nlicense = \"MIT\"\n[dependencies]\n%s\n", name, version, dependencies),
		"src/lib.rs": "pub fn f() -> u32 { 1 }\n",
	} {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, file)), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(dir, file), []byte(text), 0o600); err != nil {
			return err
		}
	}
	return nil
}

func publishAndBuild(t *testing.T, c *cluster) {
	c.mustCargo(t, crate(t, "e2e-base", "0.1.0", ""), "publish", "--registry", "acme", "--allow-dirty")
	c.builds(t)
}

// builds shows that what was published builds, with an empty cache.
func (c *cluster) builds(t *testing.T) {
	t.Helper()
	c.mustCargo(t, crate(t, "app", "0.1.0", `e2e-base = { version = "0.1", registry = "acme" }`), "build")
}

func getTells(t *testing.T, c *cluster) {
	out := c.kubectl(t, "-n", namespace, "get", "registries,registryusers")
	for _, want := range []string{"acme", "True", "http://" + c.address, "ci"} {
		if !strings.Contains(out, want) {
			t.Errorf("kubectl get lacks %q:\n%s", want, out)
		}
	}
	eventually(t, "the crate is counted", 2*time.Minute, func() (string, bool) {
		n := c.get(t, "registry/acme", "{.status.crates}")
		return n, n == "1"
	})
	if out := c.kubectl(t, "-n", namespace, "describe", "registry", "acme"); !strings.Contains(out, "Created") {
		t.Errorf("no event says what was made:\n%s", out)
	}
	if out := c.kubectl(t, "get", "--raw", "/api/v1/namespaces/"+namespace+"/services/acme-metrics:ops/proxy/metrics"); !strings.Contains(out, `crateyard_publishes_total{result="published"} 1`) {
		t.Errorf("metrics do not count the publish:\n%s", out)
	}
}

func podDeleted(t *testing.T, c *cluster) {
	c.kubectl(t, "-n", namespace, "delete", "pod", "-l", "app.kubernetes.io/instance=acme", "--wait")
	c.kubectl(t, "-n", namespace, "rollout", "status", "deployment/acme", "--timeout=120s")
	c.waitReady(t, "registry/acme")
	c.builds(t)
	c.mustCargo(t, crate(t, "e2e-base", "0.1.1", ""), "publish", "--registry", "acme", "--allow-dirty")
}

func tokenRotates(t *testing.T, c *cluster) {
	err := c.apply(t, `
apiVersion: crateyard.dev/v1alpha1
kind: RegistryUser
metadata: {name: quick}
spec:
  registryRef: {name: acme}
  role: Publisher
  tokens:
  - {name: t, expiresAfter: 10m, rotateBefore: 9m50s, gracePeriod: 1m}
`)
	if err != nil {
		t.Fatal(err)
	}
	c.waitReady(t, "registryuser/quick")
	first := c.secret(t, "quick-t", "token")
	eventually(t, "the token is replaced", time.Minute, func() (string, bool) {
		return "the same", c.secret(t, "quick-t", "token") != first
	})
	second := c.secret(t, "quick-t", "token")
	for name, token := range map[string]string{"old": first, "new": second} {
		if code := c.status(t, token); code != "200" {
			t.Errorf("the %s token gets %s within the grace period", name, code)
		}
	}
	c.kubectl(t, "-n", namespace, "delete", "registryuser", "quick", "--timeout=60s")
	eventually(t, "its tokens are dead", 10*time.Second, func() (string, bool) {
		code := c.status(t, second)
		return code, code == "401"
	})
}

// status is the code of a request that any valid token may make.
func (c *cluster) status(t *testing.T, token string) string {
	t.Helper()
	return strings.TrimSpace(c.must(t, "curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", "-H", "Authorization: "+token, "http://"+c.address+"/index/config.json"))
}

func secretMended(t *testing.T, c *cluster) {
	for what, break1 := range map[string][]string{
		"deleted": {"-n", namespace, "delete", "secret", "ci-cargo"},
		"edited":  {"-n", namespace, "patch", "secret", "ci-cargo", "--type=merge", "-p", `{"stringData":{"token":"nonsense"}}`},
	} {
		before := c.secret(t, "ci-cargo", "token")
		c.kubectl(t, break1...)
		eventually(t, "a Secret that was "+what+" is mended", time.Minute, func() (string, bool) {
			out, err := c.run("kubectl", "-n", namespace, "get", "secret", "ci-cargo", "-o", "jsonpath={.data.token}")
			token, derr := base64.StdEncoding.DecodeString(out)
			return out, err == nil && derr == nil && strings.HasPrefix(string(token), "cy_")
		})
		if code := c.status(t, c.secret(t, "ci-cargo", "token")); code != "200" {
			t.Errorf("the mended token gets %s", code)
		}
		if after := c.secret(t, "ci-cargo", "token"); what == "deleted" && after == before {
			t.Errorf("a lost token was not replaced")
		}
	}
	c.builds(t)
}

func userSuspended(t *testing.T, c *cluster) {
	patch := func(access string) {
		c.kubectl(t, "-n", namespace, "patch", "registryuser", "ci", "--type=merge", "-p", `{"spec":{"access":"`+access+`"}}`)
	}
	token := c.secret(t, "ci-cargo", "token")
	patch("Suspended")
	eventually(t, "the suspended user is refused", 30*time.Second, func() (string, bool) {
		code := c.status(t, token)
		return code, code == "403"
	})
	patch("Active")
	eventually(t, "the user works again", 30*time.Second, func() (string, bool) {
		code := c.status(t, token)
		return code, code == "200"
	})
}

func imageUpgraded(t *testing.T, c *cluster) {
	nextImage(t, c)
	c.kubectl(t, "-n", namespace, "patch", "registry", "acme", "--type=merge", "-p", `{"spec":{"image":"crateyard:next"}}`)
	eventually(t, "the status shows the new version", 2*time.Minute, func() (string, bool) {
		v := c.get(t, "registry/acme", "{.status.version}")
		return v, v == "v9.9.9"
	})
	c.waitReady(t, "registry/acme")
	c.builds(t)
}

// nextImage makes an image of a later version and loads it.
func nextImage(t *testing.T, c *cluster) {
	t.Helper()
	c.sh(t, `CGO_ENABLED=0 go build -ldflags "-s -w -X github.com/crateyard/crateyard/cmd.version=v9.9.9" -o bin/next/crateyard .
		go run -C hack/image . --binary "$PWD/bin/next/crateyard" --ca /etc/ssl/certs/ca-certificates.crt --tag crateyard:next -o "$PWD/bin/next/image.tar"`)
	c.must(t, c.tool, "load", "--name", "e2e", filepath.Join(c.root, "bin", "next", "image.tar"))
}

func imageMissing(t *testing.T, c *cluster) {
	patch := func(image string) {
		c.kubectl(t, "-n", namespace, "patch", "registry", "acme", "--type=merge", "-p", `{"spec":{"image":"`+image+`"}}`)
	}
	patch("registry.invalid/crateyard:none")
	eventually(t, "the condition says that the image cannot be pulled", 2*time.Minute, func() (string, bool) {
		ready := c.condition(t, "registry/acme", "Ready")
		return ready, strings.HasPrefix(ready, "False ImagePullFailed") && strings.Contains(ready, "registry.invalid/crateyard:none")
	})
	patch("crateyard:dev")
	eventually(t, "the registry recovers", 2*time.Minute, func() (string, bool) {
		ready := c.condition(t, "registry/acme", "Ready")
		return ready, strings.HasPrefix(ready, "True")
	})
}

func badSpecs(t *testing.T, c *cluster) {
	err := c.apply(t, `
apiVersion: crateyard.dev/v1alpha1
kind: Registry
metadata: {name: wide}
spec: {replicas: 3}
`)
	if err == nil || !strings.Contains(err.Error(), "set replicas to 1") {
		t.Errorf("three replicas on SQLite: %v", err)
	}
	err = c.apply(t, `
apiVersion: crateyard.dev/v1alpha1
kind: RegistryUser
metadata: {name: early}
spec:
  registryRef: {name: later}
  tokens: [{name: t}]
`)
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "a user without a Registry says so", 30*time.Second, func() (string, bool) {
		ready := c.condition(t, "registryuser/early", "Ready")
		return ready, strings.HasPrefix(ready, "False RegistryNotFound") && strings.Contains(ready, "later")
	})
	if err := c.apply(t, "apiVersion: crateyard.dev/v1alpha1\nkind: Registry\nmetadata: {name: later}\nspec: {deletionPolicy: Delete}\n"); err != nil {
		t.Fatal(err)
	}
	c.waitReady(t, "registryuser/early")
}

func deletedAndMadeAgain(t *testing.T, c *cluster) {
	// The user goes first here; one that is left behind must not keep its namespace from going (see deletedForGood).
	c.kubectl(t, "-n", namespace, "delete", "registryuser", "ci", "--timeout=60s")
	c.kubectl(t, "-n", namespace, "delete", "registry", "acme", "--timeout=60s")
	eventually(t, "the pod is gone", time.Minute, func() (string, bool) {
		pods := c.kubectl(t, "-n", namespace, "get", "pods", "-l", "app.kubernetes.io/instance=acme", "-o", "name")
		return pods, strings.TrimSpace(pods) == ""
	})
	c.kubectl(t, "-n", namespace, "get", "pvc", "acme-data")
	c.applySamples(t)
	c.waitReady(t, "registry/acme")
	c.waitReady(t, "registryuser/ci")
	c.builds(t)
}

func deletedForGood(t *testing.T, c *cluster) {
	c.kubectl(t, "-n", namespace, "delete", "registry", "later", "--timeout=60s")
	eventually(t, "its volume is gone", time.Minute, func() (string, bool) {
		out, err := c.run("kubectl", "-n", namespace, "get", "pvc", "later-data")
		return out, err != nil
	})
	c.kubectl(t, "-n", namespace, "delete", "registryuser", "early", "--timeout=60s")
}
