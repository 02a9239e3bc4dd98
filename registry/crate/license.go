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
	if len(s) > maxLicense {
		return fmt.Errorf("it has %d characters, the limit is %d", len(s), maxLicense)
	}
	p := licenseParser{words: strings.Fields(strings.NewReplacer("(", " ( ", ")", " ) ", "/", " OR ").Replace(s))}
	if err := p.expression(); err != nil {
		return err
	}
	if len(p.words) > 0 {
		return fmt.Errorf("%q stands where AND or OR is expected", clip(p.words[0]))
	}
	return nil
}

type licenseParser struct{ words []string }

func (p *licenseParser) next() string {
	if len(p.words) == 0 {
		return ""
	}
	word := p.words[0]
	p.words = p.words[1:]
	return word
}

func (p *licenseParser) nextIs(words ...string) bool {
	for _, w := range words {
		if len(p.words) > 0 && p.words[0] == w {
			p.next()
			return true
		}
	}
	return false
}

func (p *licenseParser) expression() error {
	for {
		if err := p.term(); err != nil {
			return err
		}
		if !p.nextIs("AND", "OR") {
			return nil
		}
	}
}

func (p *licenseParser) term() error {
	if p.nextIs("(") {
		if err := p.expression(); err != nil {
			return err
		}
		if !p.nextIs(")") {
			return fmt.Errorf("a parenthesis is not closed")
		}
		return nil
	}
	word := p.next()
	switch id := strings.TrimSuffix(word, "+"); {
	case word == "" || word == ")":
		return fmt.Errorf("a license is missing")
	case strings.HasPrefix(word, "LicenseRef-"), strings.HasPrefix(word, "DocumentRef-"):
	case !spdx().licenses[id]:
		return fmt.Errorf("%q is no identifier of the SPDX list at https://spdx.org/licenses", clip(word))
	}
	if !p.nextIs("WITH") {
		return nil
	}
	if id := p.next(); !spdx().exceptions[id] {
		return fmt.Errorf("%q is no exception of the SPDX list at https://spdx.org/licenses/exceptions-index.html", clip(id))
	}
	return nil
}
