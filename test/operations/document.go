// Package operations runs the commands of docs/operations.md, as they stand there and in their order: what an operator is told to type in an
// emergency must not be wrong.
//
// A command that is added to the text, and is neither run here nor listed as one that needs a cluster, fails the test.
package operations

import (
	"regexp"
	"strings"
)

var (
	fence  = regexp.MustCompile("^ *```([a-z]*)$")
	inline = regexp.MustCompile("`([^`]+)`")
	// mention is the name of a command, perhaps with flags that take nothing: the text speaks of it.
	mention = regexp.MustCompile(`^crateyard [a-z]+( --[a-z-]+)*$`)
)

// document gives the commands of a text, those of blocks of sh and those in its sentences, and its blocks of YAML, all in their order. A command that goes
// on in the next line is one; comments behind commands are left out.
func document(text string) (commands, configs []string) {
	language, block, open := "", "", false
	var prose strings.Builder
	spans := func() {
		for _, m := range inline.FindAllStringSubmatch(prose.String(), -1) {
			span := strings.Join(strings.Fields(m[1]), " ")
			if (strings.HasPrefix(span, "crateyard ") || strings.HasPrefix(span, "kubectl ")) && !mention.MatchString(span) {
				commands = append(commands, span)
			}
		}
		prose.Reset()
	}
	for line := range strings.Lines(text) {
		line = strings.TrimSuffix(line, "\n")
		m := fence.FindStringSubmatch(line)
		switch {
		case m != nil && !open:
			spans()
			language, block, open = m[1], "", true
		case m != nil:
			open = false
			switch language {
			case "yaml":
				configs = append(configs, block)
			case "sh":
				commands = append(commands, lines(block)...)
			}
		case open:
			block += line + "\n"
		default:
			prose.WriteString(line + "\n")
		}
	}
	spans()
	return commands, configs
}

var comment = regexp.MustCompile(`(^|\s+)# .*$`)

func lines(block string) (commands []string) {
	for line := range strings.Lines(strings.ReplaceAll(block, "\\\n", " ")) {
		if line = strings.Join(strings.Fields(comment.ReplaceAllString(strings.TrimSpace(line), "")), " "); line != "" {
			commands = append(commands, line)
		}
	}
	return commands
}
