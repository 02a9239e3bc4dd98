package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"time"
)

const etcdURL = "http://127.0.0.1:2379"

// startEtcd keeps its data in the state directory.
func (c *Cluster) startEtcd(ctx context.Context) error {
	return c.launchAndWait(ctx, spec{name: "etcd", program: c.Program("etcd"), args: []string{
		"--name=" + c.Name,
		"--data-dir=" + c.Path("etcd"),
		"--listen-client-urls=" + etcdURL, "--advertise-client-urls=" + etcdURL,
		"--listen-peer-urls=http://127.0.0.1:2380", "--initial-advertise-peer-urls=http://127.0.0.1:2380",
		"--initial-cluster=" + c.Name + "=http://127.0.0.1:2380",
		"--log-level=warn",
		// Only a loss of power could tell the difference, and a development
		// cluster is quickly made anew. It makes every write much faster.
		"--unsafe-no-fsync",
	}}, 30*time.Second, func(ctx context.Context) error {
		client := http.Client{Transport: &http.Transport{DialContext: c.dialContext, DisableKeepAlives: true}}
		return get(ctx, &client, etcdURL+"/health")
	})
}

// startAPIServer listens on the same port that the forwarder has on the host.
func (c *Cluster) startAPIServer(ctx context.Context, port int) error {
	api, err := c.adminAPI(port)
	if err != nil {
		return err
	}
	return c.launchAndWait(ctx, spec{name: "kube-apiserver", program: c.Program("kube-apiserver"), args: []string{
		"--etcd-servers=" + etcdURL,
		"--bind-address=0.0.0.0",
		fmt.Sprintf("--secure-port=%d", port),
		"--advertise-address=" + nodeIP, // pods cannot reach the node's 127.0.0.1
		"--tls-cert-file=" + c.cert("apiserver"), "--tls-private-key-file=" + c.key("apiserver"),
		"--client-ca-file=" + c.cert("ca"),
		"--authorization-mode=Node,RBAC",
		"--enable-admission-plugins=NodeRestriction",
		"--allow-privileged=true",
		"--service-cluster-ip-range=" + serviceCIDR,
		"--service-account-issuer=https://kubernetes.default.svc.cluster.local",
		"--service-account-key-file=" + c.key("service-account"),
		"--service-account-signing-key-file=" + c.key("service-account"),
		"--kubelet-certificate-authority=" + c.cert("ca"),
		"--kubelet-client-certificate=" + c.cert("apiserver-kubelet"), "--kubelet-client-key=" + c.key("apiserver-kubelet"),
		"--kubelet-preferred-address-types=InternalIP", // the node's name resolves nowhere
		// For extension API servers; without it, all components complain. One
		// authority serves for both since only this one name is trusted to speak for others.
		"--requestheader-client-ca-file=" + c.cert("ca"),
		"--requestheader-allowed-names=front-proxy-client",
		"--requestheader-username-headers=X-Remote-User",
		"--requestheader-group-headers=X-Remote-Group",
		"--requestheader-extra-headers-prefix=X-Remote-Extra-",
		"--proxy-client-cert-file=" + c.cert("front-proxy"), "--proxy-client-key-file=" + c.key("front-proxy"),
		"--profiling=false",
	}}, 90*time.Second, func(ctx context.Context) error { return api.Get(ctx, "/readyz", nil) })
}

// startControllers starts what drives the cluster. Both are ready when they
// are needed, so nothing waits for them here; health looks at them later.
func (c *Cluster) startControllers() error {
	for _, s := range []spec{
		{name: "kube-controller-manager", args: []string{
			"--root-ca-file=" + c.cert("ca"),
			"--service-account-private-key-file=" + c.key("service-account"),
			"--cluster-signing-cert-file=" + c.cert("ca"), "--cluster-signing-key-file=" + c.key("ca"),
			"--use-service-account-credentials=true",
			"--allocate-node-cidrs=false", // the bridge plugin hands out the addresses
			"--cluster-name=" + c.Name,
			"--flex-volume-plugin-dir=" + c.Path("kubelet", "volumeplugins"),
		}},
		{name: "kube-scheduler"},
	} {
		s.program = c.Program(s.name)
		kubeconfig := c.componentKubeconfig(s.name)
		s.args = append(s.args,
			"--kubeconfig="+kubeconfig,
			"--authentication-kubeconfig="+kubeconfig, "--authorization-kubeconfig="+kubeconfig,
			"--authentication-tolerate-lookup-failure=true",
			"--bind-address=127.0.0.1",
			"--leader-elect=false",                        // there is no second one to wait for
			"--kube-api-qps=500", "--kube-api-burst=1000", // the default limits delay the first start by seconds
			"--profiling=false",
		)
		if _, err := c.launch(s); err != nil {
			return err
		}
	}
	return nil
}

// get asks for a page and is content with any good answer.
func get(ctx context.Context, client *http.Client, url string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	res, err := client.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	_, _ = io.Copy(io.Discard, res.Body)
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", url, res.Status)
	}
	return nil
}
