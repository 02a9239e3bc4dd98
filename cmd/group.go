package cmd

import (
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/crateyard/crateyard/registry/wire"
)

func newGroupCommand() *cobra.Command {
	cf := &clientFlags{}
	cmd := &cobra.Command{
		Use: "group", Short: "Manage groups of users, which own and read crates together", RunE: noSubcommand,
		Long: `A group owns crates and reads restricted ones for all its members. An owner of a crate adds it with
cargo owner --registry REGISTRY --add group:NAME CRATE`,
	}
	cf.add(cmd)
	cmd.AddCommand(newGroupCreateCommand(cf), newGroupListCommand(cf), newGroupUpdateCommand(cf), newGroupDeleteCommand(cf))
	return cmd
}

func groupTable(groups ...wire.Group) func(io.Writer) {
	return func(w io.Writer) {
		row(w, "NAME", "MEMBERS", "CREATED")
		for _, g := range groups {
			row(w, g.Name, listOr(g.Members, "-"), g.CreatedAt.Format(time.DateOnly))
		}
	}
}

func newGroupCreateCommand(cf *clientFlags) *cobra.Command {
	var body wire.CreateGroup
	cmd := &cobra.Command{
		Use: "create NAME", Short: "Create a group", Args: args(cobra.ExactArgs(1)),
		Example: "  crateyard group create platform --members alice,bob",
	}
	cmd.Flags().StringSliceVar(&body.Members, "members", nil, "users, with commas between them")
	cmd.RunE = func(cmd *cobra.Command, a []string) error {
		c, err := cf.client()
		if err != nil {
			return err
		}
		body.Name = a[0]
		g, err := c.CreateGroup(cmd.Context(), body)
		if err != nil {
			return err
		}
		return cf.print(cmd.OutOrStdout(), g, func(w io.Writer) { row(w, "Created group", g.Name) })
	}
	return cmd
}

func newGroupListCommand(cf *clientFlags) *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List the groups and their members", Args: args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := cf.client()
			if err != nil {
				return err
			}
			groups, err := c.Groups(cmd.Context())
			if err != nil {
				return err
			}
			return cf.print(cmd.OutOrStdout(), groups, groupTable(groups...))
		},
	}
}

func newGroupUpdateCommand(cf *clientFlags) *cobra.Command {
	var edit listEdit
	cmd := &cobra.Command{
		Use: "update NAME", Short: "Change the members of a group", Args: args(cobra.ExactArgs(1)),
		Example: "  crateyard group update platform --add carol --remove bob\n  crateyard group update platform --members alice,carol",
	}
	edit.flags(cmd, "members", "users")
	cmd.RunE = func(cmd *cobra.Command, a []string) error {
		if !edit.asked(cmd) {
			return usageError{fmt.Errorf("nothing to change: say --members, or --add and --remove")}
		}
		c, err := cf.client()
		if err != nil {
			return err
		}
		members, err := edit.apply(cmd, func() ([]string, error) {
			g, err := c.Group(cmd.Context(), a[0])
			return g.Members, err
		})
		if err != nil {
			return err
		}
		g, err := c.SetGroupMembers(cmd.Context(), a[0], members)
		if err != nil {
			return err
		}
		return cf.print(cmd.OutOrStdout(), g, groupTable(g))
	}
	return cmd
}

func newGroupDeleteCommand(cf *clientFlags) *cobra.Command {
	var yes bool
	cmd := &cobra.Command{
		Use: "delete NAME", Short: "Delete a group; its members stay", Args: args(cobra.ExactArgs(1)),
		Long: `delete takes a group out of the registry: its members lose what they owned and read through it, and stay themselves. It asks for the name
again; --yes answers that.`,
		RunE: func(cmd *cobra.Command, a []string) error {
			c, err := cf.client()
			if err != nil {
				return err
			}
			if !yes {
				if _, err := c.Group(cmd.Context(), a[0]); err != nil { // nobody is asked about nothing
					return err
				}
				if err := confirm(cmd, "group", a[0]); err != nil {
					return err
				}
			}
			if err := c.DeleteGroup(cmd.Context(), a[0]); err != nil {
				return err
			}
			return cf.print(cmd.OutOrStdout(), map[string]string{"deleted": a[0]}, func(w io.Writer) { row(w, "Deleted group", a[0]) })
		},
	}
	cmd.Flags().BoolVar(&yes, "yes", false, "do not ask")
	return cmd
}

// listEdit is a change to a list of names: the whole list, or what comes in and goes out.
type listEdit struct {
	name             string // of the flag that gives the whole list
	all, add, remove []string
}

func (e *listEdit) flags(cmd *cobra.Command, name, what string) {
	e.name = name
	f := cmd.Flags()
	f.StringSliceVar(&e.all, name, nil, what+" from now on, all of them; '' for none")
	f.StringSliceVar(&e.add, "add", nil, what+" to add to those there are")
	f.StringSliceVar(&e.remove, "remove", nil, what+" to take out")
	cmd.MarkFlagsMutuallyExclusive(name, "add")
	cmd.MarkFlagsMutuallyExclusive(name, "remove")
}

func (e *listEdit) asked(cmd *cobra.Command) bool {
	f := cmd.Flags()
	return f.Changed(e.name) || len(e.add)+len(e.remove) > 0
}

// apply gives the list after the change; now reads it where it is needed.
func (e *listEdit) apply(cmd *cobra.Command, now func() ([]string, error)) ([]string, error) {
	if cmd.Flags().Changed(e.name) {
		return e.all, nil
	}
	list, err := now()
	if err != nil {
		return nil, err
	}
	for _, name := range e.remove {
		if !slices.Contains(list, name) {
			return nil, fmt.Errorf("`%s` is not among the %s: %s", name, e.name, listOr(list, "there are none"))
		}
	}
	list = slices.DeleteFunc(append(list, e.add...), func(name string) bool { return slices.Contains(e.remove, name) })
	slices.Sort(list)
	return slices.Compact(list), nil
}
