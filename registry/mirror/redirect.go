package mirror

import (
	"cmp"
	"fmt"
	"net/http"
	"net/url"
	"strings"
)

// maxRedirects is how often a request goes on at another address, as net/http has it.
const maxRedirects = 10

// guardToken keeps the token with the server that it is for: a redirect to another host, port or scheme goes on without it, and so does all that follows. To
// net/http, all ports of a host and all hosts below it are one; to curl, and so to cargo, they are not. Only from http to https, at the same host and the ports
// that are meant where none is named, does it go along.
func guardToken(req *http.Request, via []*http.Request) error {
	if len(via) >= maxRedirects {
		return fmt.Errorf("stopped after %d redirects", maxRedirects)
	}
	for _, next := range append(via[1:len(via):len(via)], req) {
		if !sameServer(via[0].URL, next.URL) {
			req.Header.Del("Authorization")
		}
	}
	return nil
}

func sameServer(a, b *url.URL) bool {
	if !strings.EqualFold(a.Hostname(), b.Hostname()) {
		return false
	}
	if a.Scheme == "http" && b.Scheme == "https" {
		return port(a) == "80" && port(b) == "443"
	}
	return a.Scheme == b.Scheme && port(a) == port(b)
}

func port(u *url.URL) string {
	return cmp.Or(u.Port(), map[string]string{"http": "80", "https": "443"}[u.Scheme])
}
