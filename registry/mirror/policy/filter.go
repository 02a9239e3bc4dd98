package policy

import (
	"bytes"
	"fmt"
	"time"
)

// Result is an index file under a policy.
type Result struct {
	// File is what cargo gets: the very slice that was filtered where no byte is another one.
	File []byte
	// Versions counts the lines that cargo would take.
	Versions int
	// Denied are the versions that may not enter, in the order of the file; those that are yanked upstream are among them. One without crate
	// and version is a line that cannot be read, and that cargo might.
	Denied []Denial
	// Warned are versions that may enter although an advisory is about them.
	Warned []Denial
	// Until is when the result changes by time alone: the next version comes of age. Zero: never.
	Until time.Time
}

// Crate gives the denial of a whole crate, which has no version that may ever enter; nil where there may be one. Its file needs
// no look then.
func (p *Policy) Crate(name string) *Denial {
	if len(p.deny)+len(p.allow) == 0 {
		return nil
	}
	return p.rules(name, &Options{}).whole
}

// Filter applies the policy to a file of upstream's index. The file is not changed.
func (p *Policy) Filter(file []byte, o Options) Result {
	res := Result{File: file}
	var edits []edit
	var r *rules
	want := fieldName | fieldVers // of the first line, whose crate is not known yet
	for start := 0; start < len(file); {
		end := len(file)
		if i := bytes.IndexByte(file[start:], '\n'); i >= 0 {
			end = start + i
		}
		text, at := file[start:end], start
		start = end + 1
		l, ok := read(text, want)
		if !ok {
			if e, ok := spoil(text); ok && !p.idle(&o) {
				edits = append(edits, edit{at + e.start, at + e.end, e.text})
				res.Denied = append(res.Denied, unreadable)
			}
			continue
		}
		if r == nil || string(l.name) != r.crate {
			r = p.rules(string(l.name), &o)
			if want = r.wants(); l.found&want != want {
				if l, ok = read(text, want); !ok {
					continue
				}
			}
		}
		d := r.decide(&l)
		if d.rule == "" {
			res.Versions++
			if d.warning != "" {
				res.Warned = append(res.Warned, Denial{r.crate, r.v.text, RuleAdvisory, d.warning})
			}
			continue
		}
		e, ok := yank(text)
		if !ok {
			continue
		}
		if e.text != "" {
			edits = append(edits, edit{at + e.start, at + e.end, e.text})
		}
		res.Versions++
		res.Denied = append(res.Denied, Denial{r.crate, r.v.text, d.rule, d.reason})
		if !d.until.IsZero() && (res.Until.IsZero() || d.until.Before(res.Until)) {
			res.Until = d.until
		}
	}
	if edits != nil {
		res.File = apply(file, edits)
	}
	return res
}

// apply makes the edits, which are in order.
func apply(file []byte, edits []edit) []byte {
	size := len(file)
	for _, e := range edits {
		size += len(e.text) - (e.end - e.start)
	}
	// Most edits make a line shorter, so that there is room for the result in a copy. To clear memory for it first would take as long again.
	out, from := append([]byte(nil), file...)[:0], 0
	if size > cap(out) {
		out = make([]byte, 0, size)
	}
	for _, e := range edits {
		out = append(append(out, file[from:e.start]...), e.text...)
		from = e.end
	}
	return append(out, file[from:]...)
}

// unreadable is the denial of a line that no rule can be asked of.
var unreadable = Denial{Rule: RuleAllow, Reason: "upstream's index line of this version cannot be read"}

// idle reports whether there is no rule.
func (p *Policy) idle(o *Options) bool {
	return p.allow == nil && p.deny == nil && p.minimumAge == 0 && p.licenses == nil && !p.denyYanked && p.maxSize == 0 && p.advisories == nil && o.Cached == nil
}

// Version gives the denial of the version with this line of upstream's index, nil where it may be downloaded. A line that cannot be read
// is denied. Where the policy asks for what only the archive tells, the answer holds once o.Facts knows it: ask before the
// archive is fetched, and again before it is served.
func (p *Policy) Version(line []byte, o Options) *Denial {
	const all = fieldName | fieldVers | fieldCksum | fieldPubtime | fieldYanked
	l, ok := read(bytes.TrimSuffix(line, []byte{'\n'}), all)
	if !ok {
		d := unreadable
		return &d
	}
	r := p.rules(string(l.name), &o)
	d := r.decide(&l)
	if d.rule == "" {
		return nil
	}
	return &Denial{r.crate, r.v.text, d.rule, d.reason}
}

// NeedsFacts reports whether the policy asks for what only the archive of a version tells.
func (p *Policy) NeedsFacts() bool { return p.licenses != nil || p.maxSize > 0 }

// NeedsLicenses reports whether the policy asks what crates are licensed under, which stands in their archives only.
func (p *Policy) NeedsLicenses() bool { return p.licenses != nil }

// NeedsAdvisories reports whether the policy asks for a database of advisories. Without one in Options nothing is denied for an advisory, so
// it is for the caller to say what happens while there is none.
func (p *Policy) NeedsAdvisories() bool { return p.advisories != nil }

// String describes a denial for a log.
func (d Denial) String() string { return fmt.Sprintf("%s: %s", d.Rule, d.Reason) }

// Empty reports whether the policy lets everything in.
func (p *Policy) Empty() bool { return p.idle(&Options{}) }
