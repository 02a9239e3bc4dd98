// Package cmd is the command line: one file a command, wiring only.
package cmd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
)

// Main runs a command line and gives the exit code: 0, 1 when the command failed, 2 when it was used wrongly.
func Main(args []string, in io.Reader, out, errOut io.Writer) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	root := newRootCommand()
	root.SetArgs(args)
	root.SetIn(in)
	root.SetOut(out)
	root.SetErr(errOut)
	cmd, err := root.ExecuteContextC(ctx)
	if err == nil {
		return 0
	}
	_, _ = fmt.Fprintf(errOut, "crateyard: %s\n", saidOf(cmd, err)) // nowhere else to say it
	if _, ok := errors.AsType[usageError](err); ok {
		return 2
	}
	return 1
}

// usageError is a command line that makes no sense.
type usageError struct{ error }

func newRootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:   "crateyard",
		Short: "A registry for Rust crates, and the Kubernetes operator that runs it",
		Long: `crateyard is a registry for Rust crates: publish, sparse index, downloads, owners and tokens in one process and one folder,
and the Kubernetes operator that runs such registries.

Try it:  crateyard serve --data ./data`,
		Version:       Version(),
		RunE:          noSubcommand,
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.SetFlagErrorFunc(func(c *cobra.Command, err error) error {
		return usageError{fmt.Errorf("%w; see `%s --help`", err, c.CommandPath())}
	})
	root.AddCommand(newServeCommand(), newUserCommand(), newGroupCommand(), newTokenCommand(), newCrateCommand(), newMirrorCommand(), newAuditCommand(), newImportCommand(), newCargoConfigCommand(),
		newCheckCommand(), newSweepCommand(), newBackupCommand(), newRestoreCommand(), newOperatorCommand(), newVersionCommand())
	return root
}

// noSubcommand is what a command that only has subcommands does by itself: a script that mistypes one must not go on.
func noSubcommand(c *cobra.Command, a []string) error {
	if len(a) > 0 {
		return usageError{fmt.Errorf("unknown command %q; see `%s --help`", a[0], c.CommandPath())}
	}
	return c.Help()
}

// named gives the arguments that a usage line asks for, before its flags and what may be left out.
func named(use string) (names []string) {
	for _, word := range strings.Fields(use)[1:] {
		if strings.HasPrefix(word, "-") || strings.HasPrefix(word, "[") {
			break
		}
		names = append(names, word)
	}
	return names
}

// args wraps cobra's checks of arguments, so that a wrong number of them is a usage error.
func args(check cobra.PositionalArgs) cobra.PositionalArgs {
	return func(c *cobra.Command, a []string) error {
		if err := check(c, a); err != nil {
			wants := named(c.Use)
			switch {
			case len(a) < len(wants):
				err = fmt.Errorf("missing: %s", strings.Join(wants[len(a):], ", "))
			case len(a) > 0:
				err = fmt.Errorf("%q is one argument too many", a[len(a)-1])
			}
			return usageError{fmt.Errorf("%w; usage: %s", err, c.UseLine())}
		}
		return nil
	}
}
