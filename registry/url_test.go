package registry

import (
	"log/slog"
	"strings"
	"testing"
)

// A server that listens on all addresses is called by one at which it is reached, and says that others need another. It is not opened here, so that no test
// listens on the network.
func TestConfigListenEverywhere(t *testing.T) {
	for _, tt := range []struct {
		listens, url, want string
		warns              bool
	}{
		{"0.0.0.0:8080", "", "http://127.0.0.1:8080", true},
		{"[::]:8080", "", "http://127.0.0.1:8080", true},
		{"127.0.0.1:8080", "", "http://127.0.0.1:8080", false},
		{"[::1]:8080", "", "http://[::1]:8080", false},
		{"192.0.2.7:80", "", "http://192.0.2.7:80", false},
		{"[::]:8080", "https://crates.example.com", "https://crates.example.com", false},
	} {
		var logs strings.Builder
		s := &Server{config: Config{URL: tt.url}, log: slog.New(slog.NewTextHandler(&logs, nil))}
		s.nameItself(tt.listens)
		if s.URL() != tt.want || strings.Contains(logs.String(), "say --url") != tt.warns {
			t.Errorf("%s %s: %s\n%s", tt.listens, tt.url, s.URL(), logs.String())
		}
	}
}
