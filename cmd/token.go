package cmd

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/crateyard/crateyard/registry/client"
	"github.com/crateyard/crateyard/registry/wire"
)

func newTokenCommand() *cobra.Command {
	cf := &clientFlags{}
	cmd := &cobra.Command{Use: "token", Short: "Manage the tokens of a registry", RunE: noSubcommand}
	cf.add(cmd)
	cmd.AddCommand(newTokenCreateCommand(cf), newTokenListCommand(cf), newTokenRevokeCommand(cf))
	return cmd
}

func newTokenCreateCommand(cf *clientFlags) *cobra.Command {
	var body wire.CreateToken
	var expires string
	cmd := &cobra.Command{
		Use: "create --user NAME", Short: "Create a token and print it, alone", Args: args(cobra.NoArgs),
		Long: `create prints the new token and nothing else; it is shown this once. Scopes are read, publish-new, publish-update, yank,
change-owners and admin; without --scope the token may do all that its user's role allows.`,
		Example: `  crateyard token create --user ci --name pipeline --expires 90d --scope publish-update --crates 'acme-*'
  crateyard token create --user alice | cargo login --registry acme`,
	}
	f := cmd.Flags()
	f.StringVar(&body.User, "user", "", "whose token it is (required)")
	f.StringVar(&body.Name, "name", "cli", "what to call it in lists")
	f.StringVar(&expires, "expires", "", "how long it works, such as 90d or 12h (default: for ever)")
	f.StringSliceVar(&body.Scopes, "scope", nil, "what it may do; several with commas")
	f.StringSliceVar(&body.Crates, "crates", nil, "names of the crates it is for, '*' at the end matches the rest")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if body.User == "" {
			return usageError{fmt.Errorf("say whose token it is: --user NAME")}
		}
		if expires != "" {
			d, err := parseDuration(expires)
			if err != nil {
				return usageError{err}
			}
			at := time.Now().Add(d).UTC().Truncate(time.Second)
			body.ExpiresAt = &at
		}
		c, err := cf.client()
		if err != nil {
			return err
		}
		t, err := c.CreateToken(cmd.Context(), body)
		if client.IsNotFound(err) && strings.Contains(err.Error(), "user `") {
			return fmt.Errorf("%w; crateyard user create %s --role publisher makes it", err, body.User)
		}
		if err != nil {
			return err
		}
		return cf.print(cmd.OutOrStdout(), t, func(w io.Writer) { row(w, t.Secret) })
	}
	return cmd
}

// parseDuration reads Go's durations, and days: 90d.
func parseDuration(s string) (time.Duration, error) {
	if days, ok := strings.CutSuffix(s, "d"); ok {
		if n, err := strconv.Atoi(days); err == nil && n > 0 && n <= 36500 {
			return time.Duration(n) * 24 * time.Hour, nil
		}
	} else if d, err := time.ParseDuration(s); err == nil && d > 0 {
		return d, nil
	}
	return 0, fmt.Errorf("duration %q: write one that is more than nothing, such as 90d, 12h or 30m", s)
}

func newTokenListCommand(cf *clientFlags) *cobra.Command {
	var user string
	cmd := &cobra.Command{Use: "list", Short: "List the tokens, without the tokens themselves", Args: args(cobra.NoArgs)}
	cmd.Flags().StringVar(&user, "user", "", "those of one user")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		c, err := cf.client()
		if err != nil {
			return err
		}
		tokens, err := c.Tokens(cmd.Context(), user)
		if err != nil {
			return err
		}
		return cf.print(cmd.OutOrStdout(), tokens, func(w io.Writer) {
			row(w, "ID", "USER", "NAME", "SCOPES", "CRATES", "EXPIRES", "LAST USED")
			for _, t := range tokens {
				row(w, t.ID, t.User, t.Name, listOr(t.Scopes, "all"), listOr(t.Crates, "*"), expiry(t.ExpiresAt, time.Now()), timeOr(t.LastUsedAt, "never"))
			}
		})
	}
	return cmd
}

func listOr(list []string, none string) string {
	if len(list) == 0 {
		return none
	}
	return strings.Join(list, ",")
}

// expiry says until when a token works.
func expiry(at *time.Time, now time.Time) string {
	if at != nil && !at.After(now) {
		return "expired " + at.Format(time.RFC3339)
	}
	return timeOr(at, "never")
}

func timeOr(t *time.Time, none string) string {
	if t == nil {
		return none
	}
	return t.Format(time.RFC3339)
}

func newTokenRevokeCommand(cf *clientFlags) *cobra.Command {
	return &cobra.Command{
		Use: "revoke ID", Aliases: []string{"delete"}, Short: "Revoke a token, for ever and at once", Args: args(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, a []string) error {
			id, err := strconv.ParseInt(a[0], 10, 64)
			if err != nil {
				return usageError{fmt.Errorf("a token's ID is a number (see `crateyard token list`), not %q", a[0])}
			}
			c, err := cf.client()
			if err != nil {
				return err
			}
			if err := c.DeleteToken(cmd.Context(), id); err != nil {
				return err
			}
			return cf.print(cmd.OutOrStdout(), map[string]int64{"revoked": id}, func(w io.Writer) { row(w, "Revoked token", id) })
		},
	}
}
