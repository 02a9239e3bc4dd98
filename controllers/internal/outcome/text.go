package outcome

import (
	"fmt"
	"regexp"
	"strings"
)

// maxMessage bounds a condition's message; the field takes 32,768 bytes, and nobody reads so many.
const maxMessage = 1024

var (
	tokens   = regexp.MustCompile(`\bcy_[A-Za-z0-9_-]{8,}`)
	userinfo = regexp.MustCompile(`://[^/@\s"]+@`)
	// password in the other form that PostgreSQL knows: host=db password=secret
	password = regexp.MustCompile(`\b(password=)('[^']*'|[^\s&]+)`)
	// request is how S3 names one request: another each time, so that a status would never be the same twice, and long before what matters.
	request = regexp.MustCompile(`(RequestID|HostID): [^\s,]*, `)
)

// Message makes a text fit for a condition, an event or a log: without tokens and passwords in addresses, without what is another with each
// request, in one line, and of bounded length.
func Message(s string) string {
	s = tokens.ReplaceAllString(s, "cy_…")
	s = userinfo.ReplaceAllString(s, "://…@")
	s = password.ReplaceAllString(s, "${1}…")
	s = request.ReplaceAllString(s, "")
	s = strings.Join(strings.Fields(s), " ")
	return Clip(s, maxMessage)
}

// Clip gives at most the first n bytes of a text, with a mark where more was.
func Clip(s string, n int) string {
	if len(s) <= n {
		return s
	}
	return strings.ToValidUTF8(s[:n], "") + "…"
}

// Count puts a number before a word in the form that goes with it.
func Count(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}
