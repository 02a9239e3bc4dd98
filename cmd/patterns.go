package cmd

import "strings"

// patterns is a flag for patterns of crates, several with commas between them or the flag several times. A comma within a requirement, as in time@>=0.2, <0.3, is not
// one between patterns: what follows that begins with an operator or a number, and a pattern with the letter of a name or a star.
type patterns []string

// Set adds patterns; an empty text has none.
func (p *patterns) Set(text string) error {
	if text == "" {
		return nil
	}
	for i, part := range strings.Split(text, ",") {
		part = strings.TrimSpace(part)
		if last := len(*p) - 1; i > 0 && strings.Contains((*p)[last], "@") && goesOn(part) {
			(*p)[last] += ", " + part
			continue
		}
		*p = append(*p, part)
	}
	return nil
}

// goesOn reports whether the text behind a comma belongs to the requirement before it.
func goesOn(part string) bool {
	return part != "" && strings.ContainsRune("<>=^~0123456789", rune(part[0]))
}

// String writes the patterns.
func (p *patterns) String() string { return strings.Join(*p, ",") }

// Type is what --help calls the value.
func (p *patterns) Type() string { return "patterns" }
