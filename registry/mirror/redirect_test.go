package mirror

import (
	"net/http"
	"net/http/httptest"
	"testing"
)

// The token goes along with a redirect to the same server, and to no other; nor back again by way of one.
func TestGuardToken(t *testing.T) {
	for _, tt := range []struct {
		hops []string
		kept bool
	}{
		{[]string{"https://a.example/x", "https://a.example/y"}, true},
		{[]string{"https://a.example/x", "https://A.example:443/y"}, true},
		{[]string{"http://a.example/x", "https://a.example/x"}, true},
		{[]string{"https://a.example/x", "http://a.example/x"}, false},
		{[]string{"https://a.example/x", "https://a.example:8443/x"}, false},
		{[]string{"http://a.example:8080/x", "https://a.example/x"}, false},
		{[]string{"https://a.example/x", "https://cdn.a.example/x"}, false},
		{[]string{"https://a.example/x", "https://b.example/x"}, false},
		{[]string{"https://a.example/x", "https://b.example/x", "https://a.example/y"}, false},
		{[]string{"https://a.example/x", "https://a.example/y", "https://a.example/z"}, true},
	} {
		var via []*http.Request
		for _, to := range tt.hops {
			via = append(via, httptest.NewRequest("GET", to, nil))
		}
		last := via[len(via)-1]
		last.Header.Set("Authorization", "t")
		if err := guardToken(last, via[:len(via)-1]); err != nil || (last.Header.Get("Authorization") != "") != tt.kept {
			t.Errorf("%q: %v %v", tt.hops, err, last.Header)
		}
	}
	if guardToken(httptest.NewRequest("GET", "https://a.example/", nil), make([]*http.Request, maxRedirects)) == nil {
		t.Error("redirects do not end")
	}
}
