package crate

import (
	"fmt"
	"strings"
)

// LicenseSet is a set of licenses that somebody admits. The zero value is not usable: make it as LicenseSet{}.
type LicenseSet map[string]bool

// Add admits a license: an identifier of the SPDX list in its exact spelling, or one with '+', or one WITH an exception. The
// error says what is wrong with it.
func (s LicenseSet) Add(license string) error {
	words := strings.Fields(license)
	if len(words) == 0 {
		return fmt.Errorf("it is empty")
	}
	if strings.ContainsAny(license, "()/") || len(words) != 1 && (len(words) != 3 || words[1] != "WITH") {
		return fmt.Errorf("it must be one license: list the others as entries of their own")
	}
	exception := ""
	if len(words) == 3 {
		exception = words[2]
	}
	if err := checkLicenseTerm(words[0], exception); err != nil {
		if exact := sameButForCase(words[0]); exact != "" {
			return fmt.Errorf("%w; it is spelled %s", err, exact)
		}
		return err
	}
	s[licenseKey(words[0], exception)] = true
	return nil
}

func sameButForCase(license string) string {
	for id := range spdx().licenses {
		if strings.EqualFold(id, license) {
			return id
		}
	}
	return ""
}

// Satisfies reports whether the expression can be satisfied with licenses of the set alone: of licenses that OR joins one is
// enough, of those that AND joins all are needed. An error says why the text is no expression; a license that the SPDX list
// does not have is none of the set, and no error.
//
// A license is satisfied by the same license: GPL-2.0 is an older name of GPL-2.0-only, GPL-2.0+ of GPL-2.0-or-later. What may
// be used under "this version or later" (X-or-later, X+) may be used under X. What comes WITH an exception may be
// used without it, so the license alone is enough; a set that names license and exception admits only both together.
func (s LicenseSet) Satisfies(expression string) (bool, error) {
	return evaluateLicense(expression, func(license, exception string) (bool, error) {
		return s.has(license, "") || exception != "" && s.has(license, exception), nil
	})
}

func (s LicenseSet) has(license, exception string) bool {
	if s[licenseKey(license, exception)] {
		return true
	}
	if stem, ok := strings.CutSuffix(license, "-or-later"); ok {
		return s[licenseKey(stem+"-only", exception)]
	}
	stem, ok := strings.CutSuffix(license, "+")
	return ok && s[licenseKey(stem, exception)]
}

// licenseKey gives a license one name: the GNU licenses have had several.
func licenseKey(license, exception string) string {
	stem, later := strings.CutSuffix(license, "+")
	switch {
	case !spdx().licenses[stem+"-only"]:
	case later:
		license = stem + "-or-later"
	default:
		license = stem + "-only"
	}
	if exception != "" {
		license += " WITH " + exception
	}
	return license
}
