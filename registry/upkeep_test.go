package registry_test

import (
	"testing"
	"time"

	"github.com/crateyard/crateyard/registry"
)

// What a scrub found does not heal by a restart: the alert on it stays until a scrub finds nothing.
func TestProblemsOutliveRestart(t *testing.T) {
	y := open(t, nil)
	if err := y.stop(); err != nil {
		t.Fatal(err)
	}
	c := registry.DefaultConfig()
	c.Data = y.data
	b, err := registry.OpenBackends(t.Context(), &c, registry.BackendOptions{Existing: true})
	if err != nil {
		t.Fatal(err)
	}
	at := time.Now().Add(-time.Hour).UTC().Truncate(time.Second)
	note := `{"name":"scrub","lastSucceeded":"` + at.Format(time.RFC3339) + `","last":{"Items":9,"Problems":2}}`
	if err := b.Catalog.SetNote(t.Context(), "task/scrub", note); err != nil {
		t.Fatal(err)
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	y = openIn(t, y.data, nil)
	for name, want := range map[string]float64{"problems": 2, "items": 9, "success_timestamp_seconds": float64(at.Unix())} {
		eventually(t, name, func() bool {
			values, _ := y.metrics()
			return values["crateyard_task_last_"+name+`{task="scrub"}`] == want
		})
	}
	if a := y.asked("/readyz"); a.status != 200 || a.body != "ready\ncrates: the last scrub found 2 damaged or missing archives; run `crateyard check`\n" {
		t.Errorf("readiness: %d %s", a.status, a.body)
	}
}
