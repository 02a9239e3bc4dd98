package cmd

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/crateyard/crateyard/registry"
	"github.com/crateyard/crateyard/registry/upkeep"
)

func newCheckCommand() *cobra.Command {
	d := &dataFlags{}
	var repair, quick, accept bool
	var from []string
	var state string
	cmd := &cobra.Command{
		Use: "check", Short: "Hold catalog, stored archives and index against each other", Args: args(cobra.NoArgs),
		Long: `check looks at every version: is its archive there, has it its size and SHA-256, does its line in the index say what the catalog says. It
names archives that no version needs, and replays the changes of the index. The server may run meanwhile.

It reads every archive; --quick compares sizes only. --repair puts back what it finds a right copy of: in the backups or folders of
--from, or elsewhere in the storage. What it replaces it keeps under quarantine/ in the storage. It deletes no other thing. Where an archive is right
by its SHA-256 and the catalog says another size, it corrects the catalog.
A storage that is new, and that it has filled, is the registry's afterwards.
Where the catalog is of an earlier time than the storage, as after an older copy of it was put in its place, check says so, and servers and sweeps remove
no archive. --accept-catalog says that it is right as it is.
A check that was not interrupted tells the servers, whose readiness says what is damaged.

The exit code is 0 when nothing is damaged, or all of it was repaired. Archives that no version needs are no damage.`,
		Example: `  crateyard check --data /var/lib/crateyard
  crateyard check --data /var/lib/crateyard --resume check.state
  crateyard check --data /var/lib/crateyard --repair --from /mnt/backups`,
	}
	d.add(cmd)
	f := cmd.Flags()
	f.BoolVar(&repair, "repair", false, "put back what a right copy is found of")
	f.StringArrayVar(&from, "from", nil, "where copies may be: a folder or s3://bucket/prefix with backups, or with a storage; may be given again")
	f.BoolVar(&quick, "quick", false, "compare sizes and read no archives")
	f.BoolVar(&accept, "accept-catalog", false, "the catalog was set back to an earlier time, and is right as it is: sweeps may remove what it does not name")
	f.StringVar(&state, "resume", "", "file to keep the position in: an interrupted check goes on from there")
	cmd.RunE = func(cmd *cobra.Command, _ []string) (err error) {
		c, err := d.config()
		if err != nil {
			return err
		}
		if len(from) > 0 && !repair {
			return usageError{errors.New("--from is for --repair")}
		}
		ctx := cmd.Context()
		b, err := openBackends(ctx, c, false, true)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, b.close()) }()
		p := newProgress(cmd.ErrOrStderr())
		defer p.end()
		checker := &upkeep.Checker{Catalog: b.Catalog, Store: b.Store, Feed: b.Catalog, Quick: quick}
		back, isBack := errors.AsType[*registry.SetBackError](b.SetBack(ctx)) // another error is the check's to say
		if isBack && !accept {
			checker.SetBack = back.Detail()
		}
		if repair {
			copies, closeAll, err := sources(ctx, from)
			defer func() { _ = closeAll() }() // they were only read
			if err != nil {
				return err
			}
			checker.Repair = (&upkeep.Repairer{Store: b.Store, Sources: copies, Rows: b.Catalog}).Repair
		}
		report, err := resume(state, quick, repair)
		if err != nil {
			return err
		}
		whole := report.Position == "" && !quick
		saved := time.Now()
		checker.Progress = func(r *upkeep.Report) {
			p.show(r.ReadBytes, 0, "%d archives, %s read, %d damaged", r.Blobs, bytesText(r.ReadBytes), r.Damaged())
			if state != "" && time.Since(saved) > saveEvery {
				saved = time.Now()
				_ = upkeep.WriteState(state, r) // said below, when it cannot be written at the end
			}
		}
		if err := checker.Run(ctx, report); err != nil {
			if state != "" {
				err = errors.Join(fmt.Errorf("%w; say --resume %s again to go on", err, state), upkeep.WriteState(state, report))
			}
			return err
		}
		if state != "" {
			err = os.Remove(state)
			if errors.Is(err, os.ErrNotExist) {
				err = nil
			}
		}
		p.end()
		if whole {
			if err := b.NoteCheck(ctx, report); err != nil {
				_, _ = fmt.Fprintf(cmd.ErrOrStderr(), "crateyard: the servers cannot be told what was found: %v\n", upkeep.Clean(err)) // a scrub will tell them
			}
		}
		if accept {
			if err := b.AcceptCatalog(ctx); err != nil {
				return err
			}
			if isBack {
				_, _ = fmt.Fprintf(cmd.ErrOrStderr(), "crateyard: accepted, though the storage knew of %s: sweeps may remove again what no version names\n", back.Had) // said for people only
			}
		}
		if repair {
			adopted, aerr := b.Adopt(ctx)
			if err = errors.Join(err, aerr); adopted {
				_, _ = fmt.Fprintln(cmd.ErrOrStderr(), "crateyard: the storage was nobody's and has archives of this registry: it is this registry's now") // said for people only
			}
		}
		return errors.Join(err, showReport(cmd.OutOrStdout(), d.output, report))
	}
	return cmd
}

// saveEvery is how often the position is written.
const saveEvery = 2 * time.Second

// resume reads how far a check came. It must have been one of the same kind: what lies before the position is not looked at again, neither more
// closely nor to repair it.
func resume(state string, quick, repair bool) (*upkeep.Report, error) {
	if state == "" {
		return &upkeep.Report{}, nil
	}
	r, err := upkeep.ReadState(state)
	if err == nil && r.Position != "" && (r.Quick != quick || r.Repair != repair) {
		return nil, usageError{fmt.Errorf("%s is of a check with --quick=%v --repair=%v: say the same, or remove it to begin anew", state, r.Quick, r.Repair)}
	}
	return r, err
}

func showReport(w io.Writer, output string, r *upkeep.Report) error {
	if output == "json" {
		if err := writeJSON(w, r); err != nil {
			return err
		}
	} else {
		var all int64
		for _, n := range r.Counts {
			all += n
		}
		for _, f := range r.Findings {
			_, _ = fmt.Fprintln(w, f) // what cannot be shown, the exit code still says
		}
		if more := all - int64(len(r.Findings)); more > 0 {
			_, _ = fmt.Fprintf(w, "… and %d more\n", more)
		}
		_, _ = fmt.Fprintf(w, "%s and %s (%s) checked, %s read; %s (%s) that no version needs, %d on their way, %d of deleted versions\n",
			counted(r.Versions, "version", "versions"), counted(r.Blobs, "archive", "archives"), bytesText(r.StoredBytes), bytesText(r.ReadBytes),
			counted(r.Orphans, "archive", "archives"), bytesText(r.OrphanBytes), r.Arriving, r.Waiting)
		if r.Repaired > 0 {
			_, _ = fmt.Fprintf(w, "%d repaired\n", r.Repaired)
		}
	}
	if n := r.Damaged(); n > 0 {
		return fmt.Errorf("%s damaged", counted(n, "thing is", "things are"))
	}
	return nil
}

func writeJSON(w io.Writer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	return enc.Encode(v)
}
