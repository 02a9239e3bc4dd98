package cmd

import (
	"bytes"
	"strings"
	"testing"
	"time"
)

// On a terminal there is a bar where it is known how much there is to do, and one line that is written over; elsewhere lines without a bar.
func TestProgressBar(t *testing.T) {
	var out bytes.Buffer
	long := time.Now().Add(-time.Hour)
	p := &progress{w: &out, terminal: true, begin: long, last: long}
	p.showBar(1, 4, 0, "%d of 4", 1)
	p.last = long
	p.showBar(5, 4, 0, "all")
	p.last = long
	p.showBar(0, 0, 0, "nobody knows")
	p.end()
	want := "\r[======>                 ]  25%  1 of 4" + "\r[========================] 100%  all   " + "\rnobody knows" + strings.Repeat(" ", 24) + "\r            \r"
	if got := out.String(); got != want {
		t.Errorf("%q\nwant %q", got, want)
	}
	out.Reset()
	p = &progress{w: &out, begin: long, last: long}
	p.showBar(1, 4, 0, "%d of 4", 1)
	if got := out.String(); got != "1 of 4\n" || strings.Contains(got, "=") {
		t.Errorf("%q", got)
	}
}
