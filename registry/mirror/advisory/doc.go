// Package advisory reads the RustSec advisory database and says which advisories are about a version of a crate. It is pure;
// its subpackage source fetches the database.
//
// # Format
//
// Source: the README of https://github.com/rustsec/advisory-db. The database is a folder: crates/NAME/ID.md for each advisory, a text in
// Markdown that begins with a fenced block of TOML,
//
//	[advisory]
//	id = "RUSTSEC-2020-0071"
//	package = "time"
//	date = "2020-11-18"
//	cvss = "CVSS:3.1/AV:L/AC:L/PR:N/UI:N/S:U/C:N/I:N/A:H"
//	aliases = ["CVE-2020-26235"]
//	[versions]
//	patched = [">= 0.2.23"]
//	unaffected = ["=0.2.0", "=0.2.1"]
//
// and goes on with a heading that is its title. The first line of the block may be left out. Older databases have ID.toml, a
// file of TOML whose [advisory] has the title. A folder of one's own in this form is a database, too. What is in rust/ is
// about the toolchain and is not read; files with other ends, hidden files, and drafts (RUSTSEC-0000-0000) are not, either.
//
// # Which versions
//
// A version is affected when none of patched and unaffected takes it. These look like cargo's requirements and are read
// differently; the rustsec crate makes intervals of them, and so does this package:
//
//   - A pre-release lies where semver's precedence puts it. Patched ">= 1.2.0" takes 1.3.0-rc.1, which cargo's would not, and
//     does not take 1.2.0-rc.1. "< 1.2.0" takes 1.2.0-rc.1.
//   - Numbers that are left out are zero: "> 1.0" takes 1.0.1, where cargo's takes 1.1.0 and above; "=1.0" takes 1.0.0 alone.
//   - "^1.2.3", "1.2.3" and "~1.2.3" begin at 1.2.3 and end before the pre-releases of 2.0.0 (of 1.3.0).
//   - Build metadata does not count.
//   - An interval has at most two comparators, one a lower bound and one an upper; others (and 1.2.*) make the file a bad one.
//     A lone wildcard takes every version.
//
// Which targets, operating systems or functions are affected ([affected]) does not count: a registry does not know what a
// crate is built for.
//
// # Severity
//
// It is that of the CVSS vector, versions 3.0, 3.1 and 4.0. A vector that cannot be read is a problem, and the advisory has no score.
//
// Withdrawn advisories are left out.
package advisory
