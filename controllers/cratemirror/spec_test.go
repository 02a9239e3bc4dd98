package cratemirror

import (
	"slices"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/crateyard/crateyard/api/v1alpha1"
	"github.com/crateyard/crateyard/registry/wire"
)

func TestWireSpec(t *testing.T) {
	size := resource.MustParse("50Gi")
	spec := v1alpha1.CrateMirrorSpec{
		Upstream: v1alpha1.MirrorUpstreamSpec{Index: "sparse+https://a.example/", MaxAge: "10m", Contact: "me", Concurrency: 4, RequestsPerSecond: 5},
		Mode:     v1alpha1.MirrorPinned,
		Crates:   []v1alpha1.MirroredCrate{{Name: "serde", Versions: "^1", Latest: 3}},
		Schedule: "0 3 * * *", RustVersion: "1.85", Suspend: true,
		Policy:    v1alpha1.MirrorPolicySpec{Deny: []v1alpha1.MirrorPattern{"evil-*"}, MinimumAge: "72h", MaxCrateSize: &size, Advisories: &v1alpha1.MirrorAdvisoriesSpec{Source: "/db", Exceptions: []v1alpha1.AdvisoryException{{ID: "A", Reason: "b"}}}},
		Retention: v1alpha1.MirrorRetentionSpec{MaxSize: &size, UnusedFor: "2160h", KeepPinned: true},
	}
	got, err := wireSpec(&spec, "PEM")
	if err != nil {
		t.Fatal(err)
	}
	a := got.Policy.Advisories
	if got.Upstream.MaxAge != wire.Duration(10*time.Minute) || got.Upstream.CABundle != "PEM" || got.Crates[0] != (wire.MirrorCrate{Name: "serde", Versions: "^1", Latest: 3}) ||
		got.Policy.MinimumAge != wire.Duration(72*time.Hour) || got.Policy.MaxCrateSize != 50<<30 || got.Retention != (wire.MirrorRetention{MaxSize: 50 << 30, UnusedFor: wire.Duration(2160 * time.Hour), KeepPinned: true}) ||
		got.RustVersion != "1.85" || !got.Suspend || a == nil || a.Exceptions[0] != (wire.MirrorException{ID: "A", Reason: "b"}) {
		t.Errorf("spec = %+v", got)
	}
	spec.Policy.MinimumAge = "3d"
	if _, err := wireSpec(&spec, ""); err == nil || err.Error() != `spec.policy.minimumAge "3d" is no duration such as 72h` {
		t.Errorf("error = %v", err)
	}
}

func TestChangedFields(t *testing.T) {
	was := wire.MirrorSpec{Mode: "OnDemand", Schedule: "0 3 * * *", Policy: wire.MirrorPolicy{Deny: []string{"a"}, MinimumAge: wire.Duration(time.Hour)}}
	now := wire.MirrorSpec{Mode: "Pinned", Policy: wire.MirrorPolicy{Deny: []string{"b"}}, Upstream: wire.MirrorUpstream{CABundle: "x"}}
	want := []string{"mode", "policy.deny", "policy.minimumAge", "schedule", "upstream.caBundle"}
	if got := changedFields(was, now); !slices.Equal(got, want) {
		t.Errorf("changed: %v, want %v", got, want)
	}
	if got := changedFields(now, now); len(got) != 0 {
		t.Errorf("changed: %v", got)
	}
}

func TestRefusal(t *testing.T) {
	r := readRefusal("upstream.max_age 0s: it must be 1s to 30d\nminimum_age_exceptions[0] \"a_b\": it excepts nothing\ncrates[3] (serde_json): no\n\nsomething else")
	if want := `spec.upstream.maxAge 0s: it must be 1s to 30d; spec.policy.minimumAgeExceptions[0] "a_b": it excepts nothing; spec.crates[3] (serde_json): no; something else`; r.String() != want {
		t.Errorf("refusal = %s\nwant      %s", r, want)
	}
	if p := r.ofPolicy(); len(p) != 1 || r.reason() != v1alpha1.ReasonInvalidSpec || p.reason() != v1alpha1.ReasonPolicyInvalid {
		t.Errorf("of the policy: %v; reasons %s, %s", p, r.reason(), p.reason())
	}
}

func TestLockfileNames(t *testing.T) {
	long := strings.Repeat("a", 253)
	seen := map[string]lockfile{}
	for _, l := range []lockfile{
		{configMap: "a", key: "b.c"}, {configMap: "a.b", key: "c"}, {configMap: "a", key: "_c"}, {configMap: "a", key: "c"},
		{configMap: long, key: "b"}, {configMap: long, key: "c"}, {configMap: long, key: long},
	} {
		name := l.nameAt()
		if other, taken := seen[name]; taken || len(name) > maxLockfileName || !strings.HasPrefix(name, "kubernetes_") {
			t.Errorf("%v has the name %s, as has %v", l, name, other)
		}
		seen[name] = l
	}
}

func TestSize(t *testing.T) {
	for n, want := range map[int64]string{0: "0", 1023: "1023", 1024: "1.0Ki", 1 << 20: "1.0Mi", 1<<20 - 1: "1.0Mi", 1300 << 20: "1.3Gi", 5 << 50: "5.0Pi"} {
		if got := size(n); got != want {
			t.Errorf("size(%d) = %s, want %s", n, got, want)
		}
	}
}
