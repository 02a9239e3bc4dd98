// Package linear records what many clients do to one registry at the same time, through one or several servers, and asks porcupine
// whether one server that does one thing after the other could have given the same answers (linearizability).
//
// Publishes, yanks and the web API are held to that strictly. The index is read from memory that follows the change feed, so it has a
// promise of its own: see index.go.
package linear

import (
	"fmt"
	"math"

	"github.com/anishathalye/porcupine"
)

// what a client can ask of one version.
type what string

const (
	publish  what = "publish"
	yank     what = "yank"
	unyank   what = "unyank"
	deletion what = "delete"
	read     what = "read"
)

// input is one request. key names the version: each is a register of its own.
type input struct {
	what   what
	key    string
	digest string // of publish: what is to be stored
}

// output is its answer.
type output struct {
	status  int    // 0: none came, so it may or may not have been done
	digest  string // of what was read
	yanked  bool
	missing bool // read: there is none
}

// state is a version: its digest is empty before it is published.
type state struct {
	digest          string
	yanked, deleted bool
}

// forever is the end of a request without an answer: it may still be done at any time.
const forever = math.MaxInt64

// model says which answers a registry may give in which state. A request without an answer leaves two states behind.
var model = (&porcupine.NondeterministicModel{
	Partition: func(history []porcupine.Operation) (parts [][]porcupine.Operation) {
		byKey := map[string][]porcupine.Operation{}
		for _, op := range history {
			key := op.Input.(input).key
			byKey[key] = append(byKey[key], op)
		}
		for _, ops := range byKey {
			parts = append(parts, ops)
		}
		return parts
	},
	Init: func() []any { return []any{state{}} },
	Step: func(s, in, out any) []any { return step(s.(state), in.(input), out.(output)) },
	Equal: func(a, b any) bool {
		return a.(state) == b.(state)
	},
	DescribeOperation: func(in, out any) string { return fmt.Sprintf("%+v → %+v", in, out) },
	DescribeState:     func(s any) string { return fmt.Sprintf("%+v", s) },
}).ToModel

func step(s state, in input, out output) []any {
	there := s.digest != "" && !s.deleted
	next, can := s, true
	switch in.what {
	case publish:
		next.digest, can = in.digest, s.digest == ""
	case yank:
		next.yanked, can = true, there
	case unyank:
		next.yanked, can = false, there
	case deletion:
		next.deleted, can = true, there
	case read:
		if out.missing && !there || !out.missing && there && out.digest == s.digest && out.yanked == s.yanked {
			return []any{s}
		}
		return nil
	}
	switch {
	case out.status == 0 && can:
		return []any{s, next}
	case out.status == 0:
		return []any{s}
	case out.status < 300 && can:
		return []any{next}
	case out.status >= 400 && !can: // refused: 409 or 404
		return []any{s}
	}
	return nil
}
