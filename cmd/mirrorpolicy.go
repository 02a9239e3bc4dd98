package cmd

import (
	"fmt"
	"strings"
	"time"

	"github.com/crateyard/crateyard/registry/crate"
	"github.com/crateyard/crateyard/registry/wire"
)

// carets says of what a policy lets in by a whole version without an operator that it is more than that version: later ones, which nobody has looked at, too.
func carets(p wire.MirrorPolicy) (texts []string) {
	for _, list := range []struct {
		key      string
		patterns []string
	}{{"allow", p.Allow}, {"minimum_age_exceptions", p.MinimumAgeExceptions}, {"license_exceptions", p.LicenseExceptions}} {
		for _, pattern := range list.patterns {
			name, req, _ := strings.Cut(pattern, "@")
			if req = strings.TrimSpace(req); isVersion(req) {
				texts = append(texts, fmt.Sprintf("policy.%s: %s means ^%s, so later versions, too; %s@=%s is that one alone", list.key, pattern, req, name, req))
			}
		}
	}
	return texts
}

func isVersion(text string) bool {
	_, err := crate.ParseVersion(text)
	return err == nil
}

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
		add("minimum_age", plainDuration(time.Duration(p.MinimumAge))+but(p.MinimumAgeExceptions))
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
