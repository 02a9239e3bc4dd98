package main

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Down ends the cluster and removes it, with the data of its volumes unless
// keepData is set. The cached programs stay.
func (c *Cluster) Down(ctx context.Context, keepData bool) error {
	if err := requireRoot(); err != nil {
		return err
	}
	if !exists(c.State) && !exists(c.RunDir()) && !exists(c.NetNSPath()) {
		note("Cluster %q is not there", c.Name)
		return nil
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
	state, _, err := c.claim()
	if err != nil {
		return err
	}
	if c.running("kube-apiserver") && c.running("kubelet") {
		if err := c.endPods(ctx, state.Port, keepData); err != nil {
			note("  could not end the pods in order (%v); ending them by force", err)
		}
	}
	if err := c.stopForwards(); err != nil {
		return err
	}
	if err := c.stopProcesses(ctx); err != nil {
		return err
	}
	c.removeNodeTraces()
	if err := c.deleteCgroups(); err != nil {
		return fmt.Errorf("delete the cgroup %s: %w", c.CgroupRoot(), err)
	}
	if !keepData {
		if err := removeTree(c.State); err != nil {
			return err
		}
	}
	step(start, "all")
	note("Cluster %q is down", c.Name)
	return nil
}

// endPods lets the kubelet end all containers, which also unmounts their volumes.
func (c *Cluster) endPods(ctx context.Context, port int, keepData bool) error {
	start := time.Now()
	// These would make new pods in place of those that end.
	for _, name := range []string{"kube-controller-manager", "kube-scheduler"} {
		if err := stopRecorded(c.recordPath(name), time.Second); err != nil {
			return err
		}
	}
	api, err := c.adminAPI(port)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, 45*time.Second)
	defer cancel()
	var namespaces list[object]
	if err := api.Get(ctx, "/api/v1/namespaces", &namespaces); err != nil {
		return err
	}
	// A clean end only matters to pods whose data will be used again.
	options := map[string]any{}
	if !keepData {
		options["gracePeriodSeconds"] = 1
	}
	for _, n := range namespaces.Items {
		if err := api.Delete(ctx, "/api/v1/namespaces/"+n.Metadata.Name+"/pods", options); err != nil {
			return err
		}
	}
	// Not the pods in the API: one with a finalizer would stay there for ever.
	err = poll(ctx, 40*time.Second, func(ctx context.Context) error {
		out, err := c.ctr(ctx, "tasks", "list", "--quiet")
		if n := len(strings.Fields(out)); err == nil && n > 0 {
			return fmt.Errorf("%d containers still run", n)
		}
		return err
	})
	if err == nil {
		step(start, "pods ended")
	}
	return err
}

// stopProcesses ends whatever is left of the cluster, in whatever state it is,
// and all that lives no longer than its processes: mounts, sockets and the
// network namespace. Data, images and forwards stay.
func (c *Cluster) stopProcesses(ctx context.Context) error {
	for _, name := range processes {
		grace := 10 * time.Second
		switch {
		case name == "containerd" && c.running(name):
			c.killTasks(ctx)
		case name == "kube-apiserver" && !c.running("etcd"):
			grace = 0 // it would wait in vain for the store to answer
		}
		if err := stopRecorded(c.recordPath(name), grace); err != nil {
			return err
		}
	}
	if err := c.stopShims(); err != nil {
		return err
	}
	if err := c.stopUnrecorded(); err != nil {
		return err
	}
	c.removeShimSockets()
	for _, dir := range []string{c.State, c.RunDir()} {
		if err := unmountBelow(dir); err != nil {
			return err
		}
	}
	if err := c.deleteNetNS(ctx); err != nil {
		return err
	}
	if err := removeTree(c.cniDataDir()); err != nil {
		return err
	}
	return removeTree(c.RunDir())
}

// stopUnrecorded ends what has no record, because the state directory was
// removed by hand or a shim or this program was killed: processes in the
// cluster's network or its cgroup, and copies of this program that serve its
// state directory.
func (c *Cluster) stopUnrecorded() error {
	contained := c.cgroupPIDs()
	found, err := scanProcesses(func(pid int, _ []string) bool {
		return pid != os.Getpid() && (contained[pid] || c.isInside(pid))
	})
	if err != nil {
		return err
	}
	if !exists(c.Path("forwards")) {
		forwarders, err := processesWithArgs(selfName, "--state", c.State)
		if err != nil {
			return err
		}
		found = append(found, forwarders...)
	}
	for _, p := range found {
		if err := p.Stop(2 * time.Second); err != nil {
			return err
		}
	}
	return nil
}

// isInside tells whether a process is in the cluster's network namespace.
func (c *Cluster) isInside(pid int) bool {
	var ours, its unix.Stat_t
	return unix.Stat(c.NetNSPath(), &ours) == nil &&
		unix.Stat("/proc/"+strconv.Itoa(pid)+"/ns/net", &its) == nil &&
		ours.Ino == its.Ino && ours.Dev == its.Dev
}
