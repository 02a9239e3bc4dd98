package cmd

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/crateyard/crateyard/registry/client"
	"github.com/crateyard/crateyard/registry/wire"
)

func newCrateCommand() *cobra.Command {
	cf := &clientFlags{}
	cmd := &cobra.Command{Use: "crate", Short: "List, show, restrict, yank and delete crates of a registry", RunE: noSubcommand}
	cf.add(cmd)
	cmd.AddCommand(newCrateListCommand(cf), newCrateShowCommand(cf), newCrateRestrictCommand(cf), newCrateOpenCommand(cf), newCrateAccessCommand(cf),
		newCrateYankCommand(cf), newCrateUnyankCommand(cf), newCrateDeleteCommand(cf))
	return cmd
}

func newCrateListCommand(cf *clientFlags) *cobra.Command {
	var s client.Search
	var limit int
	cmd := &cobra.Command{
		Use: "list [TEXT]", Short: "List crates, or search for them", Args: args(cobra.MaximumNArgs(1)),
		Example: "  crateyard crate list\n  crateyard crate list http --sort downloads --limit 20\n  crateyard crate list --keyword parser -o json",
	}
	f := cmd.Flags()
	f.StringVar(&s.Keyword, "keyword", "", "those with a keyword")
	f.StringVar(&s.Category, "category", "", "those of a category")
	f.StringVar(&s.Sort, "sort", "alpha", "alpha, relevance, downloads, recent-downloads, recent-updates or new")
	f.IntVar(&limit, "limit", 100, "how many at most")
	cmd.RunE = func(cmd *cobra.Command, a []string) error {
		if limit < 1 {
			return usageError{fmt.Errorf("--limit %d: it must be at least 1", limit)}
		}
		if len(a) == 1 {
			s.Text = a[0]
		}
		c, err := cf.reader()
		if err != nil {
			return err
		}
		found := []wire.Crate{}
		s.PerPage = min(limit, 100)
		total := 1
		for s.Page = 1; len(found) < min(limit, total); s.Page++ {
			page, err := c.Crates(cmd.Context(), s)
			if err != nil {
				return err
			}
			found, total = append(found, page.Crates...), page.Meta.Total
			if len(page.Crates) == 0 {
				break
			}
		}
		found = found[:min(limit, len(found))]
		return cf.print(cmd.OutOrStdout(), found, func(w io.Writer) {
			row(w, "NAME", "VERSION", "DOWNLOADS", "UPDATED", "RESTRICTED", "DESCRIPTION")
			for _, c := range found {
				row(w, c.Name, highest(c.MaxVersion), c.Downloads, c.UpdatedAt.Format(time.DateOnly), c.Restricted, oneLine(c.Description))
			}
			if more := total - len(found); more > 0 {
				row(w, fmt.Sprintf("… and %d more: say --limit %d", more, total))
			}
		})
	}
	return cmd
}

// highest is the version to show for a crate. crates.io's API says 0.0.0, for cargo search, where none is left that is not yanked.
func highest(version string) string {
	if version == "0.0.0" {
		return "-"
	}
	return version
}

// oneLine is a text as it fits into a table.
func oneLine(s *string) string {
	if s == nil {
		return ""
	}
	line := []rune(strings.Join(strings.Fields(*s), " "))
	if len(line) > 80 {
		line = append(line[:79], '…')
	}
	return string(line)
}

func newCrateShowCommand(cf *clientFlags) *cobra.Command {
	return &cobra.Command{
		Use: "show NAME", Short: "Show a crate, its owners and versions", Args: args(cobra.ExactArgs(1)),
		Example: "  crateyard crate show acme-http",
		RunE: func(cmd *cobra.Command, a []string) error {
			c, err := cf.reader()
			if err != nil {
				return err
			}
			found, err := c.Crate(cmd.Context(), a[0])
			if err != nil {
				return err
			}
			owners, err := c.Owners(cmd.Context(), a[0])
			if err != nil {
				return err
			}
			names := make([]string, 0, len(owners))
			for _, o := range owners {
				names = append(names, o.Login)
			}
			out := struct {
				wire.CrateWithVersions
				Owners []string `json:"owners"`
			}{found, names}
			return cf.print(cmd.OutOrStdout(), out, func(w io.Writer) { showCrate(w, found, names) })
		},
	}
}

func showCrate(w io.Writer, found wire.CrateWithVersions, owners []string) {
	about := found.Crate
	for _, field := range []struct{ name, value string }{
		{"Name", about.Name}, {"Description", oneLine(about.Description)}, {"Owners", listOr(owners, "-")}, {"Keywords", strings.Join(about.Keywords, ",")},
		{"Categories", strings.Join(about.Categories, ",")}, {"Homepage", oneLine(about.Homepage)}, {"Documentation", oneLine(about.Documentation)},
		{"Repository", oneLine(about.Repository)}, {"Downloads", fmt.Sprint(about.Downloads)}, {"Restricted", fmt.Sprint(about.Restricted)},
	} {
		if field.value != "" {
			row(w, field.name+":", field.value)
		}
	}
	row(w)
	row(w, "VERSION", "YANKED", "DOWNLOADS", "BYTES", "LICENSE", "RUST", "BY", "PUBLISHED")
	for _, v := range found.Versions {
		yanked, by := "no", "-"
		if v.Yanked {
			yanked = "yes"
			if v.YankMessage != nil {
				yanked += ": " + oneLine(v.YankMessage)
			}
		}
		if v.PublishedBy != nil {
			by = v.PublishedBy.Login
		}
		row(w, v.Num, yanked, v.Downloads, v.CrateSize, firstOf(oneLine(v.License), "-"), firstOf(oneLine(v.RustVersion), "-"), by, v.CreatedAt.Format(time.DateOnly))
	}
}

// crateAndVersion reads NAME@VERSION, as cargo writes it.
func crateAndVersion(s string) (name, version string, err error) {
	name, version, ok := strings.Cut(s, "@")
	if !ok || name == "" || version == "" {
		return "", "", usageError{fmt.Errorf("%q: name the crate and its version, such as acme-http@1.2.0", s)}
	}
	return name, version, nil
}

func newCrateYankCommand(cf *clientFlags) *cobra.Command {
	var message string
	cmd := &cobra.Command{
		Use: "yank NAME@VERSION", Short: "Have cargo choose a version no more; lockfiles that name it still work", Args: args(cobra.ExactArgs(1)),
		Example: "  crateyard crate yank acme-http@1.2.0 --message 'loses data; use 1.2.1'",
	}
	cmd.Flags().StringVar(&message, "message", "", "why, for people")
	cmd.RunE = func(cmd *cobra.Command, a []string) error {
		name, version, err := crateAndVersion(a[0])
		if err != nil {
			return err
		}
		c, err := cf.client()
		if err != nil {
			return err
		}
		v, err := c.Yank(cmd.Context(), name, version, message)
		if err != nil {
			return err
		}
		return cf.print(cmd.OutOrStdout(), v, func(w io.Writer) { row(w, "Yanked", a[0]) })
	}
	return cmd
}

func newCrateUnyankCommand(cf *clientFlags) *cobra.Command {
	return &cobra.Command{
		Use: "unyank NAME@VERSION", Short: "Have cargo choose a version again", Args: args(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, a []string) error {
			name, version, err := crateAndVersion(a[0])
			if err != nil {
				return err
			}
			c, err := cf.client()
			if err != nil {
				return err
			}
			v, err := c.Unyank(cmd.Context(), name, version)
			if err != nil {
				return err
			}
			return cf.print(cmd.OutOrStdout(), v, func(w io.Writer) { row(w, "Unyanked", a[0]) })
		},
	}
}

func newCrateDeleteCommand(cf *clientFlags) *cobra.Command {
	var message string
	var yes bool
	cmd := &cobra.Command{
		Use: "delete NAME[@VERSION]", Short: "Delete a crate, or one version of it, for ever", Args: args(cobra.ExactArgs(1)),
		Long: `delete takes a crate, or one version of it, out of the registry: whoever builds with it cannot any more, even with a lockfile. To
keep a version from being chosen, yank it. The number of a deleted version is never used again; the name of a deleted crate can be
taken again after 24 hours. It asks for the name again; --yes answers that.`,
		Example: "  crateyard crate delete acme-secret --message 'published by mistake' --yes\n  crateyard crate delete acme-http@1.2.0",
	}
	cmd.Flags().StringVar(&message, "message", "", "why, for the audit (of a whole crate)")
	cmd.Flags().BoolVar(&yes, "yes", false, "do not ask")
	cmd.RunE = func(cmd *cobra.Command, a []string) error {
		name, version, whole, what := a[0], "", !strings.Contains(a[0], "@"), "crate"
		if !whole {
			what = "version"
			var err error
			if name, version, err = crateAndVersion(a[0]); err != nil {
				return err
			}
			if message != "" {
				return usageError{fmt.Errorf("--message is for whole crates; `crateyard crate yank` has one for a version")}
			}
		}
		c, err := cf.client()
		if err != nil {
			return err
		}
		if !yes {
			if err := confirm(cmd, what, a[0]); err != nil {
				return err
			}
		}
		if whole {
			err = c.DeleteCrate(cmd.Context(), name, message)
		} else {
			err = c.DeleteVersion(cmd.Context(), name, version)
		}
		if err != nil {
			return err
		}
		return cf.print(cmd.OutOrStdout(), map[string]string{"deleted": a[0]}, func(w io.Writer) { row(w, "Deleted", a[0]) })
	}
	return cmd
}

// confirm has a person at a terminal type the name of the crate, user or whatever is to be deleted. A script must say --yes.
func confirm(cmd *cobra.Command, what, name string) error {
	in := cmd.InOrStdin()
	if f, ok := in.(*os.File); ok {
		if info, err := f.Stat(); err != nil || info.Mode()&os.ModeCharDevice == 0 {
			return usageError{fmt.Errorf("this deletes %s `%s` for ever, and nobody is here to ask: say --yes", what, name)}
		}
	}
	_, _ = fmt.Fprintf(cmd.ErrOrStderr(), "This deletes %s %s for ever. Type its name to go on: ", what, name) // who cannot read it cannot answer
	line, err := bufio.NewReader(in).ReadString('\n')
	if strings.TrimSpace(line) != name {
		if err == io.EOF && line == "" {
			_, _ = fmt.Fprintln(cmd.ErrOrStderr()) // the question has a line of its own
			return fmt.Errorf("nothing was deleted: no answer; say --yes")
		}
		return fmt.Errorf("nothing was deleted: that is not `%s`", name)
	}
	return nil
}
