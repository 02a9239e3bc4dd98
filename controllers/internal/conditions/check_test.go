package conditions_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/crateyard/crateyard/api/v1alpha1"
	"github.com/crateyard/crateyard/controllers/internal/conditions"
	"github.com/crateyard/crateyard/controllers/internal/outcome"
)

func TestCheckFinds(t *testing.T) {
	ready := conditions.True(v1alpha1.ReadyCondition, "Fine", "")
	not := conditions.False(v1alpha1.ReadyCondition, "Bad", "bad")
	working := conditions.True(v1alpha1.ReconcilingCondition, "Progressing", "")
	stalled := conditions.True(v1alpha1.StalledCondition, "Bad", "")
	for want, list := range map[string][]metav1.Condition{
		"":                       {ready},
		"Ready is missing":       {working},
		"both Reconciling":       {not, working, stalled},
		"beside Reconciling":     {ready, working},
		"stands twice":           {ready, ready},
		"not CamelCase":          {conditions.True(v1alpha1.ReadyCondition, "it works", "")},
		"says nothing":           {conditions.False(v1alpha1.ReadyCondition, "Bad", ""), working},
		"must be true or absent": {not, conditions.False(v1alpha1.StalledCondition, "No", "no")},
	} {
		r := &v1alpha1.Registry{ObjectMeta: metav1.ObjectMeta{Generation: 1}}
		r.SetConditions(conditions.Merge(nil, list, 1, time.Now()))
		broken := strings.Join(conditions.Check(r, 1), "; ")
		if (want == "") != (broken == "") || !strings.Contains(broken, want) {
			t.Errorf("Check = %q, want %q", broken, want)
		}
	}
}

func TestSummaryKeepsTheRules(t *testing.T) {
	failing := conditions.False(v1alpha1.WorkloadReadyCondition, "Starting", "starting")
	for name, list := range map[string][]metav1.Condition{
		"ready":   conditions.Summary(nil, nil, "works"),
		"working": conditions.Summary(nil, &failing, ""),
		"stalled": conditions.Summary(outcome.Stall("NameTaken", "taken"), nil, ""),
		"waiting": conditions.Summary(outcome.WaitFor(0, "Missing", "missing"), nil, ""),
		"failed":  conditions.Summary(errors.New("no route"), nil, ""),
	} {
		r := &v1alpha1.Registry{ObjectMeta: metav1.ObjectMeta{Generation: 3}}
		r.SetConditions(conditions.Merge(nil, list, 3, time.Now()))
		if broken := conditions.Check(r, 3); len(broken) > 0 {
			t.Errorf("%s: %v", name, broken)
		}
	}
}

func TestMergeKeepsTransitionTimes(t *testing.T) {
	t0 := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	was := conditions.Merge(nil, []metav1.Condition{conditions.False("Ready", "A", "a"), conditions.True("Gone", "A", "a")}, 1, t0)
	now := conditions.Merge(was, []metav1.Condition{conditions.False("Ready", "B", "b"), conditions.True("New", "B", "b")}, 2, t0.Add(time.Hour))
	if len(now) != 2 || !now[0].LastTransitionTime.Time.Equal(t0) || !now[1].LastTransitionTime.Time.Equal(t0.Add(time.Hour)) || now[0].ObservedGeneration != 2 {
		t.Errorf("merged = %+v", now)
	}
}

func TestMessagesHoldNoSecrets(t *testing.T) {
	got := outcome.Message("token cy_AbCdEfGhIjKlMnOp-_ at https://me:pw@host/x\n  next " + strings.Repeat("long ", 1000))
	if strings.Contains(got, "AbCdEf") || strings.Contains(got, "pw@") || strings.Contains(got, "\n") || len(got) > 1100 {
		t.Errorf("Message = %q", got)
	}
	if again := outcome.Message(got); again != got {
		t.Error("cleaning twice is not cleaning once")
	}
}
