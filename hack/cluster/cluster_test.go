package main

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

func testCluster(t *testing.T) *Cluster {
	t.Helper()
	return &Cluster{Name: "unit-test", State: filepath.Join(t.TempDir(), "state")}
}

func TestParseStartTime(t *testing.T) {
	// The name of a process may look like the fields that follow it.
	stat := "4242 (a) S 1 (b)) S 1 4242 4242 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 987654 2469888 221"
	if got, err := parseStartTime(stat); err != nil || got != "987654" {
		t.Errorf("got %q, %v", got, err)
	}
	zombie := strings.Replace(stat, ") S 1 4242", ") Z 1 4242", 1)
	if _, err := parseStartTime(zombie); !errors.Is(err, os.ErrProcessDone) {
		t.Errorf("a zombie should count as ended, got %v", err)
	}
	for _, broken := range []string{"", "1 (init)", "no parenthesis"} {
		if _, err := parseStartTime(broken); err == nil {
			t.Errorf("%q should be an error", broken)
		}
	}
}

func TestProcessLife(t *testing.T) {
	c := testCluster(t)
	p, err := c.launch(spec{name: "sleeper", program: "sleep", args: []string{"60"}, onHost: true})
	if err != nil {
		t.Fatal(err)
	}
	if !c.running("sleeper") {
		t.Fatal("the process should be running")
	}

	// Somebody else got the pid since: neither alive, nor ours to stop.
	reused := p
	reused.Start = "1"
	if reused.Alive() {
		t.Error("a process with another start time passes for ours")
	}
	if err := reused.Stop(0); err != nil {
		t.Error(err)
	}
	rebooted := p
	rebooted.Boot = "another boot"
	if rebooted.Alive() {
		t.Error("a process of another boot passes for ours")
	}
	if !p.Alive() {
		t.Fatal("stopping a stale record ended an innocent process")
	}

	if err := stopRecorded(c.recordPath("sleeper"), 5*time.Second); err != nil {
		t.Fatal(err)
	}
	if p.Alive() || exists(c.recordPath("sleeper")) {
		t.Error("the process or its record is still there")
	}
	if err := stopRecorded(c.recordPath("sleeper"), 0); err != nil {
		t.Errorf("stopping twice: %v", err)
	}
}

func TestStopKillsTheDeaf(t *testing.T) {
	cmd := exec.Command("sh", "-c", `trap "" TERM; echo deaf; while :; do sleep 0.1; done`)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := out.Read(make([]byte, 5)); err != nil { // the trap is set
		t.Fatal(err)
	}
	start, err := startTime(cmd.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	p := Process{PID: cmd.Process.Pid, Start: start, Boot: bootID(), Args: cmd.Args}
	if err := p.Stop(100 * time.Millisecond); err != nil {
		t.Error(err)
	}
	if err := cmd.Wait(); err == nil {
		t.Error("it should have been killed")
	}
}

func TestMountPoints(t *testing.T) {
	info := `22 1 8:1 / / rw - ext4 /dev/vda rw
30 22 0:5 / /state rw - tmpfs tmpfs rw
31 30 0:6 / /state/a\040b rw - tmpfs tmpfs rw
32 22 0:7 / /state-of-another rw - tmpfs tmpfs rw
`
	if got, want := parseMountPoints(info, "/state"), []string{"/state", "/state/a b"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestParseService(t *testing.T) {
	got, err := parseService("team-a/acme:http")
	if want := (target{namespace: "team-a", service: "acme", port: "http"}); err != nil || got != want {
		t.Errorf("got %+v, %v", got, err)
	}
	if again := got.args(); !slices.Equal(again, []string{"--service", "team-a/acme:http"}) {
		t.Errorf("args: %q", again)
	}
	for _, wrong := range []string{"", "acme", "acme:80", "a/b", "a/b:", "/b:80", "a/:80", "a/b/c:80", "a/b:80:90"} {
		if _, err := parseService(wrong); err == nil {
			t.Errorf("%q should be refused", wrong)
		}
	}
}

func TestRequiredVersion(t *testing.T) {
	gomod := "module x\n\nrequire example.com/one v1.2.3\n\nrequire (\n\texample.com/two/v3 v3.0.1\n\texample.com/two v2.9.9 // indirect\n)\n\nreplace example.com/six => example.com/six v6.0.0\n"
	for module, want := range map[string]string{
		"example.com/one": "v1.2.3", "example.com/two": "v2.9.9", "example.com/two/v3": "v3.0.1", "example.com/six": "",
	} {
		if got := requiredVersion(gomod, module); got != want {
			t.Errorf("%s: got %q, want %q", module, got, want)
		}
	}
}

func TestCertificatesAndKubeconfig(t *testing.T) {
	c := testCluster(t)
	if err := c.ensureCerts(); err != nil {
		t.Fatal(err)
	}
	if err := c.writeKubeconfigs(12345); err != nil {
		t.Fatal(err)
	}
	before, err := os.ReadFile(c.Kubeconfig())
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(before), "server: https://127.0.0.1:12345\n") {
		t.Errorf("kubeconfig leads elsewhere:\n%s", before)
	}
	if info, err := os.Stat(c.Kubeconfig()); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the kubeconfig holds a key and must be private: %v %v", info.Mode(), err)
	}

	roots := x509.NewCertPool()
	roots.AddCert(readCert(t, c.cert("ca")))
	for _, host := range []string{"127.0.0.1", nodeIP, apiIP, "kubernetes.default.svc"} {
		if _, err := readCert(t, c.cert("apiserver")).Verify(x509.VerifyOptions{Roots: roots, DNSName: host}); err != nil {
			t.Errorf("API server as %s: %v", host, err)
		}
	}
	// A second start must keep the kubeconfigs valid that were copied before.
	if err := c.ensureCerts(); err != nil {
		t.Fatal(err)
	}
	if err := c.writeKubeconfigs(12345); err != nil {
		t.Fatal(err)
	}
	if after, _ := os.ReadFile(c.Kubeconfig()); string(after) != string(before) {
		t.Error("a second start made another kubeconfig")
	}
}

func readCert(t *testing.T, path string) *x509.Certificate {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode(data)
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

func TestClaimSparesForeignDirectories(t *testing.T) {
	c := testCluster(t)
	if _, fresh, err := c.claim(); err != nil || !fresh {
		t.Fatalf("a directory that does not exist is free: %v %v", fresh, err)
	}
	if err := writeFile(c.Path("thesis.txt"), []byte("years of work"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, _, err := c.claim(); err == nil {
		t.Error("a directory with somebody's files must not be taken")
	}
	if err := c.WriteState(State{Name: "another", Port: 1}); err != nil {
		t.Fatal(err)
	}
	if _, _, err := c.claim(); err == nil {
		t.Error("another cluster's directory must not be taken")
	}
}

// Kubernetes itself judges the rendered files; this finds a misspelt field
// without starting a cluster.
func TestAddonsRender(t *testing.T) {
	text, err := render("addons.yaml", map[string]string{"DNS": dnsIP, "CoreDNSImage": "x:1", "Provisioner": provisionerName})
	if err != nil || len(text) == 0 {
		t.Error(err)
	}
	if _, err := render("addons.yaml", map[string]string{}); err == nil {
		t.Error("a missing value must be an error, not an empty string")
	}
}

func TestPoll(t *testing.T) {
	tries := 0
	err := poll(context.Background(), 5*time.Second, func(context.Context) error {
		if tries++; tries < 3 {
			return errors.New("not yet")
		}
		return nil
	})
	if err != nil || tries != 3 {
		t.Errorf("%d tries, %v", tries, err)
	}
	dead := errors.New("it died")
	start := time.Now()
	if err := poll(context.Background(), time.Minute, func(context.Context) error { return final{dead} }); err != dead || time.Since(start) > 30*time.Second {
		t.Errorf("a final error should end the waiting at once: %v", err)
	}
	if err := poll(context.Background(), time.Millisecond, func(context.Context) error { return dead }); !errors.Is(err, dead) {
		t.Errorf("the last reason is missing: %v", err)
	}
}

// A share of a large disk is gigabytes, which machines with nearly full disks do not have and the cluster does not need.
func TestEvictionIsNoShareOfTheDisk(t *testing.T) {
	config, err := os.ReadFile("assets/kubelet.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for _, threshold := range []string{"nodefs.available", "imagefs.available"} {
		_, rest, found := strings.Cut(string(config), "  "+threshold+": ")
		value, _, _ := strings.Cut(rest, "\n")
		if !found || strings.Contains(value, "%") {
			t.Errorf("%s is %q", threshold, value)
		}
	}
}
