package index

import "strings"

// Path gives the place of a crate's file below the root of the index: 1/a, 2/ab, 3/a/abc, ab/cd/abcd. It is lower case
// whatever the name's spelling. The name must be an ASCII crate name.
func Path(name string) string {
	n := strings.ToLower(name)
	switch len(n) {
	case 0:
		return ""
	case 1:
		return "1/" + n
	case 2:
		return "2/" + n
	case 3:
		return "3/" + n[:1] + "/" + n
	}
	return n[:2] + "/" + n[2:4] + "/" + n
}
