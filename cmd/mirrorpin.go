package cmd

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/crateyard/crateyard/registry/client"
	"github.com/crateyard/crateyard/registry/wire"
)

func newMirrorPinCommand(cf *clientFlags) *cobra.Command {
	var file, name string
	var noWait bool
	cmd := &cobra.Command{
		Use: "pin NAME --lockfile Cargo.lock", Short: "Have a mirror cache and keep all that a Cargo.lock names", Args: args(cobra.ExactArgs(1)),
		Long: `pin sends a Cargo.lock to a mirror, which caches each version that it names from the mirror's upstream and never evicts it. It waits until all is
there, and shows how far it is. The lockfile is kept under a name; to pin another text under the same name takes the place of the first.`,
		Example: "  crateyard mirror pin crates-mirror --lockfile Cargo.lock --name acme-app",
	}
	cmd.Flags().StringVar(&file, "lockfile", "", "the Cargo.lock")
	cmd.Flags().StringVar(&name, "name", "", "what to call it there (default: the name of its folder)")
	cmd.Flags().BoolVar(&noWait, "no-wait", false, "do not wait until all is cached")
	cmd.RunE = func(cmd *cobra.Command, a []string) error {
		if file == "" {
			return usageError{fmt.Errorf("say --lockfile Cargo.lock")}
		}
		if name == "" {
			path, err := filepath.Abs(file)
			if err != nil {
				return err
			}
			name = filepath.Base(filepath.Dir(path))
		}
		text, err := os.ReadFile(file)
		if err != nil {
			return fmt.Errorf("--lockfile: %w", err)
		}
		c, err := cf.client()
		if err != nil {
			return err
		}
		l, err := c.PutLockfile(cmd.Context(), a[0], name, bytes.NewReader(text))
		if err != nil {
			return err
		}
		for _, s := range l.Skipped {
			_, _ = fmt.Fprintf(cmd.ErrOrStderr(), "note: %s %s is not mirrored: %s\n", s.Crate, s.Version, s.Reason) // the answer says it, too
		}
		if more := l.SkippedTotal - len(l.Skipped); more > 0 {
			_, _ = fmt.Fprintf(cmd.ErrOrStderr(), "note: and %d more\n", more)
		}
		if l.Versions == 0 {
			note(cmd, "the lockfile has nothing from the registry that mirror %s mirrors, so nothing is pinned", a[0])
		}
		if noWait {
			return cf.print(cmd.OutOrStdout(), l, func(w io.Writer) { row(w, "Pinned", counted(int64(l.Versions), "version", "versions")) })
		}
		return syncAndWait(cmd, cf, c, a[0], int64(l.Versions), func(f wire.MirrorFailure) bool { return names(string(text), name, f) })
	}
	return cmd
}

// names reports whether a lockfile of a mirror wants what failed. Another lockfile, or a list, may have wanted it first.
func names(text, lockfile string, f wire.MirrorFailure) bool {
	entry := fmt.Sprintf("name = %q\nversion = %q\n", f.Crate, f.Version)
	return f.From == "lockfile "+lockfile || strings.Contains(strings.ReplaceAll(text, "\r\n", "\n"), entry)
}

func newMirrorUnpinCommand(cf *clientFlags) *cobra.Command {
	return &cobra.Command{
		Use: "unpin NAME LOCKFILE", Short: "Take a lockfile from a mirror; what it pinned may be evicted from then on", Args: args(cobra.ExactArgs(2)),
		RunE: func(cmd *cobra.Command, a []string) error {
			c, err := cf.client()
			if err != nil {
				return err
			}
			if err := c.DeleteLockfile(cmd.Context(), a[0], a[1]); err != nil {
				return err
			}
			return cf.print(cmd.OutOrStdout(), map[string]string{"unpinned": a[1]}, func(w io.Writer) { row(w, "Unpinned", a[1]) })
		},
	}
}

func newMirrorSyncCommand(cf *clientFlags) *cobra.Command {
	var noWait bool
	cmd := &cobra.Command{
		Use: "sync NAME", Short: "Have a mirror cache now what it is to have, and wait for it", Args: args(cobra.ExactArgs(1)),
	}
	cmd.Flags().BoolVar(&noWait, "no-wait", false, "do not wait for the end")
	cmd.RunE = func(cmd *cobra.Command, a []string) error {
		c, err := cf.client()
		if err != nil {
			return err
		}
		if !noWait {
			return syncAndWait(cmd, cf, c, a[0], 0, nil)
		}
		m, err := c.SyncMirror(cmd.Context(), a[0])
		if err != nil {
			return err
		}
		return cf.print(cmd.OutOrStdout(), m, func(w io.Writer) { row(w, "Asked mirror", m.Name, "to sync") })
	}
	return cmd
}

const (
	syncPoll  = 500 * time.Millisecond
	syncStart = time.Minute // for a server to begin; it looks every two seconds
)

// syncAndWait asks for a sync, and shows how far it is until it ends; least is how many versions it has at least, before it has counted them. A sync with failures is
// an error; with mine, one with failures that are mine.
func syncAndWait(cmd *cobra.Command, cf *clientFlags, c *client.Client, name string, least int64, mine func(wire.MirrorFailure) bool) error {
	m, err := c.SyncMirror(cmd.Context(), name)
	if err != nil {
		return err
	}
	asked := time.Now()
	before := m.Status.Sync.LastEnded
	p := newProgress(cmd.ErrOrStderr())
	defer p.end()
	for {
		s := m.Status.Sync
		ended := s.LastEnded != nil && (before == nil || s.LastEnded.After(*before)) && !s.Running
		if ended && s.Generation >= m.Generation {
			p.end()
			return reportSync(cmd, cf, m, mine)
		}
		if !s.Running && !ended && time.Since(asked) > syncStart {
			return fmt.Errorf("no server has begun the sync in %s; look at its log", syncStart)
		}
		if s.Running {
			all, soFar := s.Total, ""
			if s.Counting || all == 0 {
				all = max(all, least)
			}
			if s.Counting && all > least {
				soFar = " so far"
			}
			p.showBar(s.Done+s.Failed, all, s.FetchedBytes, "%d of %d versions%s cached, %d failed, %s fetched", s.Done, all, soFar, s.Failed, bytesText(s.FetchedBytes))
		} else { // what is said is of the one before
			p.showBar(0, least, 0, "the sync is about to begin")
		}
		if err = wait(cmd.Context(), syncPoll); err == nil {
			m, err = c.Mirror(cmd.Context(), name)
		}
		if err != nil && cmd.Context().Err() != nil {
			return fmt.Errorf("nobody waits for it any more, and the sync goes on at the server: `crateyard mirror status %s` shows how far it is", name)
		}
		if err != nil {
			return err
		}
	}
}

func wait(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func reportSync(cmd *cobra.Command, cf *clientFlags, m wire.Mirror, mine func(wire.MirrorFailure) bool) error {
	s := m.Status.Sync
	err := cf.print(cmd.OutOrStdout(), m, func(w io.Writer) {
		for _, f := range s.Failures {
			row(w, "failed:", fmt.Sprintf("%s %s", f.Crate, f.Version), "wanted by "+f.From, cf.hints(f.Reason))
		}
		if more := s.Failed - int64(len(s.Failures)); more > 0 {
			row(w, "failed:", fmt.Sprintf("%d more", more))
		}
		if s.Total == 0 && !listsAny(m) {
			row(w, "nothing is listed to be cached ahead")
			return
		}
		rest := ""
		if n := s.Total - s.Done - s.Failed; n > 0 {
			rest = fmt.Sprintf(", %d not tried", n)
		}
		row(w, fmt.Sprintf("%d of %s cached, %d of them fetched now (%s), %d failed%s", s.Done, counted(s.Total, "version", "versions"), s.Fetched, bytesText(s.FetchedBytes), s.Failed, rest))
	})
	switch {
	case err != nil:
		return err
	case s.Message != "":
		return fmt.Errorf("%s", s.Message)
	case s.Failed == 0:
		return nil
	case mine == nil:
		return fmt.Errorf("%d could not be cached", s.Failed)
	}
	failed := map[string]bool{} // another lockfile may name the same
	for _, f := range s.Failures {
		if mine(f) {
			failed[f.Crate+"@"+f.Version] = true
		}
	}
	n := len(failed)
	switch more := s.Failed - int64(len(s.Failures)); {
	case n > 0 && more > 0: // of the lockfile, as a rule: its failures are listed first
		return fmt.Errorf("%d of the lockfile could not be cached, and %d more failed that are not listed", n, more)
	case n > 0:
		return fmt.Errorf("%d of the lockfile could not be cached", n)
	case more > 0: // nobody knows whose
		return fmt.Errorf("%d could not be cached, and not all of them are listed", s.Failed)
	}
	note(cmd, "all of the lockfile is cached; what failed is of the mirror's other lists")
	return nil
}
