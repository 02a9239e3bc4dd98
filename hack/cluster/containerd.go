package main

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// startContainerd runs Debian's containerd with folders, socket and
// configuration of its own, so that it shares nothing with one of the machine's.
func (c *Cluster) startContainerd(ctx context.Context) error {
	for name, file := range map[string]string{
		"containerd.toml": c.Path("config", "containerd.toml"),
		"cni.conflist":    c.Path("config", "cni", "10-"+c.NetNS()+".conflist"),
	} {
		text, err := render(name, map[string]string{
			"Name": c.NetNS(), "Root": c.Path("containerd"), "RunDir": c.RunDir(), "Socket": c.Socket(),
			"PauseImage": pauseImage, "CNIBin": cniBin, "CNIConf": c.Path("config", "cni"),
			"Bridge": bridge, "PodCIDR": podCIDR, "Gateway": nodeIP, "DataDir": c.cniDataDir(),
		})
		if err != nil {
			return err
		}
		if err := writeFile(file, text, 0o644); err != nil {
			return err
		}
	}
	return c.launchAndWait(ctx, spec{
		name: "containerd", program: "containerd",
		args: []string{"--config", c.Path("config", "containerd.toml")},
	}, 30*time.Second, func(ctx context.Context) error {
		_, err := c.ctr(ctx, "version")
		return err
	})
}

// cniDataDir records which pod has which address. No pod outlives the
// namespace, so the directory is emptied whenever that is made anew.
func (c *Cluster) cniDataDir() string { return c.Path("cni") }

// ctr is containerd's own client. Kubernetes' images are in the namespace k8s.io.
func (c *Cluster) ctr(ctx context.Context, args ...string) (string, error) {
	return command(ctx, "ctr", append([]string{"--address", c.Socket(), "--namespace", "k8s.io"}, args...)...)
}

// importImage loads an archive. It returns what ctr says: the names of the images.
func (c *Cluster) importImage(ctx context.Context, archive string) (string, error) {
	archive, err := filepath.Abs(archive)
	if err != nil {
		return "", err
	}
	if _, err := os.Stat(archive); err != nil {
		return "", err
	}
	return c.ctr(ctx, "images", "import", archive)
}

// hasImage tells whether an image was imported before.
func (c *Cluster) hasImage(ctx context.Context, reference string) bool {
	out, err := c.ctr(ctx, "images", "list", "--quiet", "name=="+reference)
	return err == nil && strings.TrimSpace(out) == reference
}

// killTasks ends the containers that are left when there is no API server to
// ask. containerd then unmounts their file systems and ends their shims itself.
func (c *Cluster) killTasks(ctx context.Context) {
	out, err := c.ctr(ctx, "tasks", "list", "--quiet")
	if err != nil {
		return
	}
	for _, id := range strings.Fields(out) {
		// With --force it kills first. Errors do not matter: what stays is
		// found again by its shim.
		_, _ = c.ctr(ctx, "tasks", "delete", "--force", id)
	}
}

// stopShims ends the shims that containerd left behind. They are not children
// of ours, so there is no record; but each carries the address of the
// containerd it belongs to, which no other cluster has.
func (c *Cluster) stopShims() error {
	shims, err := processesWithArgs("containerd-shim", "-address", c.Socket())
	if err != nil {
		return err
	}
	for _, p := range shims {
		for _, child := range childrenOf(p.PID) {
			_ = child.Stop(0) // the container
		}
		if err := p.Stop(2 * time.Second); err != nil {
			return err
		}
	}
	return nil
}

// shimSockets is where all shims of the machine have their sockets. It cannot be changed.
const shimSockets = "/run/containerd/s"

// removeShimSockets removes the sockets of killed shims. They lie outside of
// our folders, and each bundle says in a file which one is its own.
func (c *Cluster) removeShimSockets() {
	files, _ := filepath.Glob(c.RunDir() + "/containerd/io.containerd.runtime.v2.task/*/*/address")
	for _, f := range files {
		address, err := os.ReadFile(f)
		if socket, ok := strings.CutPrefix(strings.TrimSpace(string(address)), "unix://"); err == nil && ok && filepath.Dir(socket) == shimSockets {
			_ = os.Remove(socket)
		}
	}
	// Another containerd may use these. They go when they are empty.
	_ = os.Remove(shimSockets)
	_ = os.Remove(filepath.Dir(shimSockets))
}
