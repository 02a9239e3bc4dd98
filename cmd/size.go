package cmd

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// size is a flag for a number of bytes, plain or with a unit: 20971520, 20MB, 20MiB.
type size int64

// units are the suffixes of a size in lower case and without their B. Those with an i count in 1024s.
var units = map[string]int64{"": 1, "k": 1e3, "m": 1e6, "g": 1e9, "ki": 1 << 10, "mi": 1 << 20, "gi": 1 << 30}

// Set reads a size.
func (s *size) Set(text string) error {
	number := strings.TrimRight(strings.ToLower(text), "bkmgi ")
	unit, known := units[strings.TrimSuffix(strings.TrimSpace(strings.ToLower(text)[len(number):]), "b")]
	n, err := strconv.ParseInt(number, 10, 64)
	if err != nil || !known || n < 0 || n > math.MaxInt64/unit {
		return fmt.Errorf("%q is no size: write bytes, or a whole number with KiB, MiB or GiB (1024s), KB, MB or GB (1000s), such as 20MiB", text)
	}
	*s = size(n * unit)
	return nil
}

// String writes a size so that Set reads the same.
func (s *size) String() string {
	for _, u := range []string{"gi", "mi", "ki"} {
		if n := int64(*s); n > 0 && n%units[u] == 0 {
			return strconv.FormatInt(n/units[u], 10) + strings.ToUpper(u[:1]) + "iB"
		}
	}
	return strconv.FormatInt(int64(*s), 10)
}

// Type is what --help calls the value.
func (s *size) Type() string { return "size" }
