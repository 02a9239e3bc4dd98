package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
)

// processes are all that a running cluster consists of, in the order in which
// they are stopped: nothing must recreate what another has just ended, and the
// API server goes before etcd, without which it would not end.
var processes = []string{
	"kube-controller-manager", "kube-scheduler", "provisioner", "api-forwarder",
	"kubelet", "kube-proxy", "kube-apiserver", "etcd", "containerd",
}

// healthy is nil when pods can be started and can find each other.
func (c *Cluster) healthy(ctx context.Context, api *API) error {
	for _, p := range processes {
		if !c.running(p) {
			return final{fmt.Errorf("%s is not running; its log is %s", p, c.Log(p))}
		}
	}
	if err := api.Get(ctx, "/readyz", nil); err != nil {
		return err
	}
	// What the API server says of the node may date from before a restart.
	client := http.Client{Transport: &http.Transport{DialContext: c.dialContext, DisableKeepAlives: true}}
	for name, url := range map[string]string{
		"kubelet": "http://127.0.0.1:10248/healthz", "kube-proxy": "http://127.0.0.1:10256/healthz",
	} {
		if err := get(ctx, &client, url); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	var node, dns object
	if err := api.Get(ctx, "/api/v1/nodes/"+c.Name, &node); err != nil {
		return err
	}
	if ready := node.condition("Ready"); ready.Status != "True" {
		return fmt.Errorf("the node is not ready: %s", ready.Message)
	}
	// Without it, no pod is admitted. The controller manager makes it.
	if err := api.Get(ctx, "/api/v1/namespaces/default/serviceaccounts/default", nil); err != nil {
		return err
	}
	if err := api.Get(ctx, "/apis/apps/v1/namespaces/kube-system/deployments/coredns", &dns); err != nil {
		return err
	}
	if dns.Status.AvailableReplicas == 0 {
		return fmt.Errorf("CoreDNS is not available: %s", dns.condition("Available").Message)
	}
	return c.resolves(ctx, "kubernetes.default.svc.cluster.local")
}

// resolves asks the cluster's DNS by its Service, which shows that pods,
// bridge, kube-proxy and CoreDNS work together.
func (c *Cluster) resolves(ctx context.Context, name string) error {
	r := net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return dialIn(ctx, c.NetNSPath(), dnsIP+":53") // TCP, which every resolver speaks
	}}
	found, err := r.LookupHost(ctx, name+".")
	if err != nil {
		return fmt.Errorf("the cluster's DNS: %w", err)
	}
	if len(found) != 1 || found[0] != apiIP {
		return errors.New("the cluster's DNS answers wrongly for " + name)
	}
	return nil
}
