package cmd

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/crateyard/crateyard/registry/wire"
)

func newCrateRestrictCommand(cf *clientFlags) *cobra.Command {
	var readers []string
	cmd := &cobra.Command{
		Use: "restrict NAME", Short: "Hide a crate from all but its owners, its readers and admins", Args: args(cobra.ExactArgs(1)),
		Example: "  crateyard crate restrict acme-secret --readers alice,group:platform",
	}
	cmd.Flags().StringSliceVar(&readers, "readers", nil, "who may read it besides its owners: users and group:NAME, all of them (default: those there are)")
	cmd.RunE = func(cmd *cobra.Command, a []string) error {
		yes := true
		body := wire.SetAccess{Restricted: &yes}
		if cmd.Flags().Changed("readers") {
			body.Readers = &readers
		}
		return setAccess(cf, cmd, a[0], body)
	}
	return cmd
}

func newCrateOpenCommand(cf *clientFlags) *cobra.Command {
	return &cobra.Command{
		Use: "open NAME", Short: "Let everybody who reads this registry read a restricted crate", Args: args(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, a []string) error {
			no := false
			return setAccess(cf, cmd, a[0], wire.SetAccess{Restricted: &no})
		},
	}
}

func newCrateAccessCommand(cf *clientFlags) *cobra.Command {
	var edit listEdit
	cmd := &cobra.Command{
		Use: "access NAME", Short: "Show or change who may read a restricted crate", Args: args(cobra.ExactArgs(1)),
		Example: "  crateyard crate access acme-secret\n  crateyard crate access acme-secret --add carol --remove group:platform",
	}
	edit.flags(cmd, "readers", "users and group:NAME")
	cmd.RunE = func(cmd *cobra.Command, a []string) error {
		c, err := cf.client()
		if err != nil {
			return err
		}
		if !edit.asked(cmd) {
			access, err := c.Access(cmd.Context(), a[0])
			if err != nil {
				return err
			}
			return cf.printAccess(cmd, a[0], access)
		}
		readers, err := edit.apply(cmd, func() ([]string, error) {
			access, err := c.Access(cmd.Context(), a[0])
			return access.Readers, err
		})
		if err != nil {
			return err
		}
		return setAccess(cf, cmd, a[0], wire.SetAccess{Readers: &readers})
	}
	return cmd
}

func setAccess(cf *clientFlags, cmd *cobra.Command, name string, body wire.SetAccess) error {
	c, err := cf.client()
	if err != nil {
		return err
	}
	access, err := c.SetAccess(cmd.Context(), name, body)
	if err != nil {
		return err
	}
	return cf.printAccess(cmd, name, access)
}

// printAccess says who may read a crate, and on the error output what the server warns of.
func (c *clientFlags) printAccess(cmd *cobra.Command, name string, access wire.Access) error {
	for _, warning := range access.Warnings {
		_, _ = fmt.Fprintf(cmd.ErrOrStderr(), "crateyard: warning: %s\n", warning) // the table says the rest
	}
	return c.print(cmd.OutOrStdout(), access, func(w io.Writer) {
		row(w, "NAME", "RESTRICTED", "READERS")
		row(w, name, access.Restricted, listOr(access.Readers, "-"))
	})
}
