package cargo

import (
	"sync"

	"github.com/crateyard/crateyard/test/serve"
)

// yard is what a script has running: servers by what cargo calls them, in the order of their first start, and the tokens made.
type yard struct {
	names   []string
	servers map[string]*serve.Server
	tokens  []string
}

// yards are those of all scripts, which run side by side, by a script's own folder.
var yards = struct {
	mu sync.Mutex
	by map[string]*yard
}{by: map[string]*yard{}}

func yardOf(work string) *yard {
	yards.mu.Lock()
	defer yards.mu.Unlock()
	y := yards.by[work]
	if y == nil {
		y = &yard{servers: map[string]*serve.Server{}}
		yards.by[work] = y
	}
	return y
}
