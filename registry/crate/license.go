package crate

import (
	"fmt"
	"strings"
	"sync"

	"github.com/github/go-spdx/v2/spdxexp/spdxlicenses"
)

// spdx are the identifiers of the SPDX lists, in their exact spelling; deprecated ones count.
var spdx = sync.OnceValue(func() (lists struct{ licenses, exceptions map[string]bool }) {
	lists.licenses, lists.exceptions = map[string]bool{}, map[string]bool{}
	for _, ids := range [][]string{spdxlicenses.GetLicenses(), spdxlicenses.GetDeprecated()} {
		for _, id := range ids {
			lists.licenses[id] = true
		}
	}
	for _, id := range spdxlicenses.GetExceptions() {
		lists.exceptions[id] = true
	}
	return lists
})

// maxLicense bounds an expression, in bytes.
const maxLicense = 1000

// CheckLicense reports why s is no SPDX license expression that crates.io takes, or nil: identifiers of the SPDX list in
// their exact spelling, an optional '+' or WITH and an exception behind them, joined by AND, OR or the older '/', and
// parentheses.
func CheckLicense(s string) error {
	_, err := evaluateLicense(s, func(license, exception string) (bool, error) { return true, checkLicenseTerm(license, exception) })
	return err
}

// checkLicenseTerm looks up one license of an expression; exception is empty where there is no WITH.
func checkLicenseTerm(license, exception string) error {
	if !isLicenseRef(license) && !spdx().licenses[strings.TrimSuffix(license, "+")] {
		return fmt.Errorf("%q is no identifier of the SPDX list at https://spdx.org/licenses", clip(license))
	}
	if exception != "" && !spdx().exceptions[exception] {
		return fmt.Errorf("%q is no exception of the SPDX list at https://spdx.org/licenses/exceptions-index.html", clip(exception))
	}
	return nil
}

// isLicenseRef reports whether s names a license that the list does not have, by SPDX's grammar: LicenseRef-mine, or with the document that has it in
// front, DocumentRef-ours:LicenseRef-mine.
func isLicenseRef(s string) bool {
	if rest, ok := strings.CutPrefix(s, "DocumentRef-"); ok {
		document, license, ok := strings.Cut(rest, ":")
		if !ok || !isRefName(document) {
			return false
		}
		s = license
	}
	name, ok := strings.CutPrefix(s, "LicenseRef-")
	return ok && isRefName(name)
}

func isRefName(s string) bool {
	return s != "" && strings.Trim(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-.") == ""
}

// evaluateLicense says whether the expression holds where term says which of its licenses do. AND binds closer than OR.
func evaluateLicense(s string, term func(license, exception string) (bool, error)) (bool, error) {
	if len(s) > maxLicense {
		return false, fmt.Errorf("it has %d characters, the limit is %d", len(s), maxLicense)
	}
	p := licenseParser{words: strings.Fields(strings.NewReplacer("(", " ( ", ")", " ) ", "/", " OR ").Replace(s)), holds: term}
	ok, err := p.either()
	if err != nil {
		return false, err
	}
	if len(p.words) > 0 {
		return false, fmt.Errorf("%q stands where AND or OR is expected", clip(p.words[0]))
	}
	return ok, nil
}

// licenseParser reads the words of an expression, all of them: a mistake behind what decides is a mistake.
type licenseParser struct {
	words []string
	holds func(license, exception string) (bool, error)
}

func (p *licenseParser) next() string {
	if len(p.words) == 0 {
		return ""
	}
	word := p.words[0]
	p.words = p.words[1:]
	return word
}

func (p *licenseParser) nextIs(word string) bool {
	if len(p.words) == 0 || p.words[0] != word {
		return false
	}
	p.next()
	return true
}

func (p *licenseParser) either() (bool, error) {
	for some := false; ; {
		ok, err := p.both()
		if err != nil {
			return false, err
		}
		if some = some || ok; !p.nextIs("OR") {
			return some, nil
		}
	}
}

func (p *licenseParser) both() (bool, error) {
	for all := true; ; {
		ok, err := p.term()
		if err != nil {
			return false, err
		}
		if all = all && ok; !p.nextIs("AND") {
			return all, nil
		}
	}
}

func (p *licenseParser) term() (bool, error) {
	if p.nextIs("(") {
		ok, err := p.either()
		if err == nil && !p.nextIs(")") {
			err = fmt.Errorf("a parenthesis is not closed")
		}
		return ok, err
	}
	license := p.next()
	if license == "" || license == ")" {
		return false, fmt.Errorf("a license is missing")
	}
	if !p.nextIs("WITH") {
		return p.holds(license, "")
	}
	exception := p.next()
	if exception == "" || exception == ")" {
		return false, fmt.Errorf("an exception is missing after WITH")
	}
	return p.holds(license, exception)
}
