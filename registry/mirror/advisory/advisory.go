package advisory

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/pelletier/go-toml/v2"

	"github.com/crateyard/crateyard/registry/crate"
)

// Advisory is one advisory, as far as somebody who admits or refuses a version wants to know it.
type Advisory struct {
	ID            string // RUSTSEC-2020-0071
	Package       string // the crate
	Title         string
	Date          string // of disclosure, YYYY-MM-DD
	URL           string
	Aliases       []string // the same in other databases: CVE-…, GHSA-…
	Related       []string
	Informational string // unmaintained, unsound, notice; empty: a vulnerability
	CVSS          string // the vector; empty where there is none, or none that can be read
	Score         float64
	Severity      Severity
	Patched       []string // requirements, as they are written
	Unaffected    []string

	safe []interval // what Patched and Unaffected take
	file string     // where it stands: a path below the root of the database
}

// Affects reports whether the advisory is about version v of its crate.
func (a *Advisory) Affects(v crate.Version) bool {
	for _, i := range a.safe {
		if i.takes(v) {
			return false
		}
	}
	return true
}

// Is reports whether id is the advisory's, or one of its aliases. Case does not count.
func (a *Advisory) Is(id string) bool {
	if strings.EqualFold(id, a.ID) {
		return true
	}
	for _, alias := range a.Aliases {
		if strings.EqualFold(id, alias) {
			return true
		}
	}
	return false
}

// Limits of one advisory.
const (
	MaxFile      = 256 << 10 // bytes; the longest of RustSec's has 10 KiB
	maxIDLen     = 100       // bytes
	maxTitle     = 200       // bytes that are kept
	maxIntervals = 500
	maxAliases   = 100
)

// file is the TOML of an advisory. What is not listed here is not looked at.
type file struct {
	Advisory struct {
		ID            string   `toml:"id"`
		Package       string   `toml:"package"`
		Title         string   `toml:"title"`
		Date          any      `toml:"date"` // a text, or one of TOML's own dates
		URL           string   `toml:"url"`
		Aliases       []string `toml:"aliases"`
		Related       []string `toml:"related"`
		CVSS          string   `toml:"cvss"`
		Informational string   `toml:"informational"`
		Withdrawn     any      `toml:"withdrawn"`

		// In the oldest files these stand here instead of in [versions].
		Patched    []string `toml:"patched_versions"`
		Unaffected []string `toml:"unaffected_versions"`
	} `toml:"advisory"`
	Versions *struct {
		Patched    []string `toml:"patched"`
		Unaffected []string `toml:"unaffected"`
	} `toml:"versions"`
}

// parse reads a file. An advisory that is withdrawn is nil without an error; one that comes with an error can be used all the same.
func parse(name string, data []byte) (*Advisory, error) {
	if len(data) > MaxFile {
		return nil, fmt.Errorf("it has %d bytes, the limit is %d", len(data), MaxFile)
	}
	if !utf8.Valid(data) {
		return nil, fmt.Errorf("it is not UTF-8")
	}
	block, title := data, ""
	if strings.HasSuffix(name, ".md") {
		var err error
		if block, title, err = frontMatter(data); err != nil {
			return nil, err
		}
	}
	var f file
	if err := toml.Unmarshal(block, &f); err != nil {
		return nil, fmt.Errorf("its TOML: %w", err)
	}
	if f.Advisory.Withdrawn != nil && f.Advisory.Withdrawn != false {
		return nil, nil
	}
	return f.advisory(cmp.Or(title, f.Advisory.Title))
}

// frontMatter takes apart a file of Markdown: the TOML, and the title below it.
func frontMatter(data []byte) (block []byte, title string, err error) {
	rest, ok := bytes.CutPrefix(data, []byte("```toml"))
	if !ok {
		return nil, "", fmt.Errorf("it does not begin with ```toml")
	}
	block, text, ok := bytes.Cut(rest, []byte("\n```"))
	if !ok {
		return nil, "", fmt.Errorf("the block of TOML at its beginning does not end")
	}
	if !bytes.HasPrefix(bytes.TrimSpace(block), []byte("[advisory]")) {
		block = append([]byte("[advisory]\n"), bytes.TrimSpace(block)...)
	}
	for line := range bytes.Lines(text) {
		if heading, ok := bytes.CutPrefix(line, []byte("# ")); ok {
			return block, string(bytes.TrimSpace(heading)), nil
		}
	}
	return block, "", nil
}

func (f *file) advisory(title string) (*Advisory, error) {
	in := &f.Advisory
	a := &Advisory{
		ID: in.ID, Package: in.Package, Title: clip(title), URL: in.URL, Aliases: in.Aliases, Related: in.Related,
		Informational: in.Informational, Patched: in.Patched, Unaffected: in.Unaffected,
	}
	if in.Date != nil {
		a.Date = clip(fmt.Sprint(in.Date))
	}
	switch {
	case in.ID == "" || len(in.ID) > maxIDLen || strings.ContainsAny(in.ID, " \t\r\n"):
		return nil, fmt.Errorf("advisory.id: it must be an identifier such as RUSTSEC-2020-0071")
	case f.Versions != nil:
		a.Patched, a.Unaffected = f.Versions.Patched, f.Versions.Unaffected
	case in.Patched == nil:
		return nil, fmt.Errorf("versions: they are missing; without any that is patched, write patched = []")
	}
	if err := crate.CheckDependencyName(in.Package); err != nil {
		return nil, fmt.Errorf("advisory.package: %w", err)
	}
	if len(a.Patched)+len(a.Unaffected) > maxIntervals || len(a.Aliases)+len(a.Related) > maxAliases {
		return nil, fmt.Errorf("it has more than %d versions or %d aliases", maxIntervals, maxAliases)
	}
	for n, s := range slices.Concat(a.Patched, a.Unaffected) {
		i, err := parseInterval(s)
		switch {
		case err != nil && n < len(a.Patched):
			return nil, fmt.Errorf("versions.patched: %w", err)
		case err != nil:
			return nil, fmt.Errorf("versions.unaffected: %w", err)
		}
		a.safe = append(a.safe, i)
	}
	if in.CVSS == "" {
		return a, nil
	}
	score, err := score(in.CVSS)
	if err != nil {
		return a, fmt.Errorf("advisory.cvss: %w; it counts as one without a score", err)
	}
	a.CVSS, a.Score, a.Severity = in.CVSS, score, severityOf(score)
	return a, nil
}

func clip(s string) string {
	if len(s) <= maxTitle {
		return s
	}
	return strings.ToValidUTF8(s[:maxTitle], "") + "…"
}
