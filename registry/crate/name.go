package crate

import (
	"fmt"
	"strings"
)

// reserved are the canonical names that no crate may have: Rust's own crates, as on crates.io, and the device names that
// Windows cannot store as files, where a checkout of the index or an unpacked crate would fail.
var reserved = set(`alloc arena ast builtins collections compiler_builtins compiler_rt compiletest core coretest debug driver
	flate fmt_macros grammar graphviz macro macros proc_macro rbml rust_installer rustbook rustc rustc_back rustc_borrowck
	rustc_driver rustc_llvm rustc_resolve rustc_trans rustc_typeck rustdoc rustllvm rustuv serialize std syntax test unicode
	nul con prn aux com0 com1 com2 com3 com4 com5 com6 com7 com8 com9 lpt0 lpt1 lpt2 lpt3 lpt4 lpt5 lpt6 lpt7 lpt8 lpt9`)

func set(words string) map[string]bool {
	m := map[string]bool{}
	for _, w := range strings.Fields(words) {
		m[w] = true
	}
	return m
}

// CheckName reports why name cannot be a crate's name, or nil. Names are ASCII (others make cargo panic), begin with a
// letter, and go on with letters, digits, '-' and '_'.
func CheckName(name string) error {
	if err := checkIdent(name, false); err != nil {
		return fmt.Errorf("invalid crate name %q: %w", clip(name), err)
	}
	if reserved[Canonical(name)] {
		return fmt.Errorf("crate name %q is reserved", name)
	}
	return nil
}

// CheckDependencyName is CheckName for the name of a dependency: the same characters, but reserved names pass, since
// another registry may have such a crate.
func CheckDependencyName(name string) error {
	if err := checkIdent(name, false); err != nil {
		return fmt.Errorf("invalid dependency name %q: %w", clip(name), err)
	}
	return nil
}

// CheckAlias checks the name under which a manifest renames a dependency; unlike a crate's it may begin with '_'.
func CheckAlias(name string) error {
	if err := checkIdent(name, true); err != nil {
		return fmt.Errorf("invalid dependency alias %q: %w", clip(name), err)
	}
	return nil
}

// Canonical folds a name to the form in which two crates may not be equal: lower case, '-' as '_'.
func Canonical(name string) string {
	return strings.ReplaceAll(strings.ToLower(name), "-", "_")
}

func checkIdent(s string, underscoreFirst bool) error {
	switch {
	case s == "":
		return fmt.Errorf("it is empty")
	case len(s) > MaxNameLen:
		return fmt.Errorf("it has %d characters, the limit is %d", len(s), MaxNameLen)
	case !isLetter(s[0]) && (!underscoreFirst || s[0] != '_'):
		return fmt.Errorf("it must begin with an ASCII letter")
	}
	for i := range len(s) {
		if c := s[i]; !isLetter(c) && !isDigit(c) && c != '-' && c != '_' {
			return fmt.Errorf("only ASCII letters, digits, '-' and '_' are allowed")
		}
	}
	return nil
}

func isLetter(c byte) bool { return 'a' <= c|0x20 && c|0x20 <= 'z' }
func isDigit(c byte) bool  { return '0' <= c && c <= '9' }
