package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"time"
)

// cniBin is where Debian puts the network plugins.
const cniBin = "/usr/lib/cni"

// needs maps what must be on the machine to the Debian package that brings it.
// containerd's shim is looked up in PATH by containerd itself.
var needs = []struct{ program, pkg string }{
	{"containerd", "containerd"},
	{"ctr", "containerd"},
	{"containerd-shim-runc-v2", "containerd"},
	{"runc", "runc"},
	{cniBin + "/bridge", "containernetworking-plugins"},
	{cniBin + "/portmap", "containernetworking-plugins"},
	{"iptables", "iptables"},
	{"ip", "iproute2"},
	{"mount", "mount"},
}

// requireRoot explains itself, as "permission denied" from deep below would not.
func requireRoot() error {
	if os.Geteuid() != 0 {
		return errors.New("a cluster needs root, for network namespaces, mounts and cgroups: run this with sudo")
	}
	return nil
}

// ensurePackages installs the Debian packages that are missing.
func ensurePackages(ctx context.Context) error {
	packages := missingPackages()
	if len(packages) == 0 {
		return nil
	}
	list := strings.Join(packages, " ")
	if _, err := exec.LookPath("apt-get"); err != nil {
		return fmt.Errorf("this machine lacks what these Debian packages contain: %s; install them by your system's means (network plugins in %s)", list, cniBin)
	}
	start := time.Now()
	note("Installing %s (apt-get)", list)
	for _, args := range [][]string{
		{"update", "-q"},
		append([]string{"install", "-q", "-y", "--no-install-recommends"}, packages...),
	} {
		cmd := exec.CommandContext(ctx, "apt-get", args...)
		cmd.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive")
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("apt-get %s: %w\n%s\nInstall the packages by hand and try again: %s", args[0], err, strings.TrimSpace(string(out)), list)
		}
	}
	if still := missingPackages(); len(still) > 0 {
		return fmt.Errorf("apt-get succeeded, yet programs are missing that should come from: %s", strings.Join(still, " "))
	}
	step(start, "packages")
	return nil
}

func missingPackages() (packages []string) {
	seen := map[string]bool{}
	for _, n := range needs {
		if _, err := exec.LookPath(n.program); err != nil && !seen[n.pkg] {
			seen[n.pkg] = true
			packages = append(packages, n.pkg)
		}
	}
	return packages
}

// command runs a program to its end; its output becomes part of the error.
func command(ctx context.Context, name string, args ...string) (string, error) {
	out, err := exec.CommandContext(ctx, name, args...).CombinedOutput()
	if err != nil {
		return string(out), fmt.Errorf("%s %s: %w: %s", name, strings.Join(args, " "), err, strings.TrimSpace(string(out)))
	}
	return string(out), nil
}
