package crate

import (
	"slices"
	"strings"
	"unicode"
)

// maxFeatureName bounds what nothing else bounds, in bytes.
const maxFeatureName = 4 * MaxNameLen

// isFeature reports whether s may name a feature, by cargo's rule: a character that may begin an identifier in Unicode's
// annex 31 (XID_Start), a digit or '_'; then such as may go on with one (XID_Continue), '-', '+' and '.'.
func isFeature(s string) bool {
	if s == "" || len(s) > maxFeatureName {
		return false
	}
	for i, r := range s {
		switch {
		case r == '_' || '0' <= r && r <= '9' || isXIDStart(r):
		case i > 0 && (r == '-' || r == '+' || r == '.' || isXIDContinue(r)):
		default:
			return false
		}
	}
	return true
}

// isDependencyFeature reports whether s may stand in a dependency's list of features: a feature, or one of a dependency's.
func isDependencyFeature(s string) bool {
	dep, feature, ok := strings.Cut(s, "/")
	if !ok {
		return isFeature(s)
	}
	return isFeature(strings.TrimSuffix(dep, "?")) && isFeature(feature)
}

// What XID leaves out of the identifiers of annex 31, so that an identifier stays one when it is normalised (NFKC). Both
// leave out xidNeither; xidNotFirst may go on with an identifier.
var (
	xidNeither  = []rune{0x37a, 0x309b, 0x309c, 0xfc5e, 0xfc5f, 0xfc60, 0xfc61, 0xfc62, 0xfc63, 0xfdfa, 0xfdfb, 0xfe70, 0xfe72, 0xfe74, 0xfe76, 0xfe78, 0xfe7a, 0xfe7c, 0xfe7e}
	xidNotFirst = []rune{0xe33, 0xeb3, 0xff9e, 0xff9f}
)

func isXIDStart(r rune) bool {
	if r < 0x80 {
		return isLetter(byte(r))
	}
	return unicode.In(r, unicode.L, unicode.Nl, unicode.Other_ID_Start) && !isPattern(r) && !slices.Contains(xidNeither, r) && !slices.Contains(xidNotFirst, r)
}

func isXIDContinue(r rune) bool {
	return isXIDStart(r) || unicode.In(r, unicode.L, unicode.Nl, unicode.Other_ID_Start, unicode.Mn, unicode.Mc, unicode.Nd, unicode.Pc, unicode.Other_ID_Continue) &&
		!isPattern(r) && !slices.Contains(xidNeither, r)
}

func isPattern(r rune) bool {
	return unicode.In(r, unicode.Pattern_Syntax, unicode.Pattern_White_Space)
}

// readFeatures reads the object of features.
func (m *Metadata) readFeatures(r *jsonReader) error {
	m.Features = map[string][]string{}
	n := 0
	err := r.anyObject("features", func(name string) error {
		if n++; n > MaxFeatures {
			return r.skip()
		}
		var values []string
		err := r.texts("features."+clip(name), "values", MaxFeatures, &values)
		m.Features[name] = values
		return err
	})
	if n > MaxFeatures {
		r.wrong("features", "%d features, the limit is %d", n, MaxFeatures)
	}
	return err
}

// featureRules are what the values of features are held against: cargo takes an index entry that breaks them for invalid
// and passes over the version.
type featureRules struct {
	features map[string][]string
	optional map[string]bool // name in the manifest → whether any of its entries is optional
	explicit map[string]bool // dependencies that stand as dep:x somewhere, and so are no features by themselves
	used     map[string]bool // dependencies that a feature turns on, or turns on a feature of
}

func checkFeatures(p *problems, features map[string][]string, deps []Dependency) {
	rules := featureRules{features, map[string]bool{}, map[string]bool{}, map[string]bool{}}
	for _, d := range deps {
		rules.optional[d.TOMLName()] = rules.optional[d.TOMLName()] || d.Optional
	}
	for _, values := range features {
		for _, v := range values {
			if dep, ok := strings.CutPrefix(v, "dep:"); ok {
				rules.explicit[dep], rules.used[dep] = true, true
			} else if dep, _, ok := strings.Cut(v, "/"); ok {
				rules.used[strings.TrimSuffix(dep, "?")] = true
			}
		}
	}
	for _, name := range sortedKeys(features) {
		if !isFeature(name) {
			p.add("features", "invalid feature name %q: it may have letters and digits of any script, '_', and after the first also '-', '+', '.'", clip(name))
		}
		for _, v := range features[name] {
			if why := rules.check(v); why != "" {
				p.add("features", "%q includes %q, %s", clip(name), clip(v), why)
			}
		}
	}
	for _, dep := range sortedKeys(rules.optional) {
		if _, named := features[dep]; rules.optional[dep] && named && !rules.used[dep] {
			p.add("features", "%q hides the optional dependency of that name, which no feature includes; add %q to one", clip(dep), "dep:"+clip(dep))
		}
	}
}

// check says what is wrong with a value, or nothing.
func (r featureRules) check(v string) string {
	if dep, ok := strings.CutPrefix(v, "dep:"); ok {
		if !r.optional[dep] {
			return "which is no optional dependency"
		}
		return ""
	}
	if dep, feature, ok := strings.Cut(v, "/"); ok {
		isOptional, exists := r.optional[strings.TrimSuffix(dep, "?")]
		switch {
		case !exists:
			return "which is no feature of a dependency"
		case strings.HasSuffix(dep, "?") && !isOptional:
			return "whose '?' needs an optional dependency"
		case strings.Contains(feature, "/"):
			return "which has more than one '/'"
		case !isFeature(feature):
			return "whose part behind the '/' cannot be the name of a feature"
		}
		return ""
	}
	if _, exists := r.features[v]; !exists && (!r.optional[v] || r.explicit[v]) {
		return "which is neither a feature nor an optional dependency"
	}
	return ""
}
