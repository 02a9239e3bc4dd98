package metrics

import (
	"net/http/httptest"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"
)

// What the alerts for mirrors ask for is there, once a mirror has done something.
func TestMirrorAlerts(t *testing.T) {
	rules, err := os.ReadFile("../../config/prometheus/alerts.yaml")
	if err != nil {
		t.Fatal(err)
	}
	m := New("v1")
	counts := m.Mirrors()
	counts.Served("m", "index", "stale")
	counts.ChecksumChanged("m")
	m.MirrorStates(func() []MirrorState { return []MirrorState{{Name: "m", LastSuccessful: time.Now()}} })
	w := httptest.NewRecorder()
	m.Handler().ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), "GET", "/metrics", nil))
	asked := regexp.MustCompile(`(crateyard_mirror_[a-z_]+)(?:\{([^}]*)\})?`).FindAllStringSubmatch(string(rules), -1)
	if len(asked) < 7 {
		t.Errorf("the alerts ask for %q", asked)
	}
	for _, a := range asked {
		labels := append(strings.Split(a[2], ","), `mirror="m"`)
		found := false
		for line := range strings.Lines(w.Body.String()) {
			found = found || strings.HasPrefix(line, a[1]+"{") && hasAll(line, labels)
		}
		if !found {
			t.Errorf("no %s in\n%s", a[0], w.Body)
		}
	}
}

func hasAll(line string, parts []string) bool {
	for _, p := range parts {
		if !strings.Contains(line, p) {
			return false
		}
	}
	return true
}
