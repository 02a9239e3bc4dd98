// Package apiserver says how tests have envtest start a Kubernetes API server: with more patience than its own, which a machine that does much else
// wears out, and on ports that stay free until etcd and the API server listen there.
package apiserver

import (
	"fmt"
	"net/url"
	"strconv"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/envtest"

	"github.com/crateyard/crateyard/test/port"
)

// patience bounds the start of etcd, that of the API server, the end of each, and the installing of resource definitions.
const patience = 2 * time.Minute

// Prepare makes ready what Start of e uses. release gives the ports back, once e is stopped.
func Prepare(e *envtest.Environment) (release func(), err error) {
	var numbers [3]int
	var releases [3]func()
	release = func() {
		for _, r := range releases {
			if r != nil {
				r()
			}
		}
	}
	for i := range numbers {
		if numbers[i], releases[i], err = port.Reserve(); err != nil {
			release()
			return nil, err
		}
	}
	e.ControlPlaneStartTimeout, e.ControlPlaneStopTimeout, e.CRDInstallOptions.MaxTime = patience, patience, patience
	serving := &e.ControlPlane.GetAPIServer().SecureServing
	serving.Address, serving.Port = "127.0.0.1", strconv.Itoa(numbers[0])
	e.ControlPlane.Etcd = &envtest.Etcd{URL: &url.URL{Scheme: "http", Host: fmt.Sprint("127.0.0.1:", numbers[1])}}
	e.ControlPlane.Etcd.Configure().Set("listen-peer-urls", fmt.Sprint("http://127.0.0.1:", numbers[2]))
	return release, nil
}
