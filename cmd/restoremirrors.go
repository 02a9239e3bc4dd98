package cmd

import (
	"fmt"
	"strings"

	"github.com/crateyard/crateyard/registry/backup"
)

// emptiedText says what a mirror has lost with its registry, and how it comes back.
func emptiedText(m backup.EmptiedMirror) string {
	var lost, todo []string
	if m.Archives > 0 || m.Unknown {
		what := fmt.Sprintf("%s (%s)", counted(m.Archives, "cached archive", "cached archives"), bytesText(m.Bytes))
		if m.Unknown {
			what = "what was cached"
		}
		lost = append(lost, what)
		if m.Listed {
			todo = append(todo, "`crateyard mirror sync "+m.Name+"` fetches what is listed")
		}
		todo = append(todo, "`crateyard mirror import "+m.Name+" --from BUNDLE` brings what was exported")
		if !m.Pinned {
			todo = append(todo, "the rest is fetched when it is asked for")
		}
	}
	if m.UpstreamToken || m.Unknown {
		what := "the token for its upstream"
		if m.Unknown {
			what += ", if it had one"
		}
		lost = append(lost, what)
		todo = append(todo, "`crateyard mirror token "+m.Name+" --upstream-token-file FILE` gives the token")
	}
	return fmt.Sprintf("mirror %s came back without %s, which no backup has. Once the server runs: %s", m.Name, strings.Join(lost, " and "), strings.Join(todo, "; "))
}
