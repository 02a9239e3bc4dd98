package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
)

// Addresses inside the cluster's network namespace. Every cluster has the same
// ones: no packet can leave its namespace, so they cannot collide.
const (
	nodeIP      = "10.88.0.1" // of the bridge; the API server and the kubelet answer here
	podCIDR     = "10.88.0.0/16"
	serviceCIDR = "10.96.0.0/16"
	apiIP       = "10.96.0.1" // ClusterIP of the Service "kubernetes"
	dnsIP       = "10.96.0.10"
	bridge      = "cni0"
)

// containerd binds sockets below the run directory and the kubelet below the
// state directory; the kernel takes no socket path longer than 107 bytes.
const maxStatePath = 107 - len("/kubelet/pod-resources/kubelet.sock")

// Cluster says where everything of one cluster lies. It holds no open
// resources: each command builds its own and reads the rest from the state directory.
type Cluster struct {
	Name  string
	Root  string // of the repository
	State string
	Bin   string // cached Kubernetes programs
}

var validName = regexp.MustCompile(`^[a-z0-9]([-a-z0-9]{0,30}[a-z0-9])?$`)

// NewCluster settles the paths. An empty state means the default one.
func NewCluster(name, state string) (*Cluster, error) {
	if !validName.MatchString(name) {
		return nil, fmt.Errorf("cluster name %q: use at most 32 lower-case letters, digits and dashes", name)
	}
	root, err := findRoot()
	if err != nil {
		return nil, err
	}
	if state == "" {
		state = filepath.Join(root, ".cluster")
		if name != defaultName {
			state += "-" + name
		}
	}
	if state, err = filepath.Abs(state); err != nil {
		return nil, err
	}
	if len(state) > maxStatePath {
		return nil, fmt.Errorf("the state directory %s is too long for the sockets below it: choose one of at most %d bytes with --state", state, maxStatePath)
	}
	bin, err := binDir(root)
	if err != nil {
		return nil, err
	}
	return &Cluster{Name: name, Root: root, State: state, Bin: bin}, nil
}

// findRoot finds the repository from where this program lies, so that it works
// from any folder and on its own clone; with go run, whose path says nothing, from
// the working directory.
func findRoot() (string, error) {
	self, err := os.Executable()
	if err != nil {
		return "", err
	}
	here, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for _, dir := range []string{filepath.Dir(self), here} {
		if root, ok := rootAbove(dir); ok {
			return root, nil
		}
	}
	return "", errors.New("this program is not in the crateyard repository, and neither is this folder: run it from one of the repository's folders")
}

func rootAbove(dir string) (string, bool) {
	for {
		if _, err := os.Stat(filepath.Join(dir, "hack", "cluster", "build", "kubernetes", "go.mod")); err == nil {
			return dir, true
		}
		up := filepath.Dir(dir)
		if up == dir {
			return "", false
		}
		dir = up
	}
}

// NetNS is the name of the network namespace, as ip netns lists it.
func (c *Cluster) NetNS() string { return "crateyard-" + c.Name }

// NetNSPath is the file that keeps the namespace alive.
func (c *Cluster) NetNSPath() string { return "/run/netns/" + c.NetNS() }

// RunDir holds sockets and containerd's volatile state, whose paths must be short.
func (c *Cluster) RunDir() string { return "/run/crateyard-" + c.Name }

// Socket is containerd's address.
func (c *Cluster) Socket() string { return c.RunDir() + "/containerd.sock" }

// CgroupRoot is the cgroup below which the kubelet puts all pods.
func (c *Cluster) CgroupRoot() string { return "/crateyard-" + c.Name }

// Path is a path below the state directory.
func (c *Cluster) Path(elem ...string) string {
	return filepath.Join(append([]string{c.State}, elem...)...)
}

// Log is the log file of a process.
func (c *Cluster) Log(process string) string { return c.Path("logs", process+".log") }

// Program is one of the cached programs.
func (c *Cluster) Program(name string) string { return filepath.Join(c.Bin, name) }

// Kubeconfig is the administrator's, for people and tests.
func (c *Cluster) Kubeconfig() string { return c.Path("kubeconfig") }

// VolumesDir holds one directory for each provisioned PersistentVolume.
func (c *Cluster) VolumesDir() string { return c.Path("volumes") }
