package httpapi

import (
	"net/http"
	"net/netip"
	"strings"
)

// clientAddress is where a request comes from, without a port: the connection's other end or, when that is a proxy that is
// trusted, the last address before the trusted ones in X-Forwarded-For, which is the first that a proxy of ours has seen.
func clientAddress(r *http.Request, trusted []netip.Prefix) string {
	peer := remoteAddress(r)
	if len(trusted) == 0 || !isTrusted(peer, trusted) {
		return peer
	}
	hops := strings.Split(strings.Join(r.Header.Values("X-Forwarded-For"), ","), ",")
	for i := len(hops) - 1; i >= 0; i-- {
		hop := strings.TrimSpace(hops[i])
		if _, err := netip.ParseAddr(hop); err != nil {
			break // forged or broken: the peer is what is known
		}
		peer = hop
		if !isTrusted(hop, trusted) {
			break
		}
	}
	return peer
}

func isTrusted(address string, trusted []netip.Prefix) bool {
	a, err := netip.ParseAddr(address)
	if err != nil {
		return false
	}
	for _, p := range trusted {
		if p.Contains(a.Unmap()) {
			return true
		}
	}
	return false
}
