package main

import (
	"encoding/base64"
	"os"
)

// components read a kubeconfig of their own and reach the API server inside
// the namespace.
var components = []string{"kube-controller-manager", "kube-scheduler", "kube-proxy", "kubelet"}

// writeKubeconfigs renders all kubeconfigs for the port that the API server has now.
func (c *Cluster) writeKubeconfigs(port int) error {
	for _, name := range components {
		if err := c.writeKubeconfig(c.componentKubeconfig(name), name, nodeIP, port); err != nil {
			return err
		}
	}
	// People come from the machine's network, by way of the forwarder.
	return c.writeKubeconfig(c.Kubeconfig(), "admin", "127.0.0.1", port)
}

func (c *Cluster) componentKubeconfig(name string) string {
	return c.Path("config", name+".kubeconfig")
}

// writeKubeconfig embeds the certificates, so that the file can be copied elsewhere.
func (c *Cluster) writeKubeconfig(path, identity, host string, port int) error {
	data := struct {
		Name, Host, User string
		Port             int
		CA, Cert, Key    string
	}{Name: "crateyard-" + c.Name, User: identity, Host: host, Port: port}
	for file, to := range map[string]*string{
		c.cert("ca"): &data.CA, c.cert(identity): &data.Cert, c.key(identity): &data.Key,
	} {
		content, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		*to = base64.StdEncoding.EncodeToString(content)
	}
	text, err := render("kubeconfig.yaml", data)
	if err != nil {
		return err
	}
	return writeFile(path, text, 0o600)
}
