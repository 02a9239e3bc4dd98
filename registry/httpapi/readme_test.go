package httpapi

import (
	"strings"
	"testing"
)

// Readmes that would take the renderer long are shown as text.
func TestRendersMarkdown(t *testing.T) {
	for name, tc := range map[string]struct {
		file, text string
		want       bool
	}{
		"usual":         {"README.md", "# A\n\n[link](https://example.com) <b>x</b>\n> > quoted twice\n", true},
		"no file name":  {"", "text", true},
		"plain text":    {"README.txt", "text", false},
		"too long":      {"README.md", strings.Repeat("x", maxReadme+1), false},
		"links nested":  {"README.md", strings.Repeat("[](", maxBrackets+1), false},
		"quotes nested": {"README.md", strings.Repeat("> ", maxQuotes+1), false},
		"much HTML":     {"README.md", strings.Repeat("<b>x</b>\n", 5000), true},
	} {
		if got := rendersMarkdown(tc.file, tc.text); got != tc.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

func TestNetwork(t *testing.T) {
	for address, want := range map[string]string{"203.0.113.9": "203.0.113.9", "2001:db8:1:2:3::4": "2001:db8:1:2::/64", "fe80::1%eth0": "fe80::/64",
		"::ffff:203.0.113.9": "::ffff:203.0.113.9", "odd": "odd"} {
		if got := network(address); got != want {
			t.Errorf("%s: %s, want %s", address, got, want)
		}
	}
}
