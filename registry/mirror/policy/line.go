package policy

import (
	"bytes"
	"encoding/json"
)

// field is a key of an index line that somebody wants to know.
type field uint8

const (
	fieldName field = 1 << iota
	fieldVers
	fieldCksum
	fieldPubtime
	fieldYanked
)

// line is what was found of an index line. Texts are without quotes and escapes.
type line struct {
	name, vers, cksum, pubtime []byte
	yanked                     bool
	found                      field
}

// reader walks over the members of the JSON object in a line, from the front and from the back, and looks at those of the object
// itself only. It takes all that is JSON, and other things, too: what matters is that it understands each line that cargo does.
// That it can stop early makes it fast: name and vers stand before the dependencies, which are most of a line, the rest near the end.
//
// Reading backwards is not ambiguous. Of valid JSON the last byte lies outside strings; going back from a closing quote, each quote inside
// the string has a backslash before it, and the opening one has none.
type reader struct {
	text   []byte
	lo, hi int // text[lo:hi] is not read yet: members, with a comma between two
}

// newReader finds the object; ok is false where there is none.
func newReader(text []byte) (r reader, ok bool) {
	lo, hi := 0, len(text)
	for lo < hi && isSpace(text[lo]) {
		lo++
	}
	for lo < hi && isSpace(text[hi-1]) {
		hi--
	}
	if hi-lo < 2 || text[lo] != '{' || text[hi-1] != '}' {
		return r, false
	}
	return reader{text, lo + 1, hi - 1}, true
}

// member is one of the object's: where its value begins and ends, and its key.
type member struct {
	key        []byte
	start, end int
}

func isSpace(c byte) bool { return c == ' ' || c == '\t' || c == '\r' || c == '\n' }

// skipSpace gives the first place from i on, below hi, that is no space.
func (r *reader) skipSpace(i int) int {
	for i < r.hi && isSpace(r.text[i]) {
		i++
	}
	return i
}

// skipSpaceBack gives the place behind the last byte before i, from lo on, that is no space.
func (r *reader) skipSpaceBack(i int) int {
	for i > r.lo && isSpace(r.text[i-1]) {
		i--
	}
	return i
}

// done reports whether all members are read.
func (r *reader) done() bool { return r.skipSpace(r.lo) == r.hi }

// next reads the first member. Where its value is an object or array it stays unread, and its end is zero.
func (r *reader) next() (m member, ok bool) {
	i := r.skipSpace(r.lo)
	end := r.stringEnd(i)
	if end < 0 {
		return m, false
	}
	m.key = r.text[i+1 : end-1]
	i = r.skipSpace(end)
	if i >= r.hi || r.text[i] != ':' {
		return m, false
	}
	m.start = r.skipSpace(i + 1)
	if m.start >= r.hi {
		return m, false
	}
	switch r.text[m.start] {
	case '"':
		end = r.stringEnd(m.start)
	case '{', '[':
		return m, true
	default:
		for end = m.start; end < r.hi && isScalar(r.text[end]); end++ {
		}
	}
	if end <= m.start {
		return m, false
	}
	m.end = end
	r.lo = r.skipSpace(end)
	if r.lo < r.hi {
		if r.text[r.lo] != ',' {
			return m, false
		}
		r.lo++
	}
	return m, true
}

// last reads the last member.
func (r *reader) last() (m member, ok bool) {
	m.end = r.skipSpaceBack(r.hi)
	if m.end <= r.lo {
		return m, false
	}
	switch r.text[m.end-1] {
	case '"':
		m.start = r.stringStart(m.end)
	case '}', ']':
		m.start = r.nestedStart(m.end)
	default:
		for m.start = m.end; m.start > r.lo && isScalar(r.text[m.start-1]); m.start-- {
		}
	}
	if m.start < r.lo || m.start >= m.end {
		return m, false
	}
	i := r.skipSpaceBack(m.start)
	if i <= r.lo || r.text[i-1] != ':' {
		return m, false
	}
	i = r.skipSpaceBack(i - 1)
	start := r.stringStart(i)
	if start < 0 {
		return m, false
	}
	m.key = r.text[start+1 : i-1]
	r.hi = r.skipSpaceBack(start)
	if r.hi > r.lo {
		if r.text[r.hi-1] != ',' {
			return m, false
		}
		r.hi--
	}
	return m, true
}

// isScalar tells the bytes of numbers, true, false and null.
func isScalar(c byte) bool {
	return 'a' <= c && c <= 'z' || '0' <= c && c <= '9' || c == '-' || c == '+' || c == '.' || c == 'E'
}

// stringEnd gives the place behind the string that begins at i, or -1.
func (r *reader) stringEnd(i int) int {
	if i >= r.hi || r.text[i] != '"' {
		return -1
	}
	for i++; i < r.hi; i++ {
		switch r.text[i] {
		case '\\':
			i++
		case '"':
			return i + 1
		}
	}
	return -1
}

// stringStart gives the place where the string begins that ends before i, or -1.
func (r *reader) stringStart(i int) int {
	if i-1 <= r.lo || r.text[i-1] != '"' {
		return -1
	}
	for i -= 2; i >= r.lo; i-- {
		if r.text[i] == '"' && (i == r.lo || r.text[i-1] != '\\') {
			return i
		}
	}
	return -1
}

// nestedStart gives the place where the object or array begins that ends before i, or -1.
func (r *reader) nestedStart(i int) int {
	for depth := 0; i > r.lo; i-- {
		switch r.text[i-1] {
		case '"':
			start := r.stringStart(i)
			if start < 0 {
				return -1
			}
			i = start + 1
		case '}', ']':
			depth++
		case '{', '[':
			if depth--; depth == 0 {
				return i - 1
			}
		}
	}
	return -1
}

// read finds what is wanted of a line. It is not ok where cargo would not take the line, as far as was looked; a wanted field that the line
// does not have is not found. Of a key that comes twice, which cargo does not take either, any may be found.
func read(text []byte, want field) (l line, ok bool) {
	r, ok := newReader(text)
	if !ok {
		return l, false
	}
	for l.found&want != want && !r.done() {
		m, ok := r.next()
		if !ok {
			return l, false
		}
		if m.end == 0 {
			break
		}
		if !l.take(text, m) {
			return l, false
		}
	}
	for l.found&want != want && !r.done() {
		m, ok := r.last()
		if !ok || !l.take(text, m) {
			return l, false
		}
	}
	const always = fieldName | fieldVers
	return l, l.found&always == always
}

// take keeps a member that may be wanted; false where cargo would not take its value.
func (l *line) take(text []byte, m member) bool {
	value := text[m.start:m.end]
	isText := value[0] == '"'
	switch key := unescape(m.key); string(key) {
	case "name":
		l.name, l.found = unquote(value), l.found|fieldName
		return isText && isPlain(l.name)
	case "vers":
		l.vers, l.found = unquote(value), l.found|fieldVers
		return isText && isPlain(l.vers)
	case "cksum":
		l.cksum, l.found = unquote(value), l.found|fieldCksum
		return isText
	case "pubtime":
		l.pubtime, l.found = unquote(value), l.found|fieldPubtime // null is none
	case "yanked":
		l.yanked, l.found = string(value) == "true", l.found|fieldYanked
		return isYanked(value)
	}
	return true
}

func isYanked(value []byte) bool {
	return string(value) == "true" || string(value) == "false" || string(value) == "null"
}

// isPlain reports whether a name or version can be one: others are none that cargo asks for, or understands.
func isPlain(s []byte) bool {
	for _, c := range s {
		if c|0x20 < 'a' || 'z' < c|0x20 {
			if (c < '0' || '9' < c) && c != '-' && c != '_' && c != '.' && c != '+' {
				return false
			}
		}
	}
	return len(s) > 0
}

// unquote gives the text of a string; nil where the value is none.
func unquote(value []byte) []byte {
	if value[0] != '"' {
		return nil
	}
	return unescape(value[1 : len(value)-1])
}

// unescape resolves what backslashes mean in a string; nil where they mean nothing.
func unescape(s []byte) []byte {
	if bytes.IndexByte(s, '\\') < 0 {
		return s
	}
	var text string
	if json.Unmarshal(bytes.Join([][]byte{{'"'}, s, {'"'}}, nil), &text) != nil {
		return nil
	}
	return []byte(text)
}

// spoil gives the edit that makes cargo pass over a line which is an array: it takes one whose elements are, in an order of its own, the values
// of an index line, as serde does. No registry writes such lines, and no rule can be asked of one.
func spoil(text []byte) (e edit, ok bool) {
	at := 0
	for at < len(text) && isSpace(text[at]) {
		at++
	}
	return edit{at, at + 1, "#"}, at < len(text) && text[at] == '['
}

// edit is a replacement of bytes.
type edit struct {
	start, end int
	text       string
}

// yank gives the edit that makes a line say "yanked":true; it is empty where the line does already. Of a key that comes twice the last
// counts, as most readers have it. It is not ok where cargo would not take the line, as far as was looked.
func yank(text []byte) (e edit, ok bool) {
	r, ok := newReader(text)
	if !ok || r.done() {
		return e, false
	}
	end := r.skipSpaceBack(r.hi)
	for !r.done() {
		m, ok := r.last()
		if !ok {
			return e, false
		}
		if string(unescape(m.key)) != "yanked" {
			continue
		}
		value := text[m.start:m.end]
		if string(value) == "true" {
			return e, true
		}
		return edit{m.start, m.end, "true"}, isYanked(value)
	}
	return edit{end, end, `,"yanked":true`}, true
}

// Yanked gives a line that says "yanked":true and is as it was otherwise. It is not ok where cargo would not take the line, as far as was looked.
func Yanked(text []byte) (line []byte, ok bool) {
	e, ok := yank(text)
	if !ok || e.text == "" {
		return text, ok
	}
	return apply(text, []edit{e}), true
}

// Line reads the name, the version and the checksum of a line of an index file, as cargo would, if it is one that cargo can read. What it gives are
// parts of text, or copies where there are escapes in them.
func Line(text []byte) (name, vers, cksum []byte, ok bool) {
	l, ok := read(text, fieldName|fieldVers|fieldCksum)
	return l.name, l.vers, l.cksum, ok
}
