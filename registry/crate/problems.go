package crate

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// What an error may say of hostile input: enough for a person to mend it.
const (
	maxProblems    = 20
	maxProblemText = 400 // bytes
)

// problems gathers the rules that are broken, so that one failed publish is enough to mend them all.
type problems struct {
	list  []string
	more  int    // beyond maxProblems
	muted fields // fields of which nothing more is to be said
}

// add notes a broken rule of a field.
func (p *problems) add(field, format string, args ...any) {
	switch {
	case p.muted[field]:
	case len(p.list) == maxProblems:
		p.more++
	default:
		p.list = append(p.list, clipTo(field+": "+fmt.Sprintf(format, args...), maxProblemText))
	}
}

// line notes a broken rule that names no field.
func (p *problems) line(text string) {
	if len(p.list) == maxProblems {
		p.more++
		return
	}
	p.list = append(p.list, clipTo(text, maxProblemText))
}

// lines notes each line of an error.
func (p *problems) lines(err error) {
	for text := range strings.SplitSeq(err.Error(), "\n") {
		p.line(text)
	}
}

// before gives an error that ends the search, behind what was found until then.
func (p *problems) before(err error) error {
	if found := p.err(); found != nil {
		return fmt.Errorf("%w\n%w", found, err)
	}
	return err
}

// count tells whether something was found since the last time.
func (p *problems) count() int { return len(p.list) + p.more }

func (p *problems) wrap(field string, err error) {
	if err != nil {
		p.add(field, "%v", err)
	}
}

// mute keeps what would follow from fields that could not be read out of the list.
func (p *problems) mute(unread []string) {
	p.muted = fields{}
	for _, f := range unread {
		p.muted[f] = true
	}
}

// err has a line for each problem.
func (p *problems) err() error {
	switch {
	case len(p.list) == 0:
		return nil
	case p.more > 0:
		return fmt.Errorf("%s\n… and %d more", strings.Join(p.list, "\n"), p.more)
	}
	return errors.New(strings.Join(p.list, "\n"))
}

// clip keeps hostile input out of messages beyond what a person needs to recognise it.
func clip(s string) string { return clipTo(s, 80) }

func clipTo(s string, most int) string {
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + "…"
}

// sortedKeys makes the order of what is said of a map the same each time.
func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
