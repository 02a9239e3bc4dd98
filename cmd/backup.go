package cmd

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/crateyard/crateyard/registry"
	"github.com/crateyard/crateyard/registry/backup"
	"github.com/crateyard/crateyard/registry/upkeep"
)

func newBackupCommand() *cobra.Command {
	b := &backupFlags{}
	cmd := &cobra.Command{
		Use: "backup", Short: "Back up a registry while it serves; list, verify and prune backups", Args: args(cobra.NoArgs),
		Long: `backup copies the whole registry, catalog and archives, to a folder or a bucket while the server runs. Archives that the target has already
are not copied again. What mirrors have cached is not copied, for it is upstream's: crateyard mirror export makes a bundle of it. --to names the target, else backup.folder or backup.s3 of the configuration. A bucket is written as
s3://BUCKET/PREFIX; ?endpoint=https://…&region=…&pathStyle=true may stand behind it. Its keys come from the AWS environment.`,
		Example: `  crateyard backup --data /var/lib/crateyard --to /mnt/backups
  crateyard backup list --data /var/lib/crateyard --to /mnt/backups
  crateyard backup prune --data /var/lib/crateyard --to /mnt/backups --keep 14`,
		RunE: func(cmd *cobra.Command, _ []string) error { return b.create(cmd) },
	}
	b.add(cmd)
	recheck := func(cmd *cobra.Command) *cobra.Command {
		cmd.Flags().BoolVar(&b.recheck, "recheck", false, "read again all that the target has, and copy anew what is damaged there (else a thirtieth, another one each day)")
		return cmd
	}
	recheck(cmd)
	cmd.PersistentFlags().StringVar(&b.to, "to", "", "where backups are: a folder, or s3://bucket/prefix")
	keep := 0
	prune := &cobra.Command{Use: "prune", Short: "Remove old backups, and archives that no other backup needs", Args: args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error { return b.prune(cmd, keep) }}
	prune.Flags().IntVar(&keep, "keep", 0, "how many to keep (default as in the configuration, 14)")
	cmd.AddCommand(
		recheck(&cobra.Command{Use: "create", Short: "Make a backup", Args: args(cobra.NoArgs), RunE: func(cmd *cobra.Command, _ []string) error { return b.create(cmd) }}),
		&cobra.Command{Use: "list", Short: "List backups", Args: args(cobra.NoArgs), RunE: func(cmd *cobra.Command, _ []string) error { return b.list(cmd) }},
		&cobra.Command{Use: "verify [NAME]", Short: "Read a backup, or the newest, byte by byte", Args: args(cobra.MaximumNArgs(1)),
			RunE: func(cmd *cobra.Command, a []string) error { return b.verify(cmd, firstOf(append(a, "latest")...)) }},
		prune)
	return cmd
}

type backupFlags struct {
	dataFlags
	to      string
	recheck bool
	creates bool // it makes a backup
}

// folder is where backups are, if that is no bucket.
func (b *backupFlags) folder(c registry.Config) string {
	if _, _, isBucket, err := backup.ParseTarget(b.to); isBucket || err != nil {
		return ""
	}
	return cmp.Or(b.to, c.Backup.Folder)
}

// target opens where the backups are. Only what writes needs the registry's own configuration.
func (b *backupFlags) target(ctx context.Context, c registry.Config, create bool) (*target, error) {
	if b.creates {
		if err := c.CheckBackupFolder(b.folder(c)); err != nil {
			return nil, usageError{err}
		}
	}
	if b.to != "" {
		return openTarget(ctx, b.to, create)
	}
	if c.Backup.Folder == "" && c.Backup.S3 == nil {
		return nil, usageError{errors.New("no target: say --to DIR or --to s3://bucket/prefix, or backup.folder or backup.s3 in the configuration")}
	}
	return openConfigured(ctx, "backup", c.Backup.Folder, c.Backup.S3, create)
}

// with runs f with the target, and with the registry when f changes the target.
func (b *backupFlags) with(cmd *cobra.Command, change bool, f func(c registry.Config, t *target, reg *backends, p *progress) error) (err error) {
	c, err := b.settings(change)
	if err != nil {
		return err
	}
	ctx := cmd.Context()
	var reg *backends
	if change {
		if reg, err = openBackends(ctx, c, false, false); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, reg.close()) }()
	}
	t, err := b.target(ctx, c, change)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, t.Close()) }()
	p := newProgress(cmd.ErrOrStderr())
	defer p.end()
	return f(c, t, reg, p)
}

// settings reads the configuration; a registry need not be in it for what only reads backups.
func (b *backupFlags) settings(needed bool) (registry.Config, error) {
	if !needed && b.to != "" {
		return registry.Config{}, b.checkOutput()
	}
	return b.config()
}

// owner says whose backup it is.
func owner(ctx context.Context, c registry.Config, reg *backends) (backup.Registry, error) {
	id, err := reg.Catalog.RegistryID(ctx)
	return backup.Registry{ID: id, Name: c.Name, URL: c.URL, Instance: c.Instance}, err
}

func (b *backupFlags) create(cmd *cobra.Command) error {
	b.creates = true
	return b.with(cmd, true, func(c registry.Config, t *target, reg *backends, p *progress) error {
		whose, err := owner(cmd.Context(), c, reg)
		if err != nil {
			return err
		}
		m, err := (&backup.Creator{Catalog: reg.Catalog, Store: reg.Store, Target: t, Leases: reg.leases(p), Holder: upkeep.NewHolder(), Registry: whose,
			Version: Version(), Recheck: b.recheck, Progress: p.copied}).Create(cmd.Context())
		if err != nil {
			return t.foreign(err)
		}
		p.end()
		if b.output == "json" {
			err = writeJSON(cmd.OutOrStdout(), m)
		} else {
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s: %s (%s), %d of them (%s) copied now\n", m.Name, counted(m.Blobs, "archive", "archives"),
				bytesText(m.Bytes), m.CopiedBlobs, bytesText(m.CopiedBytes))
		}
		return errors.Join(err, m.Complete())
	})
}

func (p *progress) copied(s backup.Progress) {
	p.show(s.Bytes, s.AllIn, "%s: %d of %d, %s", s.Stage, s.Blobs, s.AllBlobs, bytesText(s.Bytes))
}

func (b *backupFlags) list(cmd *cobra.Command) error {
	return b.with(cmd, false, func(_ registry.Config, t *target, _ *backends, _ *progress) error {
		list, unreadable, err := backup.List(cmd.Context(), t)
		if err != nil {
			return err
		}
		if b.output == "json" {
			return errors.Join(writeJSON(cmd.OutOrStdout(), append([]*backup.Manifest{}, list...)), errors.Join(unreadable...))
		}
		err = (&clientFlags{output: "table"}).print(cmd.OutOrStdout(), nil, func(w io.Writer) {
			row(w, "NAME", "FINISHED", "REGISTRY", "ARCHIVES", "SIZE", "MISSING", "VERSION")
			for _, m := range list {
				row(w, m.Name, m.Finished.Format(time.RFC3339), m.Registry.Name, m.Blobs, bytesText(m.Bytes), m.MissingBlobs, m.Version)
			}
		})
		return errors.Join(err, errors.Join(unreadable...))
	})
}

func (b *backupFlags) verify(cmd *cobra.Command, name string) error {
	return b.with(cmd, false, func(_ registry.Config, t *target, _ *backends, p *progress) error {
		v, err := (&backup.Verifier{Target: t, Progress: p.copied}).Verify(cmd.Context(), name)
		if err != nil {
			return err
		}
		p.end()
		if b.output == "json" {
			err = writeJSON(cmd.OutOrStdout(), v)
		} else {
			for _, text := range v.Bad {
				_, _ = fmt.Fprintln(cmd.OutOrStdout(), text) // the exit code says it, too
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s: catalog and %s (%s) read\n", v.Manifest.Name, counted(v.Blobs, "archive", "archives"), bytesText(v.Bytes))
		}
		if v.BadBlobs > 0 {
			err = errors.Join(err, fmt.Errorf("backup %s: %s missing or wrong; `crateyard backup --recheck` copies them anew", v.Manifest.Name, counted(v.BadBlobs, "archive is", "archives are")))
		}
		return errors.Join(err, v.Manifest.Complete())
	})
}

func (b *backupFlags) prune(cmd *cobra.Command, keep int) error {
	return b.with(cmd, true, func(c registry.Config, t *target, reg *backends, p *progress) error {
		if !cmd.Flags().Changed("keep") {
			keep = c.Backup.Keep
		}
		if keep < 1 {
			return usageError{fmt.Errorf("--keep %d: it must be at least 1", keep)}
		}
		if err := reg.SetBack(cmd.Context()); err != nil {
			if _, is := errors.AsType[*registry.SetBackError](err); is {
				err = fmt.Errorf("older backups may have what the catalog does not know any more: %w", err)
			}
			return fmt.Errorf("nothing was pruned: %w", err)
		}
		whose, err := owner(cmd.Context(), c, reg)
		if err != nil {
			return err
		}
		done, err := (&backup.Pruner{Target: t, Leases: reg.leases(p), Holder: upkeep.NewHolder(), Registry: whose, Keep: keep}).Prune(cmd.Context())
		if err != nil {
			return t.foreign(err)
		}
		if b.output == "json" {
			return writeJSON(cmd.OutOrStdout(), done)
		}
		for _, name := range done.Backups {
			_, _ = fmt.Fprintln(cmd.OutOrStdout(), "removed", name) // said for people only
		}
		_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s and %s (%s) removed\n", counted(int64(len(done.Backups)), "backup", "backups"),
			counted(done.Blobs, "archive", "archives"), bytesText(done.Bytes))
		return err
	})
}
