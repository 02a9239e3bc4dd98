package main

import (
	"bytes"
	"net"
	"os"
	"path/filepath"
	"strings"
)

// containerLogs is where the kubelet puts symbolic links to the pods' logs. It
// cannot be told otherwise.
const containerLogs = "/var/log/containers"

// devicePlugins has a socket of the kubelet, at the same place for all kubelets of
// a machine. The last one started has it; without special devices, nobody asks.
const devicePlugins = "/var/lib/kubelet/device-plugins"

// startNode starts the kubelet and kube-proxy. health waits for them.
func (c *Cluster) startNode() error {
	plugins := c.Path("kubelet", "volumeplugins")
	text, err := render("kubelet.yaml", map[string]string{
		"Socket": c.Socket(), "CgroupRoot": c.CgroupRoot(), "CA": c.cert("ca"), "DNS": dnsIP,
		"Cert": c.cert("kubelet-server"), "Key": c.key("kubelet-server"),
		"ResolvConf": c.Path("config", "resolv.conf"), "PodLogs": c.Path("logs", "pods"), "Plugins": plugins,
	})
	if err != nil {
		return err
	}
	if err := writeFile(c.Path("config", "kubelet.yaml"), text, 0o644); err != nil {
		return err
	}
	if err := writeFile(c.Path("config", "resolv.conf"), nil, 0o644); err != nil {
		return err
	}
	if err := os.MkdirAll(plugins, 0o755); err != nil {
		return err
	}
	proxy := []string{
		"--kubeconfig=" + c.componentKubeconfig("kube-proxy"),
		"--hostname-override=" + c.Name,
		"--proxy-mode=iptables",
		"--cluster-cidr=" + podCIDR,
		"--conntrack-max-per-core=0", // the table belongs to the machine
		"--healthz-bind-address=127.0.0.1:10256",
		"--metrics-bind-address=127.0.0.1:10249",
		"--iptables-min-sync-period=100ms", // tests wait for Services
		"--oom-score-adj=0",
	}
	if !c.bridgedTrafficMeetsIptables() {
		// Then answers have to take the way back through the node. The price is
		// that a Service's pods see the node as the client.
		proxy = append(proxy, "--masquerade-all=true")
	}
	for _, s := range []spec{
		{name: "kubelet", args: []string{
			"--config=" + c.Path("config", "kubelet.yaml"),
			"--kubeconfig=" + c.componentKubeconfig("kubelet"),
			"--root-dir=" + c.Path("kubelet"),
			"--cert-dir=" + c.Path("pki"),
			"--hostname-override=" + c.Name,
			"--node-ip=" + nodeIP,
		}},
		{name: "kube-proxy", args: proxy},
	} {
		s.program = c.Program(s.name)
		if _, err := c.launch(s); err != nil {
			return err
		}
	}
	return nil
}

// removeNodeTraces removes what the kubelet and the network plugins have written
// outside of our folders. Directories shared with others go only when empty.
func (c *Cluster) removeNodeTraces() {
	links, _ := filepath.Glob(containerLogs + "/*.log")
	for _, l := range links {
		if target, err := os.Readlink(l); err == nil && below(target, c.State) {
			_ = os.Remove(l)
		}
	}
	_ = os.Remove(containerLogs)
	// The results of the network plugins say in which pod's namespace they are,
	// and ours lie in the run directory.
	results, _ := filepath.Glob("/var/lib/cni/results/*")
	for _, r := range results {
		if text, err := os.ReadFile(r); err == nil && bytes.Contains(text, []byte(`"`+c.RunDir()+"/")) {
			_ = os.Remove(r)
		}
	}
	_ = os.Remove("/var/lib/cni/results")
	_ = os.Remove("/var/lib/cni")
	socket := devicePlugins + "/kubelet.sock"
	if conn, err := net.Dial("unix", socket); err == nil {
		_ = conn.Close() // another kubelet's
	} else {
		_ = os.Remove(socket)
	}
	_ = os.Remove(devicePlugins)
	_ = os.Remove(filepath.Dir(devicePlugins))
}

func below(path, dir string) bool { return strings.HasPrefix(path, dir+"/") }
