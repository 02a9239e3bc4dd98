package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// program is something that go build makes. Each family is a module of its own
// below build/, because their dependencies contradict each other and must not
// reach the product's go.mod.
type program struct {
	name, module, pkg string
}

// envtestPrograms are what controller-runtime's envtest needs.
var envtestPrograms = []program{
	{"etcd", "etcd", "go.etcd.io/etcd/server/v3"},
	{"kube-apiserver", "kubernetes", "k8s.io/kubernetes/cmd/kube-apiserver"},
	{"kubectl", "kubernetes", "k8s.io/kubernetes/cmd/kubectl"},
}

// clusterPrograms are all, in an order that lets the big compilations be shared.
var clusterPrograms = append(append([]program{}, envtestPrograms...),
	program{"kube-controller-manager", "kubernetes", "k8s.io/kubernetes/cmd/kube-controller-manager"},
	program{"kube-scheduler", "kubernetes", "k8s.io/kubernetes/cmd/kube-scheduler"},
	program{"kubelet", "kubernetes", "k8s.io/kubernetes/cmd/kubelet"},
	program{"kube-proxy", "kubernetes", "k8s.io/kubernetes/cmd/kube-proxy"},
	program{"coredns", "coredns", "."},
	program{"pause", "pause", "."},
)

// EnsurePrograms builds those that the cache lacks.
func (c *Cluster) EnsurePrograms(ctx context.Context, programs []program) error {
	missing := c.missing(programs)
	if len(missing) == 0 {
		return nil
	}
	if _, err := exec.LookPath("go"); err != nil {
		return fmt.Errorf("the Go toolchain is needed to build Kubernetes: put go in PATH")
	}
	if err := os.MkdirAll(c.Bin, 0o755); err != nil {
		return err
	}
	// Two clones may want the same program; the second waits and finds it made.
	lock, err := os.OpenFile(filepath.Join(filepath.Dir(c.Bin), "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	defer lock.Close()
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX); err != nil {
		return err
	}
	missing = c.missing(programs)
	versions, err := readVersions(c.Root)
	if err != nil {
		return err
	}
	note("Building %d programs into %s (once; the first time takes about ten minutes on two cores)", len(missing), c.Bin)
	all := time.Now()
	for i, p := range missing {
		start := time.Now()
		note("  [%d/%d] %s …", i+1, len(missing), p.name)
		if err := c.build(ctx, p, versions); err != nil {
			return err
		}
		step(start, p.name)
	}
	step(all, "all programs")
	return nil
}

func (c *Cluster) missing(programs []program) (missing []program) {
	for _, p := range programs {
		if _, err := os.Stat(c.Program(p.name)); err != nil {
			missing = append(missing, p)
		}
	}
	return missing
}

// build makes one program. It gets its name only when it is whole, so an
// interrupted build leaves nothing that looks finished.
func (c *Cluster) build(ctx context.Context, p program, v Versions) error {
	ldflags := "-s -w"
	if p.module == "kubernetes" {
		// Without this the node reports v0.0.0.
		ldflags += " -X k8s.io/component-base/version.gitVersion=" + v.Kubernetes
	}
	tmp := c.Program("." + p.name + ".tmp")
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-mod=readonly", "-buildvcs=false", "-ldflags", ldflags, "-o", tmp, p.pkg)
	cmd.Dir = buildDir(c.Root, p.module)
	// Static programs run in an empty image and need no C compiler. A go.work or
	// a cross-compiling environment of the caller must not leak in.
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOWORK=off", "GOOS=linux", "GOARCH=")
	if out, err := cmd.CombinedOutput(); err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return fmt.Errorf("build %s in %s: %w\n%s", p.name, cmd.Dir, err, strings.TrimSpace(string(out)))
	}
	return os.Rename(tmp, c.Program(p.name))
}
