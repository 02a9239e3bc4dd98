package cmd

import (
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"

	"golang.org/x/term"
)

// progress shows how far long work is: one line that is written over on a terminal, else a line every few seconds.
type progress struct {
	w        io.Writer
	terminal bool
	begin    time.Time

	mu    sync.Mutex
	last  time.Time
	width int // of the line that is on the terminal
}

// How often a line is shown.
const (
	onTerminal = 200 * time.Millisecond
	inLog      = 5 * time.Second
)

func newProgress(w io.Writer) *progress {
	f, ok := w.(*os.File)
	p := &progress{w: w, terminal: ok && term.IsTerminal(int(f.Fd())), begin: time.Now()}
	p.last = p.begin
	return p
}

// show shows a line if it is time. done and all are in bytes, for the rate and what is left; all is 0 when nobody knows.
func (p *progress) show(done, all int64, format string, args ...any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	every := inLog
	if p.terminal {
		every = onTerminal
	}
	now := time.Now()
	if now.Sub(p.last) < every {
		return
	}
	p.last = now
	line := fmt.Sprintf(format, args...)
	if passed := now.Sub(p.begin).Seconds(); passed > 1 && done > 0 {
		rate := float64(done) / passed
		line += fmt.Sprintf(", %s/s", bytesText(int64(rate)))
		if all > done {
			line += fmt.Sprintf(", %d%%, %s left", done*100/all, time.Duration(float64(all-done)/rate*float64(time.Second)).Round(time.Second))
		}
	}
	if p.terminal {
		line = p.fit(line)
		_, _ = fmt.Fprintf(p.w, "\r%-*s", p.width, line) // it is for looking at only
		p.width = len(line)
		return
	}
	_, _ = fmt.Fprintln(p.w, line)
}

// fit cuts a line that is longer than the terminal is wide: one that goes on below is not written over.
func (p *progress) fit(line string) string {
	if f, ok := p.w.(*os.File); ok {
		if columns, _, err := term.GetSize(int(f.Fd())); err == nil && columns > 1 && len(line) >= columns {
			return line[:columns-1]
		}
	}
	return line
}

// showBar is show with a bar of how much of all is done, on a terminal; all is 0 where nobody knows. bytes are for the rate.
func (p *progress) showBar(done, all, bytes int64, format string, args ...any) {
	if p.terminal && all > 0 {
		format = "%s  " + format
		args = append([]any{bar(done, all)}, args...)
	}
	p.show(bytes, 0, format, args...)
}

// bar draws how much of all is done.
func bar(done, all int64) string {
	const width = 24
	done = min(max(done, 0), all)
	full := int(done * width / all)
	head := ""
	if full < width {
		head = ">"
	}
	return fmt.Sprintf("[%-*s] %3d%%", width, strings.Repeat("=", full)+head, done*100/all)
}

// end takes the line away.
func (p *progress) end() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.terminal && p.width > 0 {
		_, _ = fmt.Fprintf(p.w, "\r%*s\r", p.width, "")
		p.width = 0
	}
}

// bytesText is a number of bytes for people.
func bytesText(n int64) string {
	const units = "KMGTPE"
	if n < 1<<10 {
		return fmt.Sprintf("%d B", n)
	}
	v, i := float64(n)/1024, 0
	for ; v >= 1024 && i < len(units)-1; i++ {
		v /= 1024
	}
	return fmt.Sprintf("%.1f %ciB", v, units[i])
}

// counted is a number with its noun.
func counted(n int64, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}
