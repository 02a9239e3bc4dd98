package registry

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

var (
	// wrongType is what the YAML library says of a value of another type.
	wrongType = regexp.MustCompile("line ([0-9]+): cannot unmarshal !![a-z]+ `([^`]*)` into ([][A-Za-z0-9]+)")
	sizeText  = regexp.MustCompile(`^([0-9]{1,7}) ?([KMG])(i?)B?$`)
)

// typesTold puts it into words for people when a value in a configuration file is of the wrong type: the key, and what belongs there.
func typesTold(text string, file []byte) string {
	lines := strings.Split(string(file), "\n")
	return wrongType.ReplaceAllStringFunc(text, func(said string) string {
		m := wrongType.FindStringSubmatch(said)
		number, value, kind := m[1], m[2], m[3]
		wants := ""
		switch kind {
		case "int64":
			wants = "a number, of bytes where it is a size"
			if n, ok := sizeInBytes(value); ok {
				wants = fmt.Sprintf("bytes, %d", n)
			}
		case "int":
			wants = "a number"
		case "bool":
			wants = "true or false"
		case "[]string":
			wants = fmt.Sprintf("a list, [%q]", value)
		default:
			return said
		}
		key := "the value"
		if at, err := strconv.Atoi(number); err == nil && at >= 1 && at <= len(lines) {
			if k := regexp.MustCompile(`([A-Za-z0-9]+): *["']?` + regexp.QuoteMeta(value)).FindStringSubmatch(lines[at-1]); k != nil {
				key = k[1]
			}
		}
		return fmt.Sprintf("line %s: %s %q: it must be %s", number, key, value, wants)
	})
}

// sizeInBytes reads 10Mi, 10MiB or 10MB.
func sizeInBytes(text string) (int64, bool) {
	m := sizeText.FindStringSubmatch(text)
	if m == nil {
		return 0, false
	}
	n, err := strconv.ParseInt(m[1], 10, 64)
	unit := int64(1000)
	if m[3] != "" {
		unit = 1024
	}
	for range strings.Index("KMG", m[2]) + 1 {
		n *= unit
	}
	return n, err == nil
}
