package publish

import (
	"context"
	"fmt"
	"strings"

	"github.com/crateyard/crateyard/registry/fault"
)

// Shadowing says what becomes of a new crate whose name an upstream of a mirror has, too: whoever forgets to name a registry gets the other one
// (dependency confusion).
type Shadowing string

// The ways to treat it.
const (
	ShadowingWarn   Shadowing = "Warn"   // cargo prints a warning, where a mirror is known to have the name
	ShadowingRefuse Shadowing = "Refuse" // refused; the upstreams are asked, and so learn the name
	ShadowingAllow  Shadowing = "Allow"
)

// shadow tells of the mirrors that have a crate of the name of one that is new here: as a warning, or an error.
func (p *Publisher) shadow(ctx context.Context, name string) (warnings []string, err error) {
	if p.Mirrors == nil || p.Shadowing == ShadowingAllow || p.Shadowing == "" {
		return nil, nil
	}
	have, err := p.Mirrors.Having(ctx, name, p.Shadowing == ShadowingRefuse)
	if err != nil || len(have) == 0 {
		return nil, err
	}
	others := "the upstream of mirror `%s` has"
	if len(have) > 1 {
		others = "the upstreams of the mirrors `%s` have"
	}
	text := fmt.Sprintf("name: "+others+" a crate of this name, too; whoever forgets to say which registry is meant may get the other one: choose another name", strings.Join(have, "`, `"))
	if p.Shadowing == ShadowingRefuse {
		return nil, fault.New(fault.Invalid, "%s", text)
	}
	return []string{text}, nil
}
