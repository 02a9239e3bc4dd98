package crate

import (
	"strings"
	"testing"
)

func TestLicenseSet(t *testing.T) {
	for _, tc := range []struct{ admitted, satisfied, not string }{
		{"MIT", "MIT; (MIT); MIT OR GPL-3.0-only; GPL-3.0-only/MIT; Foo OR MIT; MIT WITH Classpath-exception-2.0; MIT+; MIT AND (GPL-3.0-only OR MIT)",
			"Apache-2.0; MIT AND Apache-2.0; Foo; LicenseRef-MIT; mit; MIT-0; GPL-3.0-only AND MIT OR GPL-3.0-only"},
		// AND binds closer than OR, on either side.
		{"MIT", "MIT OR Apache-2.0 AND GPL-3.0-only; Apache-2.0 AND GPL-3.0-only OR MIT", "MIT AND Apache-2.0 OR GPL-3.0-only; (MIT OR Apache-2.0) AND GPL-3.0-only"},
		{"MIT Apache-2.0", "MIT AND Apache-2.0; MIT/Apache-2.0; (MIT OR X) AND (Y OR Apache-2.0)", "MIT AND Apache-2.0 AND Zlib"},
		{"Apache-2.0 WITH LLVM-exception", "Apache-2.0 WITH LLVM-exception; Apache-2.0+ WITH LLVM-exception", "Apache-2.0; Apache-2.0 WITH Classpath-exception-2.0; MIT WITH LLVM-exception"},
		{"GPL-2.0-only", "GPL-2.0; GPL-2.0-only; GPL-2.0+; GPL-2.0-or-later; GPL-2.0 WITH Classpath-exception-2.0", "GPL-3.0; GPL-3.0-or-later; LGPL-2.0"},
		{"GPL-2.0", "GPL-2.0-only; GPL-2.0-or-later", "GPL-3.0-only"},
		{"GPL-2.0-or-later", "GPL-2.0-or-later; GPL-2.0+", "GPL-2.0; GPL-2.0-only"},
		{"GPL-2.0+", "GPL-2.0-or-later; GPL-2.0+", "GPL-2.0-only"},
		{"Apache-2.0+", "Apache-2.0+", "Apache-2.0"},
		{"LicenseRef-Ours", "LicenseRef-Ours; MIT OR LicenseRef-Ours", "LicenseRef-Theirs"},
		{"", "", "MIT; MIT OR Apache-2.0"},
	} {
		set := LicenseSet{}
		add := strings.Fields(tc.admitted)
		if strings.Contains(tc.admitted, "WITH") {
			add = []string{tc.admitted}
		}
		for _, id := range add {
			if err := set.Add(id); err != nil {
				t.Errorf("%s: %v", id, err)
			}
		}
		for list, want := range map[string]bool{tc.satisfied: true, tc.not: false} {
			for expression := range strings.SplitSeq(list, "; ") {
				if expression == "" {
					continue
				}
				if got, err := set.Satisfies(expression); got != want || err != nil {
					t.Errorf("%q with %q alone: %v, %v", expression, tc.admitted, got, err)
				}
			}
		}
	}
	set := LicenseSet{"MIT": true}
	for s, want := range map[string]string{"": "missing", "MIT or Apache-2.0": "where AND or OR", "MIT OR (": "missing", "MIT OR": "missing", "(MIT": "not closed", "MIT WITH": "WITH", strings.Repeat("x", 1001): "limit"} {
		ok, err := set.Satisfies(s)
		checkError(t, s, err, want)
		if ok {
			t.Errorf("%q is satisfied", s)
		}
	}
	for s, want := range map[string]string{"": "empty", "mit": "spelled MIT", "Foo": "no identifier", "MIT OR Apache-2.0": "one license", "MIT/Apache-2.0": "one license", "(MIT)": "one license",
		"MIT WITH Foo": "no exception", "MIT Apache-2.0": "one license", " MIT ": "", "Apache-2.0 WITH LLVM-exception": ""} {
		checkError(t, s, LicenseSet{}.Add(s), want)
	}
}
