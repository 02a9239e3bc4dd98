package auth

import (
	"strings"
	"testing"
)

// A header gives a token that is part of it, without spaces around it, and never grows. A pattern that passes matches what it spells.
func FuzzFromHeader(f *testing.F) {
	for _, h := range []string{"", "cy_x", "Bearer cy_x", "bearer  cy_x ", "BEARER\tx", "Basic eA==", "Bearer", "Bearer Bearer x", "\x00", "é"} {
		f.Add(h)
	}
	f.Fuzz(func(t *testing.T, h string) {
		token := FromHeader(h)
		if !strings.Contains(h, token) || token != strings.TrimSpace(token) {
			t.Errorf("%q gives %q", h, token)
		}
		if CheckPatterns([]string{h}) == nil {
			name := strings.TrimSuffix(h, "*")
			if name != "" && !matches([]string{h}, name) || matches([]string{h}, "\x00") && h != "*" {
				t.Errorf("pattern %q", h)
			}
		}
	})
}
