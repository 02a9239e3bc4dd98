package plan

import (
	"fmt"
	"strings"
)

// OnlyYanked is in the reason of a failure where all that a requirement takes is yanked.
const OnlyYanked = "takes only what is yanked"

// maxNamed is how many versions a reason names.
const maxNamed = 5

// noMatch says for people why nothing of a crate is taken by a requirement, or by one that asks for features.
func (r *record) noMatch(req *requirement, features []string) string {
	if r.problem != "" {
		return r.problem
	}
	var yanked, unreadable, lacking, others, previews []string
	for i := range r.versions {
		v := &r.versions[i]
		switch matches := req.Matches(v.Version); {
		case matches && v.choosable() && !v.has(features):
			lacking = append(lacking, v.String())
		case matches && !v.readable:
			unreadable = append(unreadable, v.String())
		case matches:
			yanked = append(yanked, v.String())
		case v.choosable() && v.Pre != "":
			previews = append(previews, v.String())
		case v.choosable():
			others = append(others, v.String())
		}
	}
	switch {
	case len(lacking) > 0:
		return fmt.Sprintf("no version that %s takes has the features %s", req.text, strings.Join(features, ", "))
	case len(yanked) > 0:
		return fmt.Sprintf("%s %s: %s; a lockfile can still pin it", req.text, OnlyYanked, some(yanked))
	case len(unreadable) > 0:
		return fmt.Sprintf("%s takes only what cargo cannot read in the index: %s", req.text, some(unreadable))
	case len(others) > 0:
		return fmt.Sprintf("%s takes no version; upstream has %s", req.text, some(others))
	case len(previews) > 0:
		return fmt.Sprintf("%s takes no version; upstream has only pre-releases, %s, and a requirement takes one when it names one, such as %s", req.text, some(previews), previews[0])
	}
	return fmt.Sprintf("%s takes no version; all that upstream has is yanked", req.text)
}

func some(versions []string) string {
	if more := len(versions) - maxNamed; more > 0 {
		return fmt.Sprintf("%s and %d more", strings.Join(versions[:maxNamed], ", "), more)
	}
	return strings.Join(versions, ", ")
}
