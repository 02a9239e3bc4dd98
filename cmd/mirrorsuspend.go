package cmd

import (
	"io"

	"github.com/spf13/cobra"

	"github.com/crateyard/crateyard/registry/wire"
)

// newMirrorSuspendCommand makes the commands suspend and resume.
func newMirrorSuspendCommand(cf *clientFlags, suspend bool) *cobra.Command {
	cmd := &cobra.Command{
		Use: "suspend NAME", Short: "Have a mirror begin no sync by itself, until crateyard mirror resume", Args: args(cobra.ExactArgs(1)),
		Long: `suspend holds back the syncs that begin by themselves: by schedule, when crates or lockfiles change, and after failures. crateyard mirror sync and pin
still run one. What builds ask for is served and cached as before.`,
	}
	if !suspend {
		cmd = &cobra.Command{Use: "resume NAME", Short: "Have a mirror sync by itself again, and now if something changed meanwhile", Args: args(cobra.ExactArgs(1))}
	}
	cmd.RunE = func(cmd *cobra.Command, a []string) error {
		c, err := cf.client()
		if err != nil {
			return err
		}
		m, err := c.Mirror(cmd.Context(), a[0])
		if err != nil {
			return err
		}
		m.Spec.Suspend = suspend
		if m, err = c.PutMirror(cmd.Context(), a[0], wire.MirrorChange{Spec: m.Spec}); err != nil {
			return err
		}
		return cf.print(cmd.OutOrStdout(), m, func(w io.Writer) {
			what := "Resumed"
			if suspend {
				what = "Suspended"
			}
			row(w, what, "the syncs of mirror", m.Name)
		})
	}
	return cmd
}
