package mirror

import (
	"strings"

	"github.com/crateyard/crateyard/registry/crate"
	"github.com/crateyard/crateyard/registry/mirror/plan"
	"github.com/crateyard/crateyard/registry/mirror/policy"
)

// orDenied is why something wanted cannot be cached: where it is that the policy denies what would do, that is said, which looks yanked to a sync, as to cargo.
func (m *Mirror) orDenied(f plan.Failure) string {
	e := m.cached(indexKey(f.Crate))
	req, err := crate.ParseRequirement(f.Version)
	if e == nil || err != nil || !strings.Contains(f.Reason, plan.OnlyYanked) {
		return f.Reason
	}
	var newest crate.Version
	var denial *policy.Denial
	for num, d := range e.denied {
		v, err := crate.ParseVersion(num)
		if err == nil && d.Rule != policyPinned && req.Matches(v) && (denial == nil || v.Compare(newest) > 0) {
			newest, denial = v, &d
		}
	}
	if denial == nil {
		return f.Reason
	}
	return f.Version + " takes only what is denied or yanked (rule " + denial.Rule + "): " + denial.Reason
}
