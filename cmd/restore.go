package cmd

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/crateyard/crateyard/registry"
	"github.com/crateyard/crateyard/registry/auth"
	"github.com/crateyard/crateyard/registry/backup"
	"github.com/crateyard/crateyard/registry/catalog"
	"github.com/crateyard/crateyard/registry/crate"
	"github.com/crateyard/crateyard/registry/fault"
	"github.com/crateyard/crateyard/registry/publish"
	"github.com/crateyard/crateyard/registry/storage"
	"github.com/crateyard/crateyard/registry/upkeep"
)

func newRestoreCommand() *cobra.Command {
	r := &restoreFlags{}
	cmd := &cobra.Command{
		Use: "restore [NAME]", Short: "Bring a registry back from a backup, or from its archives alone", Args: args(cobra.MaximumNArgs(1)),
		Long: `restore fills an empty registry from a backup: the newest, or the one of NAME. The registry may have other backends than the one that was
backed up: that is how to move from a folder to PostgreSQL and S3. A restore that was cut off can be run again; it keeps what is there. What mirrors had cached, and
the tokens for their upstreams, are in no backup: mirrors that lack something afterwards are named.

--from-blobs makes the catalog anew from archives alone: those of the backups of --from, or those that the storage has, when the catalog is
lost. Users, owners, groups, tokens, mirrors, yanks, deletions, downloads and the audit are in no archive, and do not come back.`,
		Example: `  crateyard restore --data /var/lib/crateyard --from /mnt/backups
  crateyard restore --config new.yaml --from s3://backups/acme 20260102T030405Z-abcdef
  crateyard restore --data /var/lib/crateyard --from-blobs --url https://crates.example.com --owner alice`,
	}
	r.add(cmd)
	u := cmd.PersistentFlags().Lookup("url")
	u.Hidden, u.Usage = false, "with --from-blobs: the registry's public address"
	f := cmd.Flags()
	f.StringVar(&r.from, "from", "", "where the backups are: a folder, or s3://bucket/prefix")
	f.BoolVar(&r.ifEmpty, "if-empty", false, "do nothing, and succeed, when the registry is not empty")
	f.BoolVar(&r.skipDamaged, "skip-damaged", false, "restore the rest where the backup lacks an archive, or has a damaged one")
	f.BoolVar(&r.fromBlobs, "from-blobs", false, "rebuild the catalog from archives alone")
	f.StringVar(&r.owner, "owner", "", "with --from-blobs: user who will own all crates; made when it is not there")
	f.StringArrayVar(&r.aliases, "alias", nil, "with --from-blobs: another address that this registry had; may be given again")
	f.BoolVar(&r.seize, "take-over", false, "with --from-blobs: the storage was that of a catalog that is lost for good, and is this one's from now on")
	f.BoolVar(&r.goOn, "continue", false, "with --from-blobs: go on with a rebuild that was cut off")
	cmd.RunE = func(cmd *cobra.Command, a []string) error { return r.run(cmd, strings.Join(a, "")) }
	return cmd
}

type restoreFlags struct {
	dataFlags
	from, owner              string
	ifEmpty, fromBlobs, goOn bool
	skipDamaged              bool
	seize                    bool
	aliases                  []string
}

func (r *restoreFlags) run(cmd *cobra.Command, name string) (err error) {
	c, err := r.config()
	if err != nil {
		return err
	}
	if !r.fromBlobs && (r.owner != "" || r.goOn || len(r.aliases) > 0) {
		return usageError{errors.New("--owner, --alias and --continue are for --from-blobs")}
	}
	_, _, isBucket, err := backup.ParseTarget(r.from) // before anything is made
	if err != nil {
		return usageError{err}
	}
	if r.from != "" && !isBucket && !r.ifEmpty {
		if err := hasBackups(r.from); err != nil {
			return err
		}
	}
	if err := r.hasArchives(c); err != nil {
		return err
	}
	ctx := cmd.Context()
	b, err := openBackends(ctx, c, true, false)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.close()) }()
	empty, err := b.Catalog.Empty(ctx)
	if err != nil {
		return err
	}
	if r.ifEmpty && !empty {
		_, err := fmt.Fprintln(cmd.OutOrStdout(), "the registry is not empty: nothing to restore")
		return err
	}
	if err := r.owned(ctx, b); err != nil {
		return err
	}
	if !r.fromBlobs && empty { // else the Restorer says that it is not
		if err := unclaimed(ctx, b.Store); err != nil {
			return err
		}
	} else if r.fromBlobs && c.URL == "" {
		return usageError{errors.New("say --url, the address that the registry has: dependencies on it are told from others by that")}
	}
	p := newProgress(cmd.ErrOrStderr())
	defer p.end()
	t, name, err := r.source(ctx, c, name)
	if err != nil {
		return err
	}
	if t != nil {
		defer func() { err = errors.Join(err, t.Close()) }()
	}
	if r.fromBlobs {
		return r.rebuild(cmd, c, b, t, p)
	}
	done, err := (&backup.Restorer{Target: t, Catalog: b.Catalog, Store: b.Store, Leases: b.leases(p), Holder: restoreHolder(c),
		SkipDamaged: r.skipDamaged, Progress: p.copied, Finish: finish(b)}).Restore(ctx, name)
	if err != nil {
		return err
	}
	p.end()
	if r.output == "json" {
		if err := writeJSON(cmd.OutOrStdout(), done); err != nil {
			return err
		}
		return lacked(done)
	}
	for _, key := range done.Missing {
		_, _ = fmt.Fprintf(cmd.OutOrStdout(), "%s: it was missing when the backup was made\n", key) // `crateyard check` says it again
	}
	for _, key := range done.Damaged {
		_, _ = fmt.Fprintf(cmd.OutOrStdout(), "%s: the backup lacks it, or has it damaged\n", key)
	}
	if _, err = fmt.Fprintf(cmd.OutOrStdout(), "%s restored: %s copied, %d were there\n", done.Manifest.Name, counted(done.Copied, "archive", "archives"), done.Kept); err != nil {
		return err
	}
	for _, m := range done.Mirrors {
		if _, err := fmt.Fprintln(cmd.OutOrStdout(), emptiedText(m)); err != nil {
			return err
		}
	}
	return lacked(done)
}

// finish marks catalog and storage as each other's, both of which were empty before.
func finish(b *backends) func(context.Context) error {
	return func(ctx context.Context) error {
		_, err := b.Take(ctx, false)
		if err == nil {
			err = b.NotePosition(ctx)
		}
		if err != nil {
			return fmt.Errorf("all is restored, but the storage is not marked as this registry's, which the same restore or the first start does: %w", err)
		}
		return nil
	}
}

// restoreHolder is who holds the lease of a restore. Over SQLite the folder's lock keeps any other restore out, so all have one name: what a killed
// one still holds is the next one's at once.
func restoreHolder(c registry.Config) string {
	if c.Catalog.Postgres == nil {
		return "restore"
	}
	return upkeep.NewHolder()
}

// hasArchives refuses to make a registry where there are no archives to make it of: the folder is mistyped.
func (r *restoreFlags) hasArchives(c registry.Config) error {
	if !r.fromBlobs || r.from != "" || c.Storage.S3 != nil {
		return nil
	}
	if _, err := os.Stat(filepath.Join(c.StorageFolder(), "crates")); errors.Is(err, fs.ErrNotExist) {
		return noArchives(c.StorageFolder())
	}
	return nil
}

func noArchives(where string) error {
	return fmt.Errorf("there are no archives in %s: say the --data or --config of the registry whose catalog is lost, or --from where its backups are", where)
}

// lacked is an error when the backup was not whole.
func lacked(done *backup.Restored) error {
	n := len(done.Missing) + len(done.Damaged)
	if n == 0 {
		return nil
	}
	return fmt.Errorf("%s lacks %s; the rest is restored. Find them in another backup with `crateyard check --repair --from BACKUPS`",
		done.Manifest.Name, counted(int64(n), "archive", "archives"))
}

// owned refuses to make a catalog of the archives of a registry that may be alive.
func (r *restoreFlags) owned(ctx context.Context, b *backends) error {
	if !r.fromBlobs || r.seize {
		return nil
	}
	id, err := b.Catalog.RegistryID(ctx)
	if err != nil {
		return err
	}
	owner, err := storage.Owner(ctx, b.Store)
	if err == nil && owner != "" && owner != id {
		err = fmt.Errorf("the storage belongs to a registry of id %s, which may be at work: if its catalog is lost for good, say --take-over", owner)
	}
	return err
}

// unclaimed refuses to restore over the archives of a registry.
func unclaimed(ctx context.Context, s storage.Store) error {
	owner, err := storage.Owner(ctx, s)
	if err == nil && owner != "" {
		err = fmt.Errorf("the storage belongs to a registry already, of id %s: restore into an empty folder, bucket or prefix", owner)
	}
	return err
}

// source opens where to restore from, and gives the backup's name. It is nil for a rebuild from the storage itself.
func (r *restoreFlags) source(ctx context.Context, c registry.Config, name string) (*target, string, error) {
	if r.from != "" {
		t, err := openTarget(ctx, r.from, false)
		return t, name, err
	}
	if r.fromBlobs {
		return nil, "", nil
	}
	if from := c.RestoreFrom; from.Folder != "" || from.S3 != nil {
		t, err := openConfigured(ctx, "restoreFrom", from.Folder, from.S3, false)
		return t, cmp.Or(name, from.Name), err
	}
	return nil, "", usageError{errors.New("where from? Say --from DIR or --from s3://bucket/prefix, or restoreFrom in the configuration")}
}

func (r *restoreFlags) rebuild(cmd *cobra.Command, c registry.Config, b *backends, t *target, p *progress) error {
	ctx := cmd.Context()
	by, err := r.user(ctx, b.Catalog)
	if err != nil {
		return err
	}
	limits := crate.DefaultLimits
	limits.Archive = max(limits.Archive, c.Limits.CrateSize)
	limits.Unpacked = max(limits.Unpacked, limits.Archive)
	re := &backup.Rebuilder{From: b.Store, Catalog: b.Catalog, Store: b.Store, Owner: by, Continue: r.goOn,
		Publisher: &publish.Publisher{Limits: limits, URL: cmp.Or(c.URL, "http://"+c.Listen), Aliases: slices.Concat(c.Aliases, r.aliases),
			NewCratesRestricted: c.Publishing.NewCrates == "Restricted"},
		Progress: func(s backup.Progress) { p.show(s.Bytes, 0, "%d archives, %s", s.Blobs, bytesText(s.Bytes)) }}
	if t != nil {
		if re.From, re.FromPrefix, err = blobsOf(ctx, t); err != nil {
			return err
		}
	}
	refused := []backup.Refused{}
	re.Refused = func(f backup.Refused) {
		if r.output == "json" {
			refused = append(refused, f)
			return
		}
		_, _ = fmt.Fprintf(cmd.OutOrStdout(), "%s: %s\n", f.Key, f.Reason) // counted below, too
	}
	deleted := []backup.Refused{}
	re.Deleted = func(f backup.Refused) {
		if r.output == "json" {
			deleted = append(deleted, f)
			return
		}
		_, _ = fmt.Fprintf(cmd.OutOrStdout(), "%s: %s\n", f.Key, f.Reason) // counted below, too
	}
	done, err := re.Rebuild(ctx)
	if err != nil {
		return err
	}
	if t == nil && done == (backup.Rebuilt{}) {
		where := c.StorageFolder()
		if s3 := c.Storage.S3; s3 != nil {
			where = "s3://" + s3.Bucket + "/" + s3.Prefix
		}
		return noArchives(where)
	}
	if _, err := b.Take(ctx, t == nil); err != nil { // archives of the storage itself were those of the catalog that is lost, and are this one's now
		return err
	}
	if t == nil && done.Refused == 0 { // else an archive may be the only copy of what an older catalog does not name; what was deleted is named
		if err := b.AcceptCatalog(ctx); err != nil {
			return err
		}
	}
	p.end()
	if r.output == "json" {
		err = writeJSON(cmd.OutOrStdout(), struct {
			backup.Rebuilt
			Archives        []backup.Refused `json:"archives"`
			DeletedArchives []backup.Refused `json:"deletedArchives"`
		}{done, refused, deleted})
	} else {
		before := ""
		if done.Deleted > 0 {
			before = fmt.Sprintf(", %d stay deleted", done.Deleted)
		}
		_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s with %s brought back, %d were there%s\n", counted(done.Crates, "crate", "crates"),
			counted(done.Versions, "version", "versions"), done.Kept, before)
	}
	if done.Refused > 0 {
		text := counted(done.Refused, "archive", "archives") + " could not be brought back"
		if _, isBack := errors.AsType[*registry.SetBackError](b.SetBack(ctx)); isBack { // what cannot be told now, check tells
			text += ", and so the catalog counts as set back to an earlier time, and no sweep removes them; if they may go, say so with `crateyard check --accept-catalog`"
		}
		err = errors.Join(err, errors.New(text))
	}
	return err
}

// user finds or makes the user who will own all crates.
func (r *restoreFlags) user(ctx context.Context, c *catalog.Catalog) (catalog.Actor, error) {
	if r.owner == "" {
		return catalog.Actor{}, nil
	}
	if err := auth.CheckUserName(r.owner); err != nil {
		return catalog.Actor{}, usageError{err}
	}
	u, err := c.User(ctx, r.owner)
	if fault.KindOf(err) == fault.NotFound {
		u, err = c.CreateUser(ctx, catalog.Actor{}, catalog.User{Name: r.owner, Role: string(auth.Publisher)})
	}
	return catalog.Actor{UserID: u.ID, User: u.Name}, err
}

// blobsOf tells where a target has its archives: it may be a place of backups, or the storage of a registry.
func blobsOf(ctx context.Context, t *target) (storage.Store, string, error) {
	for _, prefix := range []string{backup.SourcePrefix, ""} {
		for _, err := range t.List(ctx, prefix+"crates/", "") {
			return t, prefix, err
		}
	}
	return nil, "", fmt.Errorf("%s has neither backups nor archives", t.name)
}
