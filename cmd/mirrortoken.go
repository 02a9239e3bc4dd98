package cmd

import (
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/crateyard/crateyard/registry/wire"
)

func newMirrorTokenCommand(cf *clientFlags) *cobra.Command {
	var file string
	var remove bool
	cmd := &cobra.Command{
		Use: "token NAME --upstream-token-file FILE", Short: "Give a mirror another token for its upstream, and change nothing else", Args: args(cobra.ExactArgs(1)),
		Long: `token changes the token that a mirror shows to its upstream; all else that the mirror is to be stays. --upstream-token-file - reads standard input, and
--remove takes the token away. The mirror asks with the new token from then on, on all servers.`,
		Example: "  crateyard mirror token partner --upstream-token-file ./token",
	}
	cmd.Flags().StringVar(&file, "upstream-token-file", "", "file with the token for upstream; - for standard input")
	cmd.Flags().BoolVar(&remove, "remove", false, "take the token away")
	cmd.RunE = func(cmd *cobra.Command, a []string) error {
		if (file == "") != remove {
			return usageError{fmt.Errorf("say --upstream-token-file FILE, or --remove")}
		}
		token := ""
		if !remove {
			var err error
			if token, err = readToken(cmd.InOrStdin(), file); err != nil {
				return err
			}
		}
		c, err := cf.client()
		if err != nil {
			return err
		}
		m, err := c.Mirror(cmd.Context(), a[0])
		if err != nil {
			return err
		}
		if m, err = c.PutMirror(cmd.Context(), a[0], wire.MirrorChange{Spec: m.Spec, Token: &token}); err != nil {
			return err
		}
		for _, text := range m.Warnings {
			note(cmd, "%s", cf.hints(text))
		}
		return cf.print(cmd.OutOrStdout(), m, func(w io.Writer) {
			if remove {
				row(w, "Mirror", m.Name, "shows no token to its upstream from now on")
				return
			}
			row(w, "Mirror", m.Name, "shows the new token to its upstream from now on")
		})
	}
	return cmd
}

// readToken reads a token for an upstream from a file; - is standard input. A file without one is a mistake.
func readToken(in io.Reader, file string) (string, error) {
	var data []byte
	var err error
	if file == "-" {
		data, err = io.ReadAll(io.LimitReader(in, 64<<10))
	} else {
		data, err = os.ReadFile(file)
	}
	if err != nil {
		return "", err
	}
	token := strings.TrimSpace(string(data))
	if token == "" {
		return "", fmt.Errorf("--upstream-token-file %s: it holds no token", file)
	}
	return token, nil
}
