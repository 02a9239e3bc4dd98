package cargo

import (
	"sync"

	"github.com/crateyard/crateyard/test/serve"
)

// serverSet is safe for the scripts, which run side by side.
type serverSet struct {
	mu     sync.Mutex
	byData map[string]*serve.Server
}

func newServers() *serverSet { return &serverSet{byData: map[string]*serve.Server{}} }

func (s *serverSet) get(data string) *serve.Server {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.byData[data]
}

func (s *serverSet) set(data string, server *serve.Server) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.byData[data] = server
}
