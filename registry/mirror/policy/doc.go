// Package policy decides what of an upstream registry may enter through a mirror, and shows it to cargo: it changes the index file of a
// crate so that cargo does not choose what it may not have. It is pure: no files, no network, no clock.
//
// # What cargo sees
//
// The line of a version that is denied is served with "yanked":true, and stays otherwise as it is: cargo never newly chooses a
// yanked version. A lockfile that names it still resolves, and its download is where the server answers with the rule's reason
// (see Policy.Version). If the line were missing, cargo would say no more than that there is no such version. All other lines
// pass byte for byte, known fields or not, whatever their spaces, order or escapes.
//
// A line is not read as a whole, which would take longer than all the rest: it is read from both ends, as far as the rules need
// it. What cargo takes is understood. What cargo passes over, which is all that is no JSON object with one name, vers, cksum and
// so on, is passed on as something that cargo passes over. One form is refused: cargo would take an array of the values of a
// line, so under a policy that has a rule such a line is made one that it does not take.
//
// # Rules
//
// They are asked in this order; the first that denies is the one that is told. A version that is denied by minimum-age is thus
// denied by nothing else that is known: its reason names the time from which it is admitted.
//
//	deny         a deny pattern names it.
//	allow        there are allow patterns, and none of them names it.
//	yanked       it is yanked, and the policy denies these.
//	advisory     an advisory is about it that is severe enough, and not excepted.
//	license      its license expression cannot be satisfied with the admitted licenses alone; a crate with nothing but a license
//	             file, or without any, is denied. Not known from the index: Options.Facts tells; while it does not, nothing is denied.
//	max-size     its archive is larger. Options.Facts tells, too.
//	pinned       the mirror serves only what is cached, and this is not.
//	minimum-age  it was published less than so long ago, or its line does not say when (in the one form that cargo reads). What is
//	             published in the future is too young.
//
// # Patterns
//
// A pattern is a crate's name in which '*' stands for any characters, none included, and may be followed by '@' and a requirement as in
// Cargo.toml: "openssl-*", "time@<0.2.23". Names are compared as crates.io does, without regard to case, '-' and '_'.
//
// Where a requirement leaves doubt, the version stays out: one that denies takes pre-releases for versions (crate.Requirement.Covers,
// "time@<0.2.23" denies 0.2.23-rc.1), one that lets in takes them as cargo does (Matches: "time@0.3" does not let in 0.3.1-rc.1; a pattern
// without requirement does). A version that cargo may understand and we do not, which is one of more than 150 characters, is denied by each
// requirement and advisory, and let in by none.
package policy
