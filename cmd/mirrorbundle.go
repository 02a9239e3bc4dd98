package cmd

import (
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"
)

func newMirrorExportCommand(cf *clientFlags) *cobra.Command {
	var to string
	cmd := &cobra.Command{
		Use: "export NAME --to FILE", Short: "Write what a mirror has cached into a bundle, for a place without a network", Args: args(cobra.ExactArgs(1)),
		Long: `export writes a bundle: a tar file with a manifest, the index files and the archives that a mirror has cached, each with its digest. crateyard mirror
import loads it into a mirror elsewhere. --to - writes to standard output.`,
		Example: "  crateyard mirror export crates-mirror --to crates.tar\n  crateyard mirror import crates-mirror --from crates.tar",
	}
	cmd.Flags().StringVar(&to, "to", "", "the bundle to write")
	cmd.RunE = func(cmd *cobra.Command, a []string) (err error) {
		if to == "" {
			return usageError{fmt.Errorf("say --to FILE, or --to - for standard output")}
		}
		c, err := cf.client()
		if err != nil {
			return err
		}
		p := newProgress(cmd.ErrOrStderr())
		defer p.end()
		if to == "-" {
			_, err := c.ExportMirror(cmd.Context(), a[0], &counter{w: cmd.OutOrStdout(), p: p})
			return err
		}
		file, err := os.OpenFile(to+".part", os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o644)
		if err != nil {
			return err
		}
		n, err := c.ExportMirror(cmd.Context(), a[0], &counter{w: file, p: p})
		if serr := file.Sync(); err == nil {
			err = serr
		}
		if cerr := file.Close(); err == nil {
			err = cerr
		}
		if err == nil {
			err = os.Rename(to+".part", to) // what stands under the name is whole
		}
		if err != nil {
			return errors.Join(err, os.Remove(to+".part"))
		}
		p.end()
		return cf.print(cmd.OutOrStdout(), map[string]any{"file": to, "bytes": n}, func(w io.Writer) { row(w, "Wrote", to, bytesText(n)) })
	}
	return cmd
}

func newMirrorImportCommand(cf *clientFlags) *cobra.Command {
	var from string
	cmd := &cobra.Command{
		Use: "import NAME --from FILE", Short: "Load a bundle that crateyard mirror export wrote", Args: args(cobra.ExactArgs(1)),
		Long: `import checks each file of a bundle against its digest and the archives against the index files, and loads them into a mirror, which must exist. What is
there already stays. --from - reads standard input.`,
	}
	cmd.Flags().StringVar(&from, "from", "", "the bundle")
	cmd.RunE = func(cmd *cobra.Command, a []string) error {
		if from == "" {
			return usageError{fmt.Errorf("say --from FILE, or --from - for standard input")}
		}
		c, err := cf.client()
		if err != nil {
			return err
		}
		in, size := cmd.InOrStdin(), int64(-1)
		if from != "-" {
			file, err := os.Open(from)
			if err != nil {
				return fmt.Errorf("--from: %w", err)
			}
			defer func() { _ = file.Close() }() // it was read only
			if info, err := file.Stat(); err == nil {
				size = info.Size()
			}
			in = file
		}
		p := newProgress(cmd.ErrOrStderr())
		defer p.end()
		r, err := c.ImportMirror(cmd.Context(), a[0], io.TeeReader(in, &counter{w: io.Discard, p: p, all: max(size, 0)}), size)
		if err != nil {
			return err
		}
		p.end()
		return cf.print(cmd.OutOrStdout(), r, func(w io.Writer) {
			row(w, fmt.Sprintf("%s and %s loaded, %d were there already", counted(r.IndexFiles, "index file", "index files"), counted(r.Crates, "archive", "archives"), r.Present))
		})
	}
	return cmd
}

// counter shows how many bytes went through it.
type counter struct {
	w   io.Writer
	p   *progress
	n   int64
	all int64 // 0: nobody knows
}

func (c *counter) Write(b []byte) (int, error) {
	n, err := c.w.Write(b)
	c.n += int64(n)
	c.p.show(c.n, c.all, "%s", bytesText(c.n))
	return n, err
}
