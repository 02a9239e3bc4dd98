package cmd

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/crateyard/crateyard/registry/wire"
)

func newUserCommand() *cobra.Command {
	cf := &clientFlags{}
	cmd := &cobra.Command{Use: "user", Short: "Manage the users of a registry", RunE: noSubcommand}
	cf.add(cmd)
	cmd.AddCommand(newUserCreateCommand(cf), newUserListCommand(cf), newUserUpdateCommand(cf), newUserDeleteCommand(cf))
	return cmd
}

func newUserCreateCommand(cf *clientFlags) *cobra.Command {
	var body wire.CreateUser
	cmd := &cobra.Command{
		Use: "create NAME --role reader|publisher|admin", Short: "Create a user", Args: args(cobra.ExactArgs(1)),
		Example: "  crateyard user create alice --role publisher --groups platform --claims 'acme-*'",
	}
	userListFlags(cmd, &body.Groups, &body.Claims)
	cmd.Flags().StringVar(&body.Role, "role", "", "reader, publisher or admin (required)")
	cmd.RunE = func(cmd *cobra.Command, a []string) error {
		if body.Role == "" {
			return usageError{fmt.Errorf("say what the user may do: --role reader, publisher or admin")}
		}
		c, err := cf.client()
		if err != nil {
			return err
		}
		body.Name = a[0]
		u, err := c.CreateUser(cmd.Context(), body)
		if err != nil {
			return err
		}
		return cf.print(cmd.OutOrStdout(), u, func(w io.Writer) { row(w, "Created user", u.Name, u.Role) })
	}
	return cmd
}

// userListFlags are the lists that a user has, all of each: what is not named, it has no longer.
func userListFlags(cmd *cobra.Command, groups, claims *[]string) {
	cmd.Flags().StringSliceVar(groups, "groups", nil, "the groups it is a member of, all of them; those that do not exist are made")
	cmd.Flags().StringSliceVar(claims, "claims", nil, "the names it may give to new crates, such as 'acme-*'; none: any name")
}

func newUserListCommand(cf *clientFlags) *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List the users", Args: args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := cf.client()
			if err != nil {
				return err
			}
			users, err := c.Users(cmd.Context())
			if err != nil {
				return err
			}
			return cf.print(cmd.OutOrStdout(), users, func(w io.Writer) {
				row(w, "NAME", "ROLE", "SUSPENDED", "GROUPS", "CLAIMS", "CREATED")
				for _, u := range users {
					row(w, u.Name, u.Role, u.Suspended, listOr(u.Groups, "-"), listOr(u.Claims, "*"), u.CreatedAt.Format(time.DateOnly))
				}
			})
		},
	}
}

func newUserUpdateCommand(cf *clientFlags) *cobra.Command {
	var role string
	var suspended bool
	var groups, claims []string
	cmd := &cobra.Command{
		Use: "update NAME", Short: "Change a user's role, groups and claims, suspend or resume it", Args: args(cobra.ExactArgs(1)),
		Example: `  crateyard user update alice --suspended
  crateyard user update alice --suspended=false --role reader
  crateyard user update alice --groups platform,release --claims ''
`,
	}
	userListFlags(cmd, &groups, &claims)
	cmd.Flags().StringVar(&role, "role", "", "reader, publisher or admin")
	cmd.Flags().BoolVar(&suspended, "suspended", false, "whether the user's tokens stop working")
	cmd.RunE = func(cmd *cobra.Command, a []string) error {
		var body wire.UpdateUser
		if cmd.Flags().Changed("role") {
			body.Role = &role
		}
		if cmd.Flags().Changed("suspended") {
			body.Suspended = &suspended
		}
		if cmd.Flags().Changed("groups") {
			body.Groups = &groups
		}
		if cmd.Flags().Changed("claims") {
			body.Claims = &claims
		}
		if body == (wire.UpdateUser{}) {
			return usageError{fmt.Errorf("nothing to change: say --role, --suspended, --groups or --claims")}
		}
		c, err := cf.client()
		if err != nil {
			return err
		}
		u, err := c.UpdateUser(cmd.Context(), a[0], body)
		if err != nil {
			return err
		}
		return cf.print(cmd.OutOrStdout(), u, func(w io.Writer) {
			row(w, "NAME", "ROLE", "SUSPENDED", "GROUPS", "CLAIMS")
			row(w, u.Name, u.Role, u.Suspended, listOr(u.Groups, "-"), listOr(u.Claims, "*"))
		})
	}
	return cmd
}

func newUserDeleteCommand(cf *clientFlags) *cobra.Command {
	var force, yes bool
	cmd := &cobra.Command{
		Use: "delete NAME", Short: "Delete a user and its tokens; its crates stay", Args: args(cobra.ExactArgs(1)),
		Long: `delete takes a user and its tokens out of the registry. What it published stays. A user who is the last individual owner of a crate is not
deleted: add another owner first (cargo owner --add), or suspend the user. With --force it is, and administrators alone can change the owners
of such crates from then on. It asks for the name again; --yes answers that, and --force does not.`,
		Example: "  crateyard user delete alice\n  crateyard user delete ci --yes",
		RunE: func(cmd *cobra.Command, a []string) error {
			c, err := cf.client()
			if err != nil {
				return err
			}
			if !yes {
				if _, err := c.User(cmd.Context(), a[0]); err != nil { // nobody is asked about nothing
					return err
				}
				if err := confirm(cmd, "user", a[0]); err != nil {
					return err
				}
			}
			d, err := c.DeleteUser(cmd.Context(), a[0], force)
			if err != nil {
				return err
			}
			return cf.print(cmd.OutOrStdout(), d, func(w io.Writer) {
				row(w, "Deleted user "+a[0])
				if len(d.Ownerless) > 0 {
					row(w, "Crates without an owner now, for an admin to give one: "+strings.Join(d.Ownerless, ", "))
				}
			})
		},
	}
	cmd.Flags().BoolVar(&force, "force", false, "also when crates are left that nobody owns in person")
	cmd.Flags().BoolVar(&yes, "yes", false, "do not ask")
	return cmd
}
