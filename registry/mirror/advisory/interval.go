package advisory

import (
	"fmt"
	"math"
	"strings"

	"github.com/crateyard/crateyard/registry/crate"
)

// interval is a requirement as RustSec means it. A bound that is nil is none.
type interval struct {
	low, high         *crate.Version
	lowOpen, highOpen bool // the bound itself is outside
}

func (i interval) takes(v crate.Version) bool {
	if i.low != nil {
		if c := v.Compare(*i.low); c < 0 || c == 0 && i.lowOpen {
			return false
		}
	}
	if i.high != nil {
		if c := v.Compare(*i.high); c > 0 || c == 0 && i.highOpen {
			return false
		}
	}
	return true
}

// operators in the order in which they are tried.
var operators = []string{">=", "<=", ">", "<", "=", "~", "^"}

func parseInterval(s string) (i interval, err error) {
	if r, err := crate.ParseRequirement(s); err != nil || r.Any() {
		return i, err
	}
	parts := strings.Split(s, ",")
	for _, part := range parts {
		part, op := strings.TrimSpace(part), "^"
		for _, o := range operators {
			if rest, ok := strings.CutPrefix(part, o); ok {
				part, op = strings.TrimSpace(rest), o
				break
			}
		}
		v, given, err := parseBound(part)
		if err != nil {
			return i, err
		}
		switch {
		case op == ">" || op == ">=":
			if i.low != nil {
				return i, fmt.Errorf("%q has two lower bounds", s)
			}
			i.low, i.lowOpen = &v, op == ">"
		case op == "<" || op == "<=":
			if i.high != nil {
				return i, fmt.Errorf("%q has two upper bounds", s)
			}
			i.high, i.highOpen = &v, op == "<"
		case len(parts) > 1:
			return i, fmt.Errorf("%q: what is no bound must stand alone", s)
		case op == "=":
			i.low, i.high = &v, &v
		default:
			i.low, i.high, i.highOpen = &v, behind(v, op, given), true
		}
	}
	if i.low != nil && i.high != nil && (i.low.Compare(*i.high) > 0 || i.low.Compare(*i.high) == 0 && (i.lowOpen || i.highOpen)) {
		return i, fmt.Errorf("%q takes no version", s)
	}
	return i, nil
}

// parseBound reads a version that may leave out numbers, which are zero then; given says how many are there.
func parseBound(s string) (v crate.Version, given int, err error) {
	numbers, rest := s, ""
	if at := strings.IndexAny(s, "-+"); at >= 0 {
		numbers, rest = s[:at], s[at:]
	}
	given = strings.Count(numbers, ".") + 1
	for n := given; n < 3; n++ {
		numbers += ".0"
	}
	v, err = crate.ParseVersion(numbers + rest)
	return v, given, err
}

// behind is the lowest version above what ^v or ~v takes: the first pre-release of the next incompatible version. It is nil where
// there are no numbers above.
func behind(v crate.Version, op string, given int) *crate.Version {
	raise := 2 // how many numbers stay: the last of them is raised
	switch {
	case op == "~":
		raise = min(given, 2)
	case v.Major > 0 || given == 1:
		raise = 1
	case v.Minor == 0 && given == 3:
		raise = 3
	}
	numbers := [3]uint64{v.Major, v.Minor, v.Patch}
	if numbers[raise-1] == math.MaxUint64 {
		return nil
	}
	numbers[raise-1]++
	clear(numbers[raise:])
	return &crate.Version{Major: numbers[0], Minor: numbers[1], Patch: numbers[2], Pre: "0"}
}
