// Package mirroring runs the examples of docs/mirroring.md, as they stand there and in their order, with real servers and a real cargo: what somebody
// copies from there must work, and print what the text says.
//
// A block of sh is a terminal's: it is run as a whole, where the one before left off. The block of text or toml right behind it is what it prints; a
// line "…" in it stands for any lines, and a "…" in a line for any characters. Times, sizes, the spaces between columns, and the order of what cargo does at once make no difference. Where an
// output has cargo's or crateyard's own failure in it, the block has to fail. A block of YAML whose first line is a comment with the name of a file is
// that file. Blocks that need a cluster are named in the test, and CrateMirrors are held against their Go types.
package mirroring

import (
	"regexp"
	"strings"
)

// block is a fenced block of the text.
type block struct {
	line     int // of its fence
	language string
	text     string
	output   *block // what it prints; nil: the text does not say
}

var fence = regexp.MustCompile("^ *```([a-z]*)$")

// document gives the blocks of a text; those that are the output of another are only there.
func document(text string) (blocks []*block) {
	var open *block
	near := false // nothing but empty lines since the last block
	for i, line := range strings.Split(text, "\n") {
		m := fence.FindStringSubmatch(line)
		switch {
		case m != nil && open == nil:
			open = &block{line: i + 1, language: m[1]}
		case m != nil:
			var last *block
			if len(blocks) > 0 {
				last = blocks[len(blocks)-1]
			}
			if near && last.language == "sh" && last.output == nil && (open.language == "text" || open.language == "toml") {
				last.output = open
			} else {
				blocks = append(blocks, open)
			}
			open, near = nil, true
		case open != nil:
			open.text += line + "\n"
		case strings.TrimSpace(line) != "":
			near = false
		}
	}
	return blocks
}

// fails reports whether the text says that the block fails.
func (b *block) fails() bool { return b.output != nil && failure.MatchString(b.output.text) }

var (
	failure = regexp.MustCompile(`(?m)^(error: |crateyard: )`)

	times = regexp.MustCompile(`\b\d{4}-\d\d-\d\dT[0-9:.]+Z|\b(\d+h)?(\d+m)?\d+(\.\d+)?m?s\b`)
	sizes = regexp.MustCompile(`\b\d+(\.\d+)? ?(B|KiB|MiB|GiB|bytes)\b`)
	// A sync that began by itself a moment before may have fetched what is asked for.
	fetched = regexp.MustCompile(`\b\d+ of them fetched now`)
	space   = regexp.MustCompile(`\s+`)
)

// plain leaves out of an output what is another with each run.
func plain(text string) (lines []string) {
	text = fetched.ReplaceAllString(times.ReplaceAllString(sizes.ReplaceAllString(text, "SIZE"), "TIME"), "N of them fetched now")
	for line := range strings.Lines(text) {
		if line = strings.TrimSpace(space.ReplaceAllString(line, " ")); line != "" {
			lines = append(lines, line)
		}
	}
	for i := range lines { // cargo works on several crates at once
		for j := i; j > 0 && atOnce(lines[j-1]) != "" && atOnce(lines[j-1]) == atOnce(lines[j]) && lines[j-1] > lines[j]; j-- {
			lines[j-1], lines[j] = lines[j], lines[j-1]
		}
	}
	return lines
}

func atOnce(line string) string {
	if what, _, _ := strings.Cut(line, " "); what == "Downloaded" || what == "Compiling" {
		return what
	}
	return ""
}

// prints reports whether an output is what the text has.
func prints(want, got string) bool {
	pattern := "^"
	for _, line := range plain(want) {
		if line == "…" {
			pattern += "(?:.*\n)*?"
			continue
		}
		pattern += strings.ReplaceAll(regexp.QuoteMeta(line), "…", ".*?") + "\n"
	}
	all := strings.Join(plain(got), "\n")
	if all != "" {
		all += "\n"
	}
	return regexp.MustCompile(pattern + "$").MatchString(all)
}
