package controllers_test

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// alert is what an alert is made of, as Prometheus reads it.
type alert struct{ expr, lasts string }

var oneSpace = regexp.MustCompile(`\s+`)

// alertsOf gives the alerts of a PrometheusRule by name. Each has what the people who get it need.
func alertsOf(t *testing.T, u *unstructured.Unstructured) map[string]alert {
	t.Helper()
	alerts := map[string]alert{}
	groups, _, err := unstructured.NestedSlice(u.Object, "spec", "groups")
	if err != nil {
		t.Fatal(err)
	}
	for _, group := range groups {
		rules, _, err := unstructured.NestedSlice(group.(map[string]any), "rules")
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range rules {
			text := func(path ...string) string {
				s, _, err := unstructured.NestedString(r.(map[string]any), path...)
				if err != nil {
					t.Fatal(err)
				}
				return s
			}
			name, lasts := text("alert"), text("for")
			if _, twice := alerts[name]; twice || !strings.HasPrefix(name, "Crateyard") {
				t.Errorf("alert %q stands twice, or its name does not tell whose it is", name)
			}
			if d, err := time.ParseDuration(lasts); lasts != "" && (err != nil || d <= 0) {
				t.Errorf("%s: for: %s", name, lasts)
			}
			if severity := text("labels", "severity"); severity != "warning" && severity != "critical" {
				t.Errorf("%s: severity %q", name, severity)
			}
			if text("annotations", "summary") == "" || text("annotations", "description") == "" {
				t.Errorf("%s tells nothing", name)
			}
			page, section, _ := strings.Cut(strings.TrimPrefix(text("annotations", "runbook_url"), "https://github.com/crateyard/crateyard/blob/main/"), "#")
			if !slices.Contains(anchors(t, page), section) {
				t.Errorf("%s: %s has no section %s", name, page, section)
			}
			alerts[name] = alert{oneSpace.ReplaceAllString(text("expr"), " "), lasts}
		}
	}
	return alerts
}

// anchors gives the sections of a page as links name them.
func anchors(t *testing.T, page string) (list []string) {
	t.Helper()
	text, err := os.ReadFile("../" + page)
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range regexp.MustCompile(`(?m)^#+ (.*)$`).FindAllSubmatch(text, -1) {
		list = append(list, strings.ReplaceAll(regexp.MustCompile(`[^a-z0-9 -]`).ReplaceAllString(strings.ToLower(string(m[1])), ""), " ", "-"))
	}
	return list
}

// rule finds the PrometheusRule among objects.
func rule(t *testing.T, objects []*unstructured.Unstructured) *unstructured.Unstructured {
	t.Helper()
	i := slices.IndexFunc(objects, func(u *unstructured.Unstructured) bool { return u.GetKind() == "PrometheusRule" })
	if i < 0 {
		t.Fatal("no PrometheusRule")
	}
	return objects[i]
}

// TestAlerts holds the alerts of the chart, and those of the docs, against the file from which all come. That there are the metrics which they ask for,
// tests of the server see to: TestWhatToWatch and TestMirrorAlerts.
func TestAlerts(t *testing.T) {
	alerts := alertsOf(t, rule(t, kustomize(t, "../config/prometheus")))
	if len(alerts) < 13 {
		t.Errorf("only %d alerts", len(alerts))
	}
	if diff := cmp.Diff(alerts, alertsOf(t, rule(t, helm(t, "crateyard-system", "--set", "metrics.prometheusRule.enabled=true"))), cmp.AllowUnexported(alert{})); diff != "" {
		t.Errorf("the chart has other alerts (hack/generate.sh):\n%s", diff)
	}

	told := map[string]alert{}
	heading := regexp.MustCompile(`^# (Crateyard\w+)(?: \(for: (\w+)\))?: `)
	for _, page := range []string{"operations", "mirroring"} {
		text, err := os.ReadFile("../docs/" + page + ".md")
		if err != nil {
			t.Fatal(err)
		}
		for _, block := range regexp.MustCompile("(?s)\n```promql\n(.*?)\n```").FindAllSubmatch(text, -1) {
			for _, entry := range strings.Split(string(block[1]), "\n\n") {
				comment, expr, _ := strings.Cut(entry, "\n")
				if m := heading.FindStringSubmatch(comment); m != nil {
					told[m[1]] = alert{oneSpace.ReplaceAllString(expr, " "), m[2]}
				}
			}
		}
	}
	if diff := cmp.Diff(alerts, told, cmp.AllowUnexported(alert{})); diff != "" {
		t.Errorf("the docs tell of other alerts:\n%s", diff)
	}
}

// Alerts of the chart are off, and those that are not wanted are left out.
func TestChartAlerts(t *testing.T) {
	if slices.ContainsFunc(helm(t, "default"), func(u *unstructured.Unstructured) bool { return u.GetKind() == "PrometheusRule" }) {
		t.Error("there is a PrometheusRule that nobody asked for")
	}
	u := rule(t, helm(t, "default", "--set", "metrics.prometheusRule.enabled=true,metrics.prometheusRule.labels.release=prometheus,metrics.prometheusRule.disabled={CrateyardBackupTooOld,CrateyardS3Fails}"))
	alerts := alertsOf(t, u)
	for _, name := range []string{"CrateyardBackupTooOld", "CrateyardS3Fails"} {
		if _, there := alerts[name]; there {
			t.Errorf("%s is there", name)
		}
	}
	if len(alerts) < 11 || u.GetLabels()["release"] != "prometheus" {
		t.Errorf("%d alerts, labels %v", len(alerts), u.GetLabels())
	}
}
