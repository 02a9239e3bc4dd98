// Coredns is CoreDNS with the plugins that the cluster's Corefile (assets/addons.yaml) names. With all that CoreDNS has, the clients of several clouds
// would be compiled, which takes longer than the rest of it.
package main

import (
	"github.com/coredns/coredns/coremain"

	_ "github.com/coredns/coredns/plugin/errors"
	_ "github.com/coredns/coredns/plugin/health"
	_ "github.com/coredns/coredns/plugin/kubernetes"
	_ "github.com/coredns/coredns/plugin/ready"
	_ "github.com/coredns/coredns/plugin/template"
)

func main() { coremain.Run() }
