package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"time"
)

// preferredPort is the API server's, unless it is taken on the host.
const preferredPort = 6443

// Up makes the cluster run. It leaves a healthy one alone, and starts a broken
// or half-started one again with its data.
func (c *Cluster) Up(ctx context.Context) error {
	if err := requireRoot(); err != nil {
		return err
	}
	start := time.Now()
	// Before the lock, which is a file in the directory.
	if _, _, err := c.claim(); err != nil {
		return err
	}
	unlock, err := c.Lock()
	if err != nil {
		return err
	}
	defer unlock()
	state, fresh, err := c.claim()
	if err != nil {
		return err
	}
	if !fresh {
		err := c.check(ctx, state)
		if err == nil {
			note("Cluster %q is up. KUBECONFIG=%s", c.Name, c.Kubeconfig())
			return nil
		}
		if slices.ContainsFunc(processes, c.running) {
			note("Cluster %q is not healthy (%v); starting it again", c.Name, err)
		}
	}
	if err := ensurePackages(ctx); err != nil {
		return err
	}
	if err := c.EnsurePrograms(ctx, clusterPrograms); err != nil {
		return err
	}
	if err := c.start(ctx, state, fresh); ctx.Err() != nil {
		return errors.New("interrupted; up goes on, down removes what was started")
	} else if err != nil {
		return fmt.Errorf("%w\nThe logs are in %s. Try up again; when that does not help, down and then up begin from nothing", err, c.Path("logs"))
	}
	step(start, "all")
	note("Cluster %q is up. KUBECONFIG=%s", c.Name, c.Kubeconfig())
	return nil
}

// check is a single look at the health, for a cluster that should be running.
func (c *Cluster) check(ctx context.Context, s State) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	api, err := c.adminAPI(s.Port)
	if err != nil {
		return err
	}
	return c.healthy(ctx, api)
}

func (c *Cluster) start(ctx context.Context, s State, fresh bool) (err error) {
	versions, err := readVersions(c.Root)
	if err != nil {
		return err
	}
	note("Starting cluster %q (Kubernetes %s)", c.Name, versions.Kubernetes)
	if err := c.stopProcesses(ctx); err != nil {
		return err
	}
	if fresh {
		if err := c.emptyStateDir(); err != nil {
			return err
		}
	}
	if s.Port, err = freePort(ctx, s.Port); err != nil {
		return err
	}
	if err := c.WriteState(s); err != nil {
		return err
	}
	for _, prepare := range []func() error{
		c.writeOwner,
		c.ensureCerts,
		func() error { return c.writeKubeconfigs(s.Port) },
		c.installSelf,
		func() error { return os.MkdirAll(c.VolumesDir(), 0o755) },
		func() error { return c.createNetNS(ctx) },
		c.createCgroups,
	} {
		if err := prepare(); err != nil {
			return err
		}
	}
	if err := c.startContainerd(ctx); err != nil {
		return err
	}
	// Images are imported while the control plane starts.
	images := make(chan error, 1)
	go func() { images <- c.loadImages(ctx, versions) }()
	err = c.startKubernetes(ctx, s, versions)
	if errImages := <-images; errImages != nil {
		err = errors.Join(err, errImages)
	}
	if err != nil {
		return err
	}
	api, err := c.adminAPI(s.Port)
	if err != nil {
		return err
	}
	wait := time.Now()
	if err := poll(ctx, 2*time.Minute, func(ctx context.Context) error { return c.healthy(ctx, api) }); err != nil {
		return c.withLogs(err)
	}
	step(wait, "node and DNS")
	return nil
}

// withLogs adds the end of the logs of what has died, or else of the kubelet,
// which is the one that knows why pods do not start.
func (c *Cluster) withLogs(err error) error {
	suspect := "kubelet"
	if dead := slices.IndexFunc(processes, func(p string) bool { return !c.running(p) }); dead >= 0 {
		suspect = processes[dead]
	}
	return fmt.Errorf("%w\n--- the end of %s:\n%s", err, c.Log(suspect), tail(c.Log(suspect), 20))
}

func (c *Cluster) startKubernetes(ctx context.Context, s State, v Versions) error {
	if err := c.startEtcd(ctx); err != nil {
		return err
	}
	if err := c.startAPIServer(ctx, s.Port); err != nil {
		return err
	}
	if err := c.startControllers(); err != nil {
		return err
	}
	if err := c.startNode(); err != nil {
		return err
	}
	if err := c.startAPIForwarder(s.Port); err != nil {
		return err
	}
	if _, err := c.launch(spec{
		name: "provisioner", program: c.self(),
		args: []string{"run-provisioner", "--name", c.Name, "--state", c.State},
	}); err != nil {
		return err
	}
	return c.applyAddons(ctx, v)
}

// applyAddons goes through the forwarder, so it also shows that the kubeconfig works.
func (c *Cluster) applyAddons(ctx context.Context, v Versions) error {
	start := time.Now()
	manifest, err := render("addons.yaml", map[string]string{
		"DNS": dnsIP, "CoreDNSImage": corednsImage(v), "Provisioner": provisionerName,
	})
	if err != nil {
		return err
	}
	// The namespace kube-system appears a moment after the API server is ready.
	err = poll(ctx, time.Minute, func(context.Context) error {
		cmd := exec.CommandContext(ctx, c.Program("kubectl"), "--kubeconfig", c.Kubeconfig(),
			"apply", "--server-side", "--force-conflicts", "-f", "-")
		cmd.Stdin = bytes.NewReader(manifest)
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("apply CoreDNS and storage classes: %w: %s", err, bytes.TrimSpace(out))
		}
		return nil
	})
	if err != nil {
		return err
	}
	step(start, "CoreDNS and storage classes applied")
	return nil
}
