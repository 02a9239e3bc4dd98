package publish

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/crateyard/crateyard/registry/fault"
)

// violations are the rules that an upload breaks, a line each. All of them are named at once, so that one failed publish is
// enough to mend them.
type violations []string

// note adds what an error says, line by line, if it is about what was uploaded. It reports whether it was.
func (v *violations) note(err error) bool {
	fe, ok := errors.AsType[*fault.Error](err)
	if !ok || fe.Kind != fault.Invalid {
		return false
	}
	v.add(slices.Collect(strings.SplitSeq(fe.Detail, "\n")))
	return true
}

// noteTooLarge adds that an archive is too large to be read; it reports whether that is what the error says. Alone it is no violation, but an
// answer of its own.
func (v *violations) noteTooLarge(err error) bool {
	fe, ok := errors.AsType[*fault.Error](err)
	if !ok || fe.Kind != fault.TooLarge {
		return false
	}
	v.add([]string{fe.Detail})
	return true
}

// add adds lines that are not there yet.
func (v *violations) add(lines []string) {
	for _, line := range lines {
		if !slices.Contains(*v, line) {
			*v = append(*v, line)
		}
	}
}

// refuseBeside makes one error of all and of one that says that name or version is taken, which may be nil. That alone is a Conflict, which raising
// the version mends. With more it is a refusal like others: the upload has to change, and a tool that takes a Conflict for "it is there already,
// all is well" is not to pass over the rest.
func (v violations) refuseBeside(taken *fault.Error) error {
	switch {
	case taken == nil:
		return v.refuse()
	case len(v) == 0:
		return taken
	}
	return append(violations{taken.Detail}, v...).refuse()
}

// mostRefused is how many lines a refusal has at most.
const mostRefused = 40

// refuse makes one error of all.
func (v violations) refuse() error {
	if len(v) == 0 {
		return nil
	}
	if more := len(v) - mostRefused; more > 0 {
		v = append(v[:mostRefused:mostRefused], fmt.Sprintf("… and %d more", more))
	}
	return fault.New(fault.Invalid, "%s", strings.Join(v, "\n"))
}
