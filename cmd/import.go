package cmd

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/crateyard/crateyard/registry/backup"
	"github.com/crateyard/crateyard/registry/importer"
)

func newImportCommand() *cobra.Command {
	f := &importFlags{}
	cmd := &cobra.Command{
		Use: "import", Short: "Bring the crates of another registry into this one",
		Long: `import brings crates into a registry as its administrator: their archives byte for byte, so that every Cargo.lock still holds, and
whether they are yanked and when they were published, where the source knows it. Owners and tokens do not come along: the user whose
token is used becomes the owner of new crates, and can give them on with cargo owner.

What is there already with the same bytes is passed over, so an import that was cut off is simply run again. What the rules of this
registry refuse is reported, and the rest goes on; the exit code is then 1.

In the manifests of the crates, dependencies on the registry that they were published to carry its address. Where the source's index does not
say which these are (a folder), name it with --own, once for each address that it ever had, so that they become dependencies on this
registry; a dry run lists the addresses. What was imported with a wrong one stays so.`,
		RunE: noSubcommand,
	}
	f.client.add(cmd)
	p := cmd.PersistentFlags()
	p.StringSliceVar(&f.own, "own", nil, "index address that the source had, as sparse+https://…/index/ or https://….git; may be repeated")
	p.StringToStringVar(&f.others, "map", nil, "OLD=NEW: index addresses of other registries that dependencies shall name from now on; NEW may be crates-io")
	p.BoolVar(&f.dryRun, "dry-run", false, "say what would be imported, and change nothing")
	cmd.AddCommand(f.sparse(), f.folder(), f.meuse(), f.kellnr())
	return cmd
}

type importFlags struct {
	client clientFlags
	own    []string
	others map[string]string
	dryRun bool
}

func (f *importFlags) sparse() *cobra.Command {
	var token string
	var names []string
	cmd := &cobra.Command{
		Use: "sparse INDEX", Short: "From any registry with a sparse index", Args: args(cobra.ExactArgs(1)),
		Example: `  crateyard import sparse sparse+https://old.example.com/index/ --source-token-file ./old-token
  crateyard import sparse https://old.example.com/index/ --crate acme-http --crate acme-json`,
	}
	cmd.Flags().StringVar(&token, "source-token-file", "", "file with the token for reading there")
	cmd.Flags().StringSliceVar(&names, "crate", nil, "only these crates; left out: all that the registry's search lists")
	cmd.RunE = func(cmd *cobra.Command, a []string) error {
		s := importer.Sparse{Index: a[0], Names: names, HTTP: &http.Client{Transport: &http.Transport{
			Proxy: http.ProxyFromEnvironment, DialContext: (&net.Dialer{Timeout: 10 * time.Second}).DialContext, ForceAttemptHTTP2: true,
			TLSHandshakeTimeout: 10 * time.Second, ResponseHeaderTimeout: time.Minute, MaxIdleConnsPerHost: 16, IdleConnTimeout: time.Minute,
		}}}
		if token != "" {
			text, err := os.ReadFile(token)
			if err != nil {
				return err
			}
			s.Token = strings.TrimSpace(string(text))
		}
		bare := strings.TrimPrefix(a[0], "sparse+")
		for _, own := range []string{bare, strings.TrimSuffix(bare, "/"), strings.TrimSuffix(bare, "/") + "/"} {
			f.own = append(f.own, own, "sparse+"+own)
		}
		return f.run(cmd, s)
	}
	return cmd
}

func (f *importFlags) folder() *cobra.Command {
	return &cobra.Command{
		Use: "folder DIR", Short: "From a folder of .crate files", Args: args(cobra.ExactArgs(1)),
		Example: "  crateyard import folder ./crates --own sparse+https://old.example.com/index/",
		RunE:    func(cmd *cobra.Command, a []string) error { return f.run(cmd, importer.Folder{Dir: a[0]}) },
	}
}

func (f *importFlags) meuse() *cobra.Command {
	var m importer.Meuse
	var mirror string
	cmd := &cobra.Command{
		Use: "meuse", Short: "From Meuse's folder of crates and a clone of its index, or what it mirrored into a mirror", Args: args(cobra.NoArgs),
		Long: `meuse imports the crates that were published to a Meuse. With --mirror it imports instead what that Meuse cached of crates.io, into a mirror of this
registry, which must exist: NAME/VERSION/download below .crates.io in the folder, or in the bucket s3://BUCKET?endpoint=…&region=…&pathStyle=true.

The registry holds each of these files against the index of the mirror's upstream, for Meuse kept no checksums. A file with other bytes, or of a version
that upstream does not have or the policy denies, is named and not taken. When upstream is away and has not been asked for a crate before, nothing
vouches for its files: the import ends, and goes on from there when it is run again.`,
		Example: `  crateyard import meuse --store /srv/meuse/crates --index /srv/meuse/index --own https://git.example.com/index.git
  crateyard import meuse --store /srv/meuse/crates --mirror crates-mirror
  crateyard import meuse --store 's3://meuse?endpoint=https://s3.example.com&pathStyle=true' --mirror crates-mirror`,
	}
	cmd.Flags().StringVar(&m.Store, "store", "", "folder of the crates: crate.path in Meuse's configuration; with --mirror its bucket, too")
	cmd.Flags().StringVar(&m.Index, "index", "", "clone of the git index: metadata.path in Meuse's configuration")
	cmd.Flags().StringVar(&mirror, "mirror", "", "mirror of this registry to import into what Meuse mirrored")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		switch {
		case mirror != "" && m.Store != "" && m.Index == "":
			return f.meuseMirror(cmd, m.Store, mirror)
		case m.Store == "" || m.Index == "" || mirror != "":
			return usageError{fmt.Errorf("say --store with --index, or --store with --mirror")}
		}
		return f.run(cmd, m)
	}
	return cmd
}

// meuseMirror imports what Meuse mirrored.
func (f *importFlags) meuseMirror(cmd *cobra.Command, store, mirror string) error {
	source := importer.MeuseMirror{Dir: store}
	_, _, isBucket, err := backup.ParseTarget(store)
	if err != nil {
		return usageError{err}
	}
	if isBucket {
		bucket, err := openTarget(cmd.Context(), store, false)
		if err != nil {
			return err
		}
		defer func() { _ = bucket.Close() }() // it was read only
		source = importer.MeuseMirror{Bucket: bucket}
	}
	c, err := f.client.client()
	if err != nil {
		return err
	}
	imp := &importer.MirrorImporter{Target: c, Mirror: mirror, DryRun: f.dryRun}
	return f.follow(cmd, &imp.Progress, func(ctx context.Context) (importer.Report, error) { return imp.Run(ctx, source) })
}

func (f *importFlags) kellnr() *cobra.Command {
	return &cobra.Command{
		Use: "kellnr DIR", Short: "From Kellnr's data folder, with its SQLite database", Args: args(cobra.ExactArgs(1)),
		Example: "  crateyard import kellnr /srv/kellnr --own sparse+https://kellnr.example.com/api/v1/crates/ --map sparse+https://kellnr.example.com/api/v1/cratesio/=crates-io",
		RunE:    func(cmd *cobra.Command, a []string) error { return f.run(cmd, importer.Kellnr{Dir: a[0]}) },
	}
}

// registries is what the addresses in manifests become.
func (f *importFlags) registries() map[string]string {
	all := map[string]string{}
	for _, own := range f.own {
		all[own] = ""
	}
	for old, now := range f.others {
		if now == "crates-io" {
			now = importer.CratesIO
		}
		all[old] = now
	}
	return all
}

func (f *importFlags) run(cmd *cobra.Command, s importer.Source) error {
	c, err := f.client.client()
	if err != nil {
		return err
	}
	imp := &importer.Importer{Target: c, Registries: f.registries(), DryRun: f.dryRun}
	return f.follow(cmd, &imp.Progress, func(ctx context.Context) (importer.Report, error) { return imp.Run(ctx, s) })
}

// sourceAway is the error of an import whose source cannot be reached: it is not the registry of --url that is away.
type sourceAway struct{ error }

func isDial(err error) bool {
	dial, ok := errors.AsType[*net.OpError](err)
	return ok && dial.Op == "dial"
}

func isSource(err error) bool {
	_, ok := errors.AsType[*importer.SourceError](err)
	return ok
}

// follow runs an import, shows how far it is, and says what it did.
func (f *importFlags) follow(cmd *cobra.Command, told *func(importer.Report), run func(context.Context) (importer.Report, error)) error {
	p := newProgress(cmd.ErrOrStderr())
	*told = func(r importer.Report) { // called by one at a time
		p.show(r.Bytes, 0, "%d crates looked at: %d versions imported, %d there already, %d failed", r.Crates, r.Imported, r.Present, r.Failed)
	}
	report, err := run(cmd.Context())
	p.end()
	if err != nil && isSource(err) && !isDial(err) && report.Crates == 0 && report.Failed == 0 {
		return err // nothing was read, so there is nothing to report
	}
	if perr := f.print(cmd, report); perr != nil {
		return perr
	}
	switch {
	case isDial(err) && isSource(err):
		return sourceAway{fmt.Errorf("the source cannot be reached; look at its address, and whether it runs: %w", err)}
	case err != nil:
		return fmt.Errorf("%w; what was imported stays, run it again to go on", err)
	case report.Failed > 0:
		return fmt.Errorf("%d could not be imported", report.Failed)
	}
	return nil
}

func (f *importFlags) print(cmd *cobra.Command, r importer.Report) error {
	if f.client.output == "json" {
		if r.Failures == nil {
			r.Failures = []importer.Failure{}
		}
		enc := json.NewEncoder(cmd.OutOrStdout())
		enc.SetIndent("", "  ")
		return enc.Encode(r)
	}
	verb := "imported"
	if f.dryRun {
		verb = "to be imported"
	}
	var text strings.Builder
	for _, address := range slices.Sorted(maps.Keys(r.Registries)) {
		fmt.Fprintf(&text, "note: %d versions depend on crates of %s; if that was this registry under another name, say --own %s\n", r.Registries[address], address, address)
	}
	for _, x := range r.Unlisted {
		fmt.Fprintf(&text, "passed over: %s %s: %s\n", x.Crate, x.Version, x.Reason)
	}
	if r.More > 0 {
		fmt.Fprintf(&text, "passed over: %d more\n", r.More)
	}
	for _, x := range r.Failures {
		fmt.Fprintf(&text, "failed: %s: %s\n", strings.TrimSpace(x.Crate+" "+x.Version), strings.ReplaceAll(x.Reason, "\n", "; "))
	}
	if more := r.Failed - len(r.Failures); more > 0 {
		fmt.Fprintf(&text, "failed: %d more\n", more)
	}
	fmt.Fprintf(&text, "%s: %s %s (%s), %d there already, %d failed\n", counted(int64(r.Crates), "crate", "crates"), counted(int64(r.Imported), "version", "versions"),
		verb, bytesText(r.Bytes), r.Present, r.Failed)
	_, err := fmt.Fprint(cmd.OutOrStdout(), text.String())
	return err
}
