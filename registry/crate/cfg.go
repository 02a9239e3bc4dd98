package crate

import (
	"fmt"
	"strings"
)

// canonicalTarget reads what stands in [target.…] and gives it in the one form in which cargo writes it. An index entry
// with one that cargo cannot read is invalid, and the version is passed over. The grammar is cargo's (cargo-platform):
//
//	target = triple | "cfg(" expr ")"
//	expr   = ("all" | "any") "(" [expr {"," expr} [","]] ")" | "not" "(" expr ")" | word ["=" string]
//
// with spaces between the parts, words of ASCII letters, digits and '_', and strings without escapes.
func canonicalTarget(s string) (string, error) {
	body, isCfg := strings.CutPrefix(s, "cfg(")
	body, closed := strings.CutSuffix(body, ")")
	if !isCfg || !closed {
		if s == "" || strings.Trim(s, wordLetters+"-.") != "" {
			return "", fmt.Errorf("a triple has ASCII letters, digits, '_', '-' and '.'")
		}
		return s, nil
	}
	p := cfgParser{rest: body}
	var out strings.Builder
	if err := p.expr(&out, 0); err != nil {
		return "", err
	}
	if t := p.next(); t != "" {
		return "", fmt.Errorf("%q after its end", clip(t))
	}
	return "cfg(" + out.String() + ")", nil
}

const wordLetters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_"

// maxCfgDepth is how deep expressions may nest; cargo has no limit but its stack.
const maxCfgDepth = 64

type cfgParser struct{ rest string }

// next reads one token: a word (with r# before it when it is raw), a string with its quotes, or one character; "" at the end.
func (p *cfgParser) next() string {
	p.rest = strings.TrimLeft(p.rest, " ")
	n := min(1, len(p.rest))
	switch {
	case n == 0:
	case p.rest[0] == '"':
		if end := strings.IndexByte(p.rest[1:], '"'); end >= 0 {
			n = end + 2
		}
	default:
		word := strings.TrimPrefix(p.rest, "r#")
		if rest := strings.TrimLeft(word, wordLetters); rest != word && !isDigit(word[0]) {
			n = len(p.rest) - len(rest)
		}
	}
	t := p.rest[:n]
	p.rest = p.rest[n:]
	return t
}

func (p *cfgParser) peek() string {
	ahead := *p
	return ahead.next()
}

func (p *cfgParser) expect(want string) error {
	if t := p.next(); t != want {
		return fmt.Errorf("%q instead of %q", clip(t), want)
	}
	return nil
}

func (p *cfgParser) expr(out *strings.Builder, depth int) error {
	if depth > maxCfgDepth {
		return fmt.Errorf("it nests deeper than %d", maxCfgDepth)
	}
	word := p.next()
	name := strings.TrimPrefix(word, "r#")
	if name == "" || isDigit(name[0]) || strings.Trim(name, wordLetters) != "" {
		return fmt.Errorf("%q instead of a name", clip(word))
	}
	if word != "all" && word != "any" && word != "not" {
		return p.value(out, word)
	}
	if err := p.expect("("); err != nil {
		return err
	}
	out.WriteString(word + "(")
	if word == "not" {
		if err := p.expr(out, depth+1); err != nil {
			return err
		}
		out.WriteString(")")
		return p.expect(")")
	}
	return p.list(out, depth)
}

// list reads the rest of all(…) and any(…).
func (p *cfgParser) list(out *strings.Builder, depth int) error {
	for i := 0; p.peek() != ")"; i++ {
		if i > 0 {
			out.WriteString(", ")
		}
		if err := p.expr(out, depth+1); err != nil {
			return err
		}
		if p.peek() != "," {
			break
		}
		p.next()
	}
	out.WriteString(")")
	return p.expect(")")
}

// value reads the rest of a name that may have a value.
func (p *cfgParser) value(out *strings.Builder, name string) error {
	out.WriteString(name)
	if p.peek() != "=" {
		return nil
	}
	p.next()
	v := p.next()
	if len(v) < 2 || v[0] != '"' {
		return fmt.Errorf("%q instead of a text in quotes", clip(v))
	}
	out.WriteString(" = " + v)
	return nil
}
