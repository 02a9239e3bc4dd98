//go:build e2e

// Package e2e runs the operator and a registry in a real Kubernetes, with real cargo on the other side. It brings up a cluster
// of its own beside that of `make up`, and takes it down again. `make e2e` builds what it needs.
package e2e

import (
	"context"
	"flag"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

var keep = flag.Bool("keep", false, "leave the cluster up at the end, to look at it")

const namespace = "crateyard-demo" // that of hack/demo

// cluster is the cluster of the tests.
type cluster struct {
	root, tool string
	env        []string
	address    string          // of the demo registry, on this machine
	before     map[string]bool // the machine's network before the cluster
}

// start brings the cluster up, with the image loaded and the operator running.
func start(t *testing.T) *cluster {
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	c := &cluster{root: root}
	c.tool = filepath.Join(c.root, "bin", "cluster")
	for _, file := range []string{c.tool, filepath.Join(c.root, "bin", "image.tar")} {
		if _, err := os.Stat(file); err != nil {
			t.Fatalf("%v: run the tests with `make e2e`", err)
		}
	}
	c.before = c.network(t)
	t.Cleanup(func() {
		if t.Failed() {
			c.dump(t)
		}
		if !*keep {
			c.must(t, c.tool, "down", "--name", "e2e")
			c.leavesNothing(t)
		}
	})
	c.must(t, c.tool, "up", "--name", "e2e")
	kubeconfig := strings.TrimSpace(c.must(t, c.tool, "kubeconfig", "--name", "e2e"))
	bin := strings.TrimSpace(c.must(t, c.tool, "bin", "--name", "e2e"))
	c.env = append(os.Environ(), "KUBECONFIG="+kubeconfig, "PATH="+bin+":"+os.Getenv("PATH"))
	c.must(t, c.tool, "load", "--name", "e2e", filepath.Join(c.root, "bin", "image.tar"))
	c.sh(t, "kubectl kustomize config/default | kubectl apply --server-side -f -")
	c.kubectl(t, "-n", "crateyard-system", "rollout", "status", "deployment/crateyard-operator", "--timeout=180s")
	return c
}

// leavesNothing looks for what a cluster that was taken down could have left on the machine.
func (c *cluster) leavesNothing(t *testing.T) {
	state := filepath.Join(c.root, ".cluster-e2e")
	for _, dir := range []string{state, "/run/crateyard-e2e", "/run/netns/crateyard-e2e"} {
		if _, err := os.Stat(dir); err == nil {
			t.Errorf("left behind: %s", dir)
		}
	}
	mounts, err := os.ReadFile("/proc/mounts")
	if err != nil || strings.Contains(string(mounts), state) {
		t.Errorf("mounts left behind (%v):\n%s", err, mounts)
	}
	for line := range c.network(t) {
		if !c.before[line] {
			t.Errorf("left behind in the machine's network: %s", line)
		}
	}
	processes, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Error(err)
	}
	for _, p := range processes {
		if cmdline, err := os.ReadFile(p); err == nil && strings.Contains(string(cmdline), state+"/") { // else it ended meanwhile
			t.Errorf("left behind: %s: %s", p, strings.ReplaceAll(string(cmdline), "\x00", " "))
		}
	}
}

// network is what the machine's own network has: interfaces and packet filter rules, a line each.
func (c *cluster) network(t *testing.T) map[string]bool {
	t.Helper()
	lines := map[string]bool{}
	links, err := net.Interfaces()
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range links {
		lines["interface "+l.Name] = true
	}
	if _, err := exec.LookPath("iptables"); err != nil {
		return lines // the cluster installs it
	}
	for rule := range strings.Lines(c.must(t, "iptables", "-S") + c.must(t, "iptables", "-t", "nat", "-S")) {
		if !strings.HasPrefix(rule, "-P ") { // a policy is always there
			lines[strings.TrimSpace(rule)] = true
		}
	}
	return lines
}

// run runs a command in the repository's root and gives what it printed.
func (c *cluster) run(name string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 15*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir, cmd.Env = c.root, c.env
	var stdout, stderr strings.Builder
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return stdout.String(), fmt.Errorf("%s %s: %w\n%s%s", filepath.Base(name), strings.Join(args, " "), err, stdout.String(), stderr.String())
	}
	return stdout.String(), nil
}

func (c *cluster) must(t *testing.T, name string, args ...string) string {
	t.Helper()
	out, err := c.run(name, args...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func (c *cluster) sh(t *testing.T, script string) string {
	t.Helper()
	return c.must(t, "bash", "-euo", "pipefail", "-c", script)
}

func (c *cluster) kubectl(t *testing.T, args ...string) string {
	t.Helper()
	return c.must(t, "kubectl", args...)
}

// get reads a field of an object by JSONPath.
func (c *cluster) get(t *testing.T, object, path string) string {
	t.Helper()
	return c.kubectl(t, "-n", namespace, "get", object, "-o", "jsonpath="+path)
}

func (c *cluster) apply(t *testing.T, manifest string) error {
	t.Helper()
	file := filepath.Join(t.TempDir(), "manifest.yaml")
	if err := os.WriteFile(file, []byte(manifest), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := c.run("kubectl", "-n", namespace, "apply", "--server-side", "-f", file)
	return err
}

func (c *cluster) waitReady(t *testing.T, object string) {
	t.Helper()
	c.kubectl(t, "-n", namespace, "wait", "--for=condition=Ready", "--timeout=120s", object)
}

// condition is "status reason: message" of a condition.
func (c *cluster) condition(t *testing.T, object, kind string) string {
	t.Helper()
	path := fmt.Sprintf(`{range .status.conditions[?(@.type==%q)]}{.status} {.reason}: {.message}{end}`, kind)
	return c.get(t, object, path)
}

func eventually(t *testing.T, what string, within time.Duration, f func() (string, bool)) {
	t.Helper()
	last, ok := "", false
	for end := time.Now().Add(within); time.Now().Before(end); time.Sleep(500 * time.Millisecond) {
		if last, ok = f(); ok {
			return
		}
	}
	t.Fatalf("not within %s: %s; last: %s", within, what, last)
}

// dump prints what a person would look at first.
func (c *cluster) dump(t *testing.T) {
	for _, args := range [][]string{
		{"-n", namespace, "get", "cratemirrors,registries,registryusers,all,pvc,secrets,events"},
		{"-n", namespace, "describe", "cratemirrors,registries,registryusers"},
		{"-n", namespace, "describe", "pods"},
		{"-n", "crateyard-system", "logs", "deployment/crateyard-operator", "--tail=80"},
		{"-n", namespace, "logs", "-l", "app.kubernetes.io/managed-by=crateyard", "--tail=40"},
	} {
		out, err := c.run("kubectl", args...)
		t.Logf("kubectl %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}
