//go:build e2e

package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/crateyard/crateyard/test/port"
	"github.com/crateyard/crateyard/test/serve"
)

// upstreamAddress is where pods find the registry that stands for crates.io, which runs on this machine.
const upstreamAddress = "10.88.0.1:18090"

// TestMirror has a CrateMirror keep what an application's lockfile names, and takes its upstream away.
func TestMirror(t *testing.T) {
	m := &mirrored{cluster: start(t), outer: t}
	for _, step := range []struct {
		name string
		run  func(*testing.T)
	}{
		{"an application has a lockfile", m.hasLockfile},
		{"what it names comes in", m.comesIn},
		{"get and describe tell how far it is", m.tells},
		{"upstream is taken away", m.upstreamAway},
		{"upstream is back, and a crate is added", m.crateAdded},
		{"wrong entries are named", m.wrongEntries},
		{"the CrateMirror is deleted", m.deleted},
	} {
		if !t.Run(step.name, step.run) {
			t.Fatal("the steps build on each other")
		}
	}
}

// mirrored is a Registry with a CrateMirror, and the registry that it mirrors.
type mirrored struct {
	*cluster
	outer    *testing.T // of the whole test
	upstream *serve.Server
	listens  string // where the upstream does, on this machine
	app      string // folder of an application whose Cargo.lock was made from the upstream itself
	index    string // of the mirror
}

func (m *mirrored) expose(t *testing.T) {
	t.Helper()
	m.must(t, m.tool, "expose", "--name", "e2e", "--listen", upstreamAddress, "--to", m.listens)
}

// hasLockfile fills the upstream and makes the application. Both is done in the cluster's network, where the upstream has the address that the mirror knows.
func (m *mirrored) hasLockfile(t *testing.T) {
	m.kubectl(t, "apply", "-f", "hack/demo/namespace.yaml")
	m.listens = port.Address(t)
	var err error
	if m.upstream, err = serve.Start(m.outer.TempDir(), "--listen", m.listens, "--url", "http://"+upstreamAddress); err != nil {
		t.Fatal(err)
	}
	m.outer.Cleanup(func() {
		if err := m.upstream.Stop(); err != nil {
			m.outer.Error(err)
		}
	})
	m.expose(t)
	m.publish(t, "mir-leaf", "1.0.0", "")
	m.publish(t, "mir-mid", "1.0.0", `mir-leaf = "1"`)
	m.publish(t, "mir-top", "1.0.0", "mir-leaf = \"1\"\nmir-mid = \"1\"")
	m.app = crate(m.outer, "mir-app", "0.1.0", `mir-top = "1"`)
	m.direct(t, m.app, "generate-lockfile")
	m.publish(t, "mir-leaf", "1.0.1", "") // which the lockfile does not name
}

// direct runs cargo with the upstream itself as crates.io.
func (m *mirrored) direct(t *testing.T, dir string, args ...string) {
	t.Helper()
	cmd := exec.Command(m.tool, append([]string{"exec", "--name", "e2e", "--", "cargo"}, args...)...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "CARGO_HOME="+t.TempDir(), "__CARGO_TEST_CRATES_IO_URL_DO_NOT_USE_THIS=sparse+http://"+upstreamAddress+"/index/",
		"CARGO_REGISTRY_TOKEN="+m.upstream.AdminToken, "CARGO_TERM_COLOR=never")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("cargo %v at the upstream: %v\n%s", args, err, out)
	}
}

func (m *mirrored) publish(t *testing.T, name, version, dependencies string) {
	t.Helper()
	m.direct(t, crate(t, name, version, dependencies), "publish", "--allow-dirty", "--no-verify")
}

// through runs cargo as docs/mirroring.md says, with an empty CARGO_HOME but for the lines that put the mirror in crates.io's place.
func (m *mirrored) through(t *testing.T, dir string, args ...string) (string, error) {
	t.Helper()
	home := t.TempDir()
	lines := fmt.Sprintf("[source.crates-io]\nreplace-with = \"deps\"\n[registries.deps]\nindex = %q\ncredential-provider = \"cargo:token\"\n", m.index)
	if err := os.WriteFile(filepath.Join(home, "config.toml"), []byte(lines), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("cargo", args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "CARGO_HOME="+home, "CARGO_TARGET_DIR="+t.TempDir(), "CARGO_TERM_COLOR=never")
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// appBuilds builds the application just as its lockfile says, and wants to see each crate come from the mirror.
func (m *mirrored) appBuilds(t *testing.T) {
	t.Helper()
	out, err := m.through(t, m.app, "build", "--locked")
	if err != nil || strings.Count(out, "(registry `deps`)") == 0 || strings.Contains(out, "1.0.1") {
		t.Fatalf("cargo build --locked: %v\n%s", err, out)
	}
	for _, c := range []string{"mir-leaf", "mir-mid", "mir-top"} {
		if !strings.Contains(out, "Downloaded "+c+" v1.0.0") {
			t.Errorf("%s was not downloaded:\n%s", c, out)
		}
	}
}

const mirrorSpec = `
apiVersion: crateyard.dev/v1alpha1
kind: Registry
metadata: {name: acme}
spec: {url: "http://%s"}
---
apiVersion: crateyard.dev/v1alpha1
kind: CrateMirror
metadata: {name: deps}
spec:
  registryRef: {name: acme}
  upstream: {index: "sparse+http://%s/index/", maxAge: 1s}
  lockfiles: [{configMapKeyRef: {name: app-lock}}]
  deletionPolicy: Delete
`

func (m *mirrored) comesIn(t *testing.T) {
	m.address = port.Address(t)
	m.kubectl(t, "-n", namespace, "create", "configmap", "app-lock", "--from-file="+filepath.Join(m.app, "Cargo.lock"))
	if err := m.apply(t, fmt.Sprintf(mirrorSpec, m.address, upstreamAddress)); err != nil {
		t.Fatal(err)
	}
	m.waitReady(t, "cratemirror/deps")
	m.synced(t, "3/3")
	m.must(t, m.tool, "forward", "--name", "e2e", "--listen", m.address, "--service", namespace+"/acme:80")
	m.index = m.get(t, "cratemirror/deps", "{.status.indexURL}")
	if want := "sparse+http://" + m.address + "/mirrors/deps/"; m.index != want {
		t.Errorf("the mirror's index is %q, not %q", m.index, want)
	}
}

// synced waits until all that the mirror is to have is cached, which is so many versions.
func (m *mirrored) synced(t *testing.T, progress string) {
	t.Helper()
	eventually(t, "the mirror is synced", 2*time.Minute, func() (string, bool) {
		said := m.condition(t, "cratemirror/deps", "Synced") + " " + m.get(t, "cratemirror/deps", "{.status.sync.progress}")
		return said, strings.HasPrefix(said, "True Synced") && strings.HasSuffix(said, " "+progress)
	})
}

// row is what kubectl get shows of the mirror, by column.
func (m *mirrored) row(t *testing.T, more ...string) map[string]string {
	t.Helper()
	lines := strings.Split(m.kubectl(t, append([]string{"-n", namespace, "get", "cratemirrors", "deps"}, more...)...), "\n")
	columns := map[string]string{}
	for rest := lines[0]; rest != ""; { // a column begins below its head and ends below the next; heads have one space inside at most
		head, after, _ := strings.Cut(rest, "  ")
		next := strings.TrimLeft(after, " ")
		from, to := len(lines[0])-len(rest), len(lines[0])-len(next)
		if next == "" || to > len(lines[1]) {
			to = len(lines[1])
		}
		columns[strings.TrimSpace(head)] = strings.TrimSpace(lines[1][from:to])
		rest = next
	}
	t.Logf("%s\n%s", lines[0], lines[1])
	return columns
}

func (m *mirrored) tells(t *testing.T) {
	row := m.row(t)
	for column, want := range map[string]string{"READY": "True", "REGISTRY": "acme", "MODE": "OnDemand", "PROGRESS": "3/3", "FAILED": "0"} {
		if row[column] != want {
			t.Errorf("kubectl get shows %s %q, not %q", column, row[column], want)
		}
	}
	if _, err := time.ParseDuration(row["SYNCED"]); err != nil || row["SIZE"] == "" || row["SIZE"] == "0" {
		t.Errorf("kubectl get tells neither how fresh nor how large it is: %v", row)
	}
	wide := m.row(t, "-o", "wide")
	if wide["UPSTREAM"] != "True" || wide["CRATES"] != "3" || wide["INDEX"] != m.index {
		t.Errorf("kubectl get -o wide shows %v", wide)
	}
	said := m.kubectl(t, "-n", namespace, "describe", "cratemirror", "deps")
	for _, want := range []string{"CreatedMirror", "AddedLockfile", "SyncStarted", "all 3 versions are cached; 3 were fetched", "app-lock", "Last Successful"} {
		if !strings.Contains(said, want) {
			t.Errorf("describe does not tell %q:\n%s", want, said)
		}
	}
}

// upstreamAway builds without the upstream what the mirror keeps. What it does not keep is refused with a reason.
func (m *mirrored) upstreamAway(t *testing.T) {
	m.must(t, m.tool, "expose", "--name", "e2e", "--listen", upstreamAddress, "--stop")
	began := time.Now()
	m.appBuilds(t)
	t.Logf("cargo build --locked took %.1f s without upstream", time.Since(began).Seconds())
	// cargo asks six times, as it should of what may pass; one question is enough here.
	status, text, err := serve.NewClient("http://"+m.address, "").Do("GET", "/mirrors/deps/crates/mir-leaf/1.0.1/download", nil)
	if err != nil || status != 503 || !strings.Contains(string(text), "is of no help at the moment") {
		t.Errorf("a version that is not cached: %d %.300s %v", status, text, err)
	}
	eventually(t, "the condition says that upstream is away", 2*time.Minute, func() (string, bool) {
		said := m.condition(t, "cratemirror/deps", "UpstreamReady")
		return said, strings.HasPrefix(said, "False UpstreamUnreachable") && strings.Contains(said, upstreamAddress) && strings.Contains(said, "what is cached is served")
	})
	t.Logf("the condition says so %.0f s after upstream went", time.Since(began).Seconds())
	row := m.row(t, "-o", "wide")
	if row["READY"] != "True" || row["UPSTREAM"] != "False" || row["PROGRESS"] != "3/3" {
		t.Errorf("kubectl get -o wide shows %v", row)
	}
	m.appBuilds(t)
}

func (m *mirrored) crateAdded(t *testing.T) {
	m.expose(t)
	m.publish(t, "mir-late", "2.0.0", `mir-mid = "1"`)
	m.kubectl(t, "-n", namespace, "patch", "cratemirror", "deps", "--type=merge", "-p", `{"spec":{"crates":[{"name":"mir-late","versions":"^2"}]}}`)
	m.synced(t, "5/5") // mir-late, and the mir-leaf that a build of it could choose
	if said := m.condition(t, "cratemirror/deps", "UpstreamReady"); !strings.HasPrefix(said, "True") {
		t.Errorf("upstream is back: %s", said)
	}
	m.must(t, m.tool, "expose", "--name", "e2e", "--listen", upstreamAddress, "--stop")
	if out, err := m.through(t, crate(t, "late-app", "0.1.0", `mir-late = "2"`), "build"); err != nil || !strings.Contains(out, "Downloaded mir-late v2.0.0") {
		t.Errorf("what was added does not build: %v\n%s", err, out)
	}
	m.expose(t)
}

// A wrong entry holds up no other, and a condition names it.
func (m *mirrored) wrongEntries(t *testing.T) {
	err := m.apply(t, fmt.Sprintf(`
apiVersion: crateyard.dev/v1alpha1
kind: CrateMirror
metadata: {name: lost}
spec: {registryRef: {name: nowhere}}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: mixed-lock}
data:
  Cargo.lock: |
    version = 4

    [[package]]
    name = "mir-leaf"
    version = "1.0.0"
    source = "registry+https://github.com/rust-lang/crates.io-index"

    [[package]]
    name = "from-git"
    version = "0.3.0"
    source = "git+https://git.example.com/from-git?branch=main#0123456789abcdef0123456789abcdef01234567"
  broken: "version = 99"
---
apiVersion: crateyard.dev/v1alpha1
kind: CrateMirror
metadata: {name: mixed}
spec:
  registryRef: {name: acme}
  upstream: {index: "sparse+http://%[1]s/index/"}
  lockfiles: [{configMapKeyRef: {name: mixed-lock}}]
  deletionPolicy: Delete
---
apiVersion: crateyard.dev/v1alpha1
kind: CrateMirror
metadata: {name: wrong}
spec:
  registryRef: {name: acme}
  upstream: {index: "sparse+http://%[1]s/index/"}
  crates: [{name: mir-top, versions: "^7"}, {name: mir-mid}]
  lockfiles: [{configMapKeyRef: {name: mixed-lock, key: broken}}, {configMapKeyRef: {name: absent-lock}}]
  deletionPolicy: Delete
`, upstreamAddress))
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		object, condition, status string
		names                     []string
	}{
		{"lost", "Ready", "False RegistryNotFound", []string{"nowhere"}},
		{"mixed", "LockfilesReady", "True PackagesSkipped", []string{"mixed-lock", "from-git 0.3.0", "git.example.com"}},
		{"mixed", "Synced", "True Synced", []string{"all 1 versions"}},
		{"mixed", "Ready", "True", nil},
		{"wrong", "LockfilesReady", "False", []string{"mixed-lock, key broken", "absent-lock"}},
		{"wrong", "Synced", "False SyncFailed", []string{"mir-top ^7", "spec.crates"}},
	} {
		eventually(t, tt.object+" says what is wrong", time.Minute, func() (string, bool) {
			said := m.condition(t, "cratemirror/"+tt.object, tt.condition)
			ok := strings.HasPrefix(said, tt.status)
			for _, name := range tt.names {
				ok = ok && strings.Contains(said, name)
			}
			return said, ok
		})
		t.Logf("%s %s: %s", tt.object, tt.condition, m.condition(t, "cratemirror/"+tt.object, tt.condition))
	}
	if progress := m.get(t, "cratemirror/wrong", "{.status.sync.progress}"); progress != "2/3" {
		t.Errorf("the entries that are right came in as %s", progress)
	}
	m.kubectl(t, "-n", namespace, "delete", "cratemirror", "lost", "mixed", "wrong", "--timeout=60s")
}

func (m *mirrored) deleted(t *testing.T) {
	m.appBuilds(t)
	m.kubectl(t, "-n", namespace, "delete", "cratemirror", "deps", "--timeout=60s")
	status, text, err := serve.NewClient("http://"+m.address, "").Do("GET", "/mirrors/deps/config.json", nil)
	if err != nil || status != 404 {
		t.Errorf("a mirror that was deleted: %d %.300s %v", status, text, err)
	}
}
