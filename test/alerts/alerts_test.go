// Package alerts has Prometheus' promtool check the alerts, and evaluate them over made-up samples.
package alerts

import (
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"

	"github.com/crateyard/crateyard/test/debian"
)

// rules is what the Helm chart has, which lies there as Prometheus reads it. That it is what config/prometheus has, make verify sees to.
const rules = "../../charts/crateyard/generated/alerts.yaml"

func promtool(t *testing.T, args ...string) {
	t.Helper()
	dirs, err := debian.Unpack("prometheus")
	if err != nil {
		t.Fatal(err)
	}
	out, err := exec.CommandContext(t.Context(), filepath.Join(dirs["prometheus"], "usr/bin/promtool"), args...).CombinedOutput()
	if err != nil {
		t.Errorf("promtool %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

func TestRules(t *testing.T) {
	promtool(t, "check", "rules", "--lint=all", "--lint-fatal", rules)
}

// TestAlerts has each alert fire when it should, and not when it should not.
func TestAlerts(t *testing.T) {
	files, err := filepath.Glob("*.test.yaml")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	promtool(t, append([]string{"test", "rules"}, files...)...)

	fires, silent := map[string]bool{}, map[string]bool{}
	for _, file := range files {
		var tests struct {
			Tests []struct {
				Name string
				Expr []struct {
					Samples []struct{ Labels string } `json:"exp_samples"`
				} `json:"promql_expr_test"`
			}
		}
		read(t, file, &tests)
		for _, one := range tests.Tests {
			name, _, _ := strings.Cut(one.Name, ":")
			for _, e := range one.Expr {
				fired := len(e.Samples) > 0 && strings.Contains(e.Samples[0].Labels, `"`+name+`"`)
				fires[name], silent[name] = fires[name] || fired, silent[name] || !fired
			}
		}
	}
	var file struct {
		Groups []struct{ Rules []struct{ Alert string } }
	}
	read(t, rules, &file)
	all := map[string]bool{}
	for _, g := range file.Groups {
		for _, r := range g.Rules {
			all[r.Alert] = true
			if !fires[r.Alert] || !silent[r.Alert] {
				t.Errorf("%s: a test has it fire: %t, and one has it not: %t; both are to be", r.Alert, fires[r.Alert], silent[r.Alert])
			}
		}
	}
	for name := range maps.Keys(silent) {
		if !all[name] {
			t.Errorf("tests are about %q, and there are the alerts %q", name, slices.Sorted(maps.Keys(all)))
		}
	}
}

func read(t *testing.T, path string, into any) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err == nil {
		err = yaml.Unmarshal(text, into)
	}
	if err != nil {
		t.Fatalf("%s: %v", path, err)
	}
}
