package upkeep

import "regexp"

// Secrets that errors of drivers may carry: a password in a URI or in a connection string, and what signs an address or a request.
var (
	inURI   = regexp.MustCompile(`([a-z][a-z0-9+.-]*://[^\s/:@]*):[^\s@]*@`)
	inPairs = regexp.MustCompile(`(?i)\b(password|passwd|secret|token|x-amz-signature|x-amz-security-token|x-amz-credential|signature|authorization)(=|: ?)("[^"]*"|'[^']*'|[^\s&,;]+)`)
)

// maxError bounds the text of an error in a status.
const maxError = 1000

// Clean gives the text of an error without the secrets that it may hold.
func Clean(err error) string {
	text := inPairs.ReplaceAllString(inURI.ReplaceAllString(err.Error(), "$1:…@"), "$1$2…")
	if len(text) > maxError {
		text = text[:maxError] + "…"
	}
	return text
}
