package cmd

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/crateyard/crateyard/registry/wire"
)

func newMirrorCommand() *cobra.Command {
	cf := &clientFlags{}
	cmd := &cobra.Command{
		Use: "mirror", Short: "Mirror crates.io or another registry: cached, cached ahead, and under policy", RunE: noSubcommand,
		Long: `A mirror is an upstream registry, crates.io unless you say otherwise, that is cached beside the crates of this registry. cargo uses it in the
upstream's place:

  crateyard mirror create crates-mirror
  crateyard cargo-config --mirror crates-mirror >> ~/.cargo/config.toml

Index files pass through byte for byte; archives are checked, stored, and served from here from then on. All commands need an admin's token.`,
	}
	cf.add(cmd)
	cmd.AddCommand(newMirrorCreateCommand(cf), newMirrorListCommand(cf), newMirrorStatusCommand(cf), newMirrorSyncCommand(cf), newMirrorPinCommand(cf),
		newMirrorUnpinCommand(cf), newMirrorCacheCommand(cf), newMirrorForgetCommand(cf), newMirrorTryCommand(cf), newMirrorDeleteCommand(cf),
		newMirrorTokenCommand(cf), newMirrorExportCommand(cf), newMirrorImportCommand(cf), newMirrorSuspendCommand(cf, true), newMirrorSuspendCommand(cf, false))
	return cmd
}

func newMirrorListCommand(cf *clientFlags) *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List the mirrors", Args: args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := cf.client()
			if err != nil {
				return err
			}
			list, err := c.Mirrors(cmd.Context())
			if err != nil {
				return err
			}
			return cf.print(cmd.OutOrStdout(), list, mirrorTable(list...))
		},
	}
}

func mirrorTable(mirrors ...wire.Mirror) func(io.Writer) {
	return func(w io.Writer) {
		row(w, "NAME", "UPSTREAM", "MODE", "UP", "ARCHIVES", "SIZE", "SYNC", "FAILED", "SYNCED")
		for _, m := range mirrors {
			synced, failed := "-", "-"
			if listsAny(m) {
				synced, failed = ago(m.Status.Sync.LastSuccessful), fmt.Sprint(m.Status.Sync.Failed)
			}
			row(w, m.Name, m.Spec.Upstream.Index, m.Spec.Mode, upText(m), m.Status.Crates, bytesText(m.Status.Bytes), syncText(m), failed, synced)
		}
	}
}

// upText says in a word whether upstream answers, and the mirror gives anything out.
func upText(m wire.Mirror) string {
	s := m.Status
	switch {
	case m.Unadvised():
		return "no advisories"
	case s.Upstream.Ready && s.NeverReached():
		return "not asked"
	case s.Upstream.Ready:
		return "yes"
	case s.NeverReached():
		return "never"
	}
	return "no"
}

// listsAny reports whether anything is cached ahead, so that a sync has something to do.
func listsAny(m wire.Mirror) bool { return len(m.Spec.Crates)+len(m.Lockfiles) > 0 }

// syncText says how far a sync is; what of the total is neither cached nor failed was not tried yet.
func syncText(m wire.Mirror) string {
	s, text := m.Status.Sync, "-"
	if s.Total > 0 {
		text = fmt.Sprintf("%d/%d", s.Done, s.Total)
	}
	switch {
	case s.Running && s.Total == 0: // it has just begun
		return "running"
	case s.Counting:
		text += "+ running"
	case s.Running:
		text += " running"
	case m.Spec.Suspend:
		text += " suspended"
	}
	return text
}

func ago(t *time.Time) string {
	if t == nil {
		return "never"
	}
	return time.Since(*t).Round(time.Second).String() + " ago"
}

func newMirrorStatusCommand(cf *clientFlags) *cobra.Command {
	return &cobra.Command{
		Use: "status NAME", Short: "Show how a mirror stands", Args: args(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, a []string) error {
			c, err := cf.client()
			if err != nil {
				return err
			}
			m, err := c.Mirror(cmd.Context(), a[0])
			if err != nil {
				return err
			}
			return cf.print(cmd.OutOrStdout(), m, mirrorDetails(cf, m))
		},
	}
}

func mirrorDetails(cf *clientFlags, m wire.Mirror) func(io.Writer) {
	return func(w io.Writer) {
		st, s := m.Status, m.Status.Sync
		row(w, "Name:", m.Name)
		row(w, "Index:", m.IndexURL)
		row(w, "Upstream:", m.Spec.Upstream.Index)
		switch {
		case st.Upstream.Ready && st.NeverReached():
			row(w, "", "not asked yet")
		case st.NeverReached():
			row(w, "", "never reached: "+st.Upstream.Message)
		case !st.Upstream.Ready:
			row(w, "", "of no help: "+st.Upstream.Message)
		}
		row(w, "Mode:", m.Spec.Mode)
		for i, rule := range policyLines(m.Spec.Policy) {
			row(w, []string{"Policy:", ""}[min(i, 1)], rule)
		}
		if a := st.Advisories; a != nil && !a.Ready {
			why, means := a.Message, "no version is warned of before they are"
			if why == "" {
				why = "they are being read"
			}
			if m.Unadvised() {
				means = "nothing is given out before they are"
			}
			row(w, "Advisories:", fmt.Sprintf("%s: not read: %s; %s", a.Backend, why, means))
		}
		row(w, "Cached:", fmt.Sprintf("%s, %s, %s", counted(st.IndexFiles, "index file", "index files"), counted(st.Crates, "archive", "archives"), bytesText(st.Bytes)))
		if !listsAny(m) {
			row(w, "Sync:", strings.TrimPrefix(syncText(m)+", nothing is listed to be cached ahead", "-, "))
		} else {
			row(w, "Sync:", fmt.Sprintf("%s, %d failed, last %s, without a failure %s", syncText(m), s.Failed, ago(s.LastEnded), ago(s.LastSuccessful)))
		}
		if s.Message != "" {
			row(w, "", s.Message)
		}
		if s.Next != nil {
			row(w, "Next sync:", s.Next.Format(time.RFC3339))
		}
		for _, l := range m.Lockfiles {
			row(w, "Lockfile:", fmt.Sprintf("%s: %s, %s of other sources", l.Name, counted(int64(l.Versions), "version", "versions"), counted(int64(l.SkippedTotal), "entry", "entries")))
			for _, x := range l.Skipped {
				row(w, "", fmt.Sprintf("%s %s: %s", x.Crate, x.Version, x.Reason))
			}
		}
		for _, f := range s.Failures {
			row(w, "Failed:", fmt.Sprintf("%s %s (wanted by %s): %s", f.Crate, f.Version, f.From, cf.hints(f.Reason)))
		}
		for _, p := range st.Problems {
			row(w, "Problem:", cf.hints(p))
		}
		for _, name := range st.Shadowed {
			row(w, "Shadowed:", name+" is both here and upstream")
		}
	}
}

func newMirrorDeleteCommand(cf *clientFlags) *cobra.Command {
	var yes bool
	cmd := &cobra.Command{
		Use: "delete NAME", Short: "Delete a mirror and all that it cached", Args: args(cobra.ExactArgs(1)),
		Long: "delete removes a mirror with its lockfiles and all that it cached. It asks for the name again; --yes answers that.",
		RunE: func(cmd *cobra.Command, a []string) error {
			c, err := cf.client()
			if err != nil {
				return err
			}
			if !yes {
				if _, err := c.Mirror(cmd.Context(), a[0]); err != nil { // nobody is asked about nothing
					return err
				}
				if err := confirm(cmd, "mirror", a[0]); err != nil {
					return err
				}
			}
			if err := c.DeleteMirror(cmd.Context(), a[0]); err != nil {
				return err
			}
			return cf.print(cmd.OutOrStdout(), map[string]string{"deleted": a[0]}, func(w io.Writer) { row(w, "Deleted mirror", a[0]) })
		},
	}
	cmd.Flags().BoolVar(&yes, "yes", false, "do not ask")
	return cmd
}

func newMirrorCacheCommand(cf *clientFlags) *cobra.Command {
	return &cobra.Command{
		Use: "cache NAME CRATE VERSION", Short: "Fetch one version into a mirror now", Args: args(cobra.ExactArgs(3)),
		RunE: func(cmd *cobra.Command, a []string) error {
			c, err := cf.client()
			if err != nil {
				return err
			}
			m, err := c.CacheCrate(cmd.Context(), a[0], a[1], a[2])
			if err != nil {
				return err
			}
			return cf.print(cmd.OutOrStdout(), m, func(w io.Writer) {
				what := "It was there already:"
				if m.Fetched {
					what = "Fetched"
				}
				row(w, what, fmt.Sprintf("%s %s, %s", m.Crate, m.Version, bytesText(m.Size)))
			})
		},
	}
}

func newMirrorForgetCommand(cf *clientFlags) *cobra.Command {
	return &cobra.Command{
		Use: "forget NAME CRATE", Short: "Drop what a mirror cached of a crate", Args: args(cobra.ExactArgs(2)),
		Long: `forget drops the index file and the archives of a crate from a mirror; they are fetched anew when they are asked for, and what
lockfiles or lists of the mirror keep of it at once. It is the way to take over a
checksum that upstream changed, after you have found out why.`,
		RunE: func(cmd *cobra.Command, a []string) error {
			c, err := cf.client()
			if err != nil {
				return err
			}
			if err := c.ForgetCrate(cmd.Context(), a[0], a[1]); err != nil {
				return err
			}
			if err := cf.print(cmd.OutOrStdout(), map[string]string{"forgotten": a[1]}, func(w io.Writer) { row(w, "Forgot", a[1]) }); err != nil {
				return err
			}
			m, err := c.Mirror(cmd.Context(), a[0])
			if err != nil {
				note(cmd, "it is forgotten; whether a sync fetches it again cannot be told: %v", err)
				return nil
			}
			switch s := m.Status.Sync; {
			case listsAny(m) && (s.Requested || s.Running):
				note(cmd, "what the mirror's lockfiles and lists keep is fetched again by a sync that begins by itself; `crateyard mirror status %s` tells how far it is", a[0])
			case m.Spec.Suspend && s.Message != "":
				note(cmd, "%s", cf.hints(s.Message))
			}
			return nil
		},
	}
}
