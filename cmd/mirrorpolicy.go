package cmd

import (
	"fmt"
	"strings"
	"time"

	"github.com/crateyard/crateyard/registry/wire"
)

// policyLines says what a policy keeps out, a rule a line, under the names that a spec has; none: it admits all.
func policyLines(p wire.MirrorPolicy) (lines []string) {
	add := func(key, value string) {
		if value != "" {
			lines = append(lines, key+": "+value)
		}
	}
	but := func(list []string) string {
		if len(list) == 0 {
			return ""
		}
		return ", but for " + strings.Join(list, ", ")
	}
	add("allow", strings.Join(p.Allow, ", "))
	add("deny", strings.Join(p.Deny, ", "))
	if p.MinimumAge != 0 {
		add("minimum_age", time.Duration(p.MinimumAge).String()+but(p.MinimumAgeExceptions))
	}
	if len(p.Licenses) > 0 {
		add("licenses", strings.Join(p.Licenses, ", ")+but(p.LicenseExceptions))
	}
	add("yanked", p.Yanked)
	if p.MaxCrateSize > 0 {
		add("max_crate_size", bytesText(p.MaxCrateSize))
	}
	if a := p.Advisories; a != nil {
		var known []string
		for _, e := range a.Exceptions {
			known = append(known, e.ID)
		}
		text := fmt.Sprintf("%s those of %s, severity %s and above", firstOf(a.Action, "Deny"), a.Source, firstOf(a.MinimumSeverity, "Low"))
		if a.Informational {
			text += ", informational ones too"
		}
		add("advisories", text+but(known))
	}
	return lines
}
