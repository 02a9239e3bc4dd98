package registryuser

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/crateyard/crateyard/api/v1alpha1"
	"github.com/crateyard/crateyard/controllers/internal/names"
	"github.com/crateyard/crateyard/registry/wire"
)

var t0 = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

const day = 24 * time.Hour

// holding is a Secret with token 5, issued at t0.
func holding(lives time.Duration) *corev1.Secret {
	s := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Annotations: map[string]string{
		names.TokenIDAnnotation: "5", names.IssuedAtAnnotation: t0.Format(time.RFC3339), names.DigestAnnotation: digest("cy_x"),
	}}, Data: map[string][]byte{"token": []byte("cy_x")}}
	if lives > 0 {
		s.Annotations[names.ExpiresAtAnnotation] = t0.Add(lives).Format(time.RFC3339)
	}
	return s
}

func edited() *corev1.Secret {
	s := holding(90 * day)
	s.Data["token"] = []byte("cy_y")
	return s
}

func TestDecide(t *testing.T) {
	five := wire.Token{ID: 5}
	end := t0.Add(10 * time.Hour)
	until := func(lives time.Duration) []wire.Token {
		at := t0.Add(lives)
		return []wire.Token{{ID: 5, ExpiresAt: &at}}
	}
	for _, tt := range []struct {
		name     string
		spec     v1alpha1.TokenSpec
		secret   *corev1.Secret
		listed   []wire.Token
		at       time.Duration // since t0
		issue    string
		revoke   []int64
		retiring []int64
	}{
		{name: "never made", issue: "Secret is missing"},
		{name: "edited", secret: edited(), listed: []wire.Token{five}, issue: "Secret was edited"},
		{name: "says that it ends later", secret: holding(90 * day), listed: until(80 * day), issue: "Secret was edited"},
		{name: "says that it never ends", secret: holding(0), listed: until(80 * day), issue: "Secret was edited"},
		{name: "says that it ends", secret: holding(90 * day), listed: []wire.Token{five}, issue: "Secret was edited"},
		{name: "for ever", secret: holding(0), listed: []wire.Token{five}, at: 10000 * day},
		{name: "fresh", spec: v1alpha1.TokenSpec{ExpiresAfter: "2160h"}, secret: holding(90 * day), listed: until(90 * day), at: 82 * day},
		{name: "due", spec: v1alpha1.TokenSpec{ExpiresAfter: "2160h"}, secret: holding(90 * day), listed: until(90 * day), at: 83 * day, issue: "due for rotation"},
		{name: "due after a third", spec: v1alpha1.TokenSpec{ExpiresAfter: "3h"}, secret: holding(3 * time.Hour), listed: until(3 * time.Hour), at: 2 * time.Hour, issue: "due for rotation"},
		{name: "due as it says", spec: v1alpha1.TokenSpec{ExpiresAfter: "3h", RotateBefore: "5m"}, secret: holding(3 * time.Hour), listed: until(3 * time.Hour), at: 2 * time.Hour},
		{name: "shall end", spec: v1alpha1.TokenSpec{ExpiresAfter: "2160h"}, secret: holding(0), listed: []wire.Token{five}, issue: "lifetime changed"},
		{name: "shall not end", secret: holding(90 * day), listed: until(90 * day), issue: "lifetime changed"},
		{name: "shall end sooner", spec: v1alpha1.TokenSpec{ExpiresAfter: "240h"}, secret: holding(90 * day), listed: until(90 * day), issue: "lifetime changed"},
		{name: "shall end later", spec: v1alpha1.TokenSpec{ExpiresAfter: "4320h"}, secret: holding(90 * day), listed: until(90 * day), at: day},
		{name: "unknown there", secret: holding(0), listed: []wire.Token{{ID: 4}}, issue: "does not know it"},
		{name: "scopes", spec: v1alpha1.TokenSpec{Scopes: []v1alpha1.Scope{"yank"}}, secret: holding(0), listed: []wire.Token{five}, issue: "scopes or crates"},
		{name: "crates", spec: v1alpha1.TokenSpec{Crates: []v1alpha1.CratePattern{"a-*"}}, secret: holding(0), listed: []wire.Token{five}, issue: "scopes or crates"},
		{name: "old one retires", secret: holding(0), listed: []wire.Token{{ID: 4}, five}, at: day - time.Second, retiring: []int64{4}},
		{name: "old one is done", secret: holding(0), listed: []wire.Token{{ID: 4}, five}, at: day, revoke: []int64{4}},
		{name: "old one ended", secret: holding(0), listed: []wire.Token{{ID: 4, ExpiresAt: &end}, five}, at: 10 * time.Hour, revoke: []int64{4}},
		{name: "rotated more often than the grace period", secret: holding(0), at: time.Hour, revoke: []int64{2}, retiring: []int64{3, 4},
			listed: []wire.Token{{ID: 2}, {ID: 3, CreatedAt: t0.Add(-24 * time.Hour)}, {ID: 4, CreatedAt: t0.Add(-12 * time.Hour)}, five}},
		{name: "no grace", spec: v1alpha1.TokenSpec{GracePeriod: "0s"}, secret: holding(0), listed: []wire.Token{{ID: 4}, five}, revoke: []int64{4}},
		{name: "younger one that no Secret holds", secret: holding(0), listed: []wire.Token{five, {ID: 6}}, revoke: []int64{6}},
		{name: "old one may do more", spec: v1alpha1.TokenSpec{Scopes: []v1alpha1.Scope{"yank"}}, secret: holding(0),
			listed: []wire.Token{{ID: 3, Scopes: []string{"yank"}}, {ID: 4, CreatedAt: t0.Add(-time.Hour)}, {ID: 5, Scopes: []string{"yank"}}}, at: time.Hour, retiring: []int64{3}, revoke: []int64{4}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			life, err := parseLifetime(tt.spec)
			if err != nil {
				t.Fatal(err)
			}
			d := decide(input{spec: tt.spec, life: life, secret: tt.secret, listed: tt.listed, now: t0.Add(tt.at)})
			if (tt.issue == "") != (d.issue == "") || !strings.Contains(d.issue, tt.issue) {
				t.Errorf("issue = %q, want %q", d.issue, tt.issue)
			}
			var retiring []int64
			for _, r := range d.retiring {
				retiring = append(retiring, r.ID)
			}
			if !slices.Equal(d.revoke, tt.revoke) || !slices.Equal(retiring, tt.retiring) {
				t.Errorf("revoke %v, retiring %v; want %v, %v", d.revoke, retiring, tt.revoke, tt.retiring)
			}
		})
	}
}

func TestDifference(t *testing.T) {
	have := wire.User{Name: "ci", Role: "publisher", Groups: []string{"b", "a"}}
	for _, tt := range []struct {
		name string
		want wire.CreateUser
		sent string
		said string
	}{
		{"nothing", wire.CreateUser{Role: "publisher", Groups: []string{"a", "b"}}, "{}", ""},
		{"role", wire.CreateUser{Role: "reader", Groups: []string{"a", "b"}}, `{"role":"reader"}`, "role publisher → reader"},
		{"suspension", wire.CreateUser{Role: "publisher", Suspended: true, Groups: []string{"a", "b"}}, `{"suspended":true}`, "suspended false → true"},
		{"fewer groups", wire.CreateUser{Role: "publisher", Groups: []string{"a"}}, `{"groups":["a"]}`, "groups [b a] → [a]"},
		{"no group", wire.CreateUser{Role: "publisher"}, `{"groups":[]}`, "groups [b a] → []"},
		{"claims", wire.CreateUser{Role: "publisher", Groups: []string{"a", "b"}, Claims: []string{"x-*"}}, `{"claims":["x-*"]}`, "claims [] → [x-*]"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			change, said := difference(have, tt.want)
			sent, err := json.Marshal(change)
			if err != nil || string(sent) != tt.sent || strings.Join(said, ", ") != tt.said {
				t.Errorf("sent %s (%v), said %q; want %s, %q", sent, err, said, tt.sent, tt.said)
			}
		})
	}
}
