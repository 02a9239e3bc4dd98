package cmd

import (
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/crateyard/crateyard/registry"
	"github.com/crateyard/crateyard/registry/upkeep"
)

func newSweepCommand() *cobra.Command {
	d := &dataFlags{}
	var dryRun, force bool
	var older registry.Duration
	cmd := &cobra.Command{
		Use: "sweep", Short: "Remove stored archives that no version needs", Args: args(cobra.NoArgs),
		Long: `sweep removes archives that no version names, left by publishes that failed, and those of versions that were deleted, when both are
older than --older-than. The server may run and publish meanwhile, and does the same by itself once a day.`,
		Example: "  crateyard sweep --data /var/lib/crateyard --dry-run\n  crateyard sweep --data /var/lib/crateyard --older-than 7d",
	}
	d.add(cmd)
	cmd.Flags().BoolVar(&dryRun, "dry-run", false, "list what would be removed")
	cmd.Flags().Var((*durationFlag)(&older), "older-than", "how old an archive must be, and how long its version must be deleted; at least 1h (default as in the configuration, 24h)")
	cmd.Flags().BoolVar(&force, "force", false, "remove however much no version names; without it, more than a few stop the sweep")
	cmd.RunE = func(cmd *cobra.Command, _ []string) (err error) {
		c, err := d.config()
		if err != nil {
			return err
		}
		if !cmd.Flags().Changed("older-than") {
			older = c.Sweep.OlderThan
		}
		if time.Duration(older) < upkeep.MinSweepAge {
			return usageError{fmt.Errorf("--older-than %s: it must be at least 1h, for uploads that are on their way", time.Duration(older))}
		}
		b, err := openBackends(cmd.Context(), c, false, false)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, b.close()) }()
		p := newProgress(cmd.ErrOrStderr())
		defer p.end()
		removed := []upkeep.Swept{}
		s := upkeep.Sweeper{Owns: b.MaySweep, Force: force, Catalog: b.Catalog, Marks: b.Catalog, Store: b.Store, Leases: b.leases(p), Holder: upkeep.NewHolder(), OlderThan: time.Duration(older),
			DryRun:   dryRun,
			Progress: func(r upkeep.SweepReport) { p.show(0, 0, "%d archives seen, %d removed", r.Seen, r.Removed) },
			Each: func(s upkeep.Swept) {
				if d.output == "json" {
					removed = append(removed, s)
				} else if dryRun {
					_, _ = fmt.Fprintf(cmd.OutOrStdout(), "%s  %s  %s\n", s.Key, bytesText(s.Size), why(s))
				}
			}}
		rep, err := s.Run(cmd.Context())
		if err != nil {
			return err
		}
		p.end()
		if d.output == "json" {
			return writeJSON(cmd.OutOrStdout(), struct {
				upkeep.SweepReport
				Archives []upkeep.Swept `json:"archives"`
			}{rep, removed})
		}
		did := "removed"
		if dryRun {
			did = "would be removed"
			if rep.Refused != "" {
				did += " with --force"
			}
		}
		if rep.Spared > 0 {
			_, _ = fmt.Fprintf(cmd.OutOrStdout(), "%s spared: the catalog has lost versions of their crates, and they may be the last copies; run `crateyard check`\n",
				counted(rep.Spared, "archive", "archives")) // what cannot be shown, the check still says
		}
		if rep.Refused != "" {
			_, _ = fmt.Fprintf(cmd.OutOrStdout(), "a sweep without --dry-run would remove nothing: %s\n", rep.Refused) // and then says it as its error
		}
		_, err = fmt.Fprintf(cmd.OutOrStdout(), "%d of %s (%s) %s\n", rep.Removed, counted(rep.Seen, "archive", "archives"), bytesText(rep.Bytes), did)
		return err
	}
	return cmd
}

func why(s upkeep.Swept) string {
	if s.Deleted != nil {
		return "its version was deleted " + s.Deleted.UTC().Format(time.RFC3339)
	}
	return "no version names it; stored " + s.Stored.UTC().Format(time.RFC3339)
}

// durationFlag is a duration that may be in days.
type durationFlag registry.Duration

func (d *durationFlag) String() string     { return "" }
func (d *durationFlag) Type() string       { return "duration" }
func (d *durationFlag) Set(s string) error { return (*registry.Duration)(d).UnmarshalText([]byte(s)) }
