package cmd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/crateyard/crateyard/registry"
	"github.com/crateyard/crateyard/registry/backup"
	"github.com/crateyard/crateyard/registry/folder"
	"github.com/crateyard/crateyard/registry/storage"
	"github.com/crateyard/crateyard/registry/upkeep"
)

// dataFlags are what every command has that opens catalog and storage by itself, beside a server or without one.
type dataFlags struct {
	cmd          *cobra.Command
	file, output string
}

func (d *dataFlags) add(cmd *cobra.Command) {
	d.cmd = cmd
	f := cmd.PersistentFlags()
	c := registry.DefaultConfig()
	serveFlags(f, &c)
	for _, name := range []string{"listen", "ops-listen", "admin-token-file", "anonymous-read", "crate-size", "log-format", "log-level", "drain-delay", "name", "url"} {
		f.Lookup(name).Hidden = true // they are settings of a server, whose environment this command may have
	}
	f.StringVar(&d.file, "config", "", "the server's YAML file")
	f.StringVarP(&d.output, "output", "o", "text", "text or json")
}

func (d *dataFlags) checkOutput() error {
	if d.output != "text" && d.output != "json" {
		return usageError{fmt.Errorf("--output %q: it must be text or json", d.output)}
	}
	return nil
}

func (d *dataFlags) config() (registry.Config, error) {
	if err := d.checkOutput(); err != nil {
		return registry.Config{}, err
	}
	c, err := serveConfig(d.cmd.PersistentFlags(), d.file)
	if err == nil {
		err = c.Check()
	}
	if err != nil {
		return c, usageError{err}
	}
	return c, nil
}

// backends are an open catalog and storage, and the lock of their folder.
type backends struct {
	*registry.Backends
	lock *os.File // nil: a server may be running
}

func (b *backends) close() (err error) {
	if b.Backends != nil {
		err = b.Close()
	}
	if b.lock != nil {
		err = errors.Join(err, b.lock.Close())
	}
	return err
}

// openBackends opens the registry of a configuration beside a server that may be running. With fresh, it makes what is not there and
// takes the folder for this process alone, which fails while a server has it. With mayLack, the storage may be empty.
func openBackends(ctx context.Context, c registry.Config, fresh, mayLack bool) (_ *backends, err error) {
	b := &backends{}
	defer func() {
		if err != nil {
			err = errors.Join(err, b.close())
		}
	}()
	if fresh {
		if err := os.MkdirAll(c.Data, 0o750); err != nil {
			return nil, folder.Explain(c.Data, err)
		}
		if b.lock, err = os.OpenFile(filepath.Join(c.Data, "lock"), os.O_CREATE|os.O_RDWR, 0o640); err != nil {
			return nil, folder.Explain(c.Data, err)
		}
		if err := syscall.Flock(int(b.lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
			return nil, fmt.Errorf("data folder %s is in use by a server: stop it first, or say another --data", c.Data)
		}
	} else if _, err := os.Stat(filepath.Join(c.Data, "catalog.db")); c.Catalog.Postgres == nil && errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("there is no registry in %s: say the --data or --config of its server", c.Data)
	}
	b.Backends, err = registry.OpenBackends(ctx, &c, registry.BackendOptions{Beside: true, Existing: !fresh, MayLack: mayLack})
	return b, err
}

// leases are the registry's, for a command: it waits for a holder that may have been killed.
func (b *backends) leases(p *progress) upkeep.Leases {
	return &upkeep.Patient{Leases: b.Catalog, Waits: func(left time.Duration) {
		p.show(0, 0, "waiting for another sweep, backup, restore or prune; if it was killed, it is this one's turn in %s at the latest", left.Round(time.Second))
	}}
}

// target is an open place of backups, and how to name it.
type target struct {
	storage.Store
	io.Closer
	name string
}

// Unwrap gives the store itself.
func (t *target) Unwrap() storage.Store { return t.Store }

// foreign names the place whose backups are somebody else's.
func (t *target) foreign(err error) error {
	if errors.Is(err, backup.ErrForeign) {
		return fmt.Errorf("%s: %w", t.name, err)
	}
	return err
}

// openTarget opens where backups are: a folder, or s3://BUCKET/PREFIX with ?endpoint=…&region=…&pathStyle=true behind it where the
// environment does not say it.
func openTarget(ctx context.Context, text string, create bool) (*target, error) {
	_, _, isBucket, err := backup.ParseTarget(text)
	if err != nil {
		return nil, usageError{err}
	}
	if isBucket {
		s3, err := parseS3(text)
		if err != nil {
			return nil, err
		}
		return openBucket(ctx, s3, "backup.s3")
	}
	if !create {
		if err := hasBackups(text); err != nil {
			return nil, err
		}
	}
	s, err := storage.OpenSharedFilesystem(text)
	if err != nil {
		return nil, fmt.Errorf("backups: %w", err)
	}
	return &target{Store: s, Closer: s, name: text}, nil
}

// hasBackups reports why no backups can be read from a folder.
func hasBackups(folder string) error {
	_, err := os.Stat(folder)
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("there is no folder %s: say the one that `crateyard backup --to` was given", folder)
	}
	if err != nil {
		return fmt.Errorf("backups: %w", err)
	}
	return nil
}

func parseS3(text string) (*registry.S3, error) {
	u, err := url.Parse(text)
	if err != nil || u.User != nil || u.Fragment != "" {
		return nil, usageError{fmt.Errorf("%q: it must look like s3://bucket/prefix", text)}
	}
	s3 := &registry.S3{}
	if s3.Bucket, s3.Prefix, _, err = backup.ParseTarget("s3://" + u.Host + u.Path); err != nil {
		return nil, usageError{err}
	}
	for key, values := range u.Query() {
		switch key {
		case "endpoint":
			s3.Endpoint = values[0]
		case "region":
			s3.Region = values[0]
		case "pathStyle":
			if s3.ForcePathStyle, err = strconv.ParseBool(values[0]); err != nil {
				return nil, usageError{fmt.Errorf("%q: pathStyle is true or false", text)}
			}
		case "caFile":
			s3.CAFile = values[0]
		default:
			return nil, usageError{fmt.Errorf("%q: endpoint, region, pathStyle and caFile may stand behind the '?'", text)}
		}
	}
	if err := s3.Check("s3"); err != nil {
		return nil, usageError{fmt.Errorf("%q: %w", text, err)}
	}
	return s3, nil
}

// openConfigured opens a target that a configuration names, under a key.
func openConfigured(ctx context.Context, key, folder string, s3 *registry.S3, create bool) (*target, error) {
	if s3 != nil {
		return openBucket(ctx, s3, key+".s3")
	}
	return openTarget(ctx, folder, create)
}

// openBucket opens a bucket. setting is where it stands, or could stand, in the configuration.
func openBucket(ctx context.Context, s3 *registry.S3, setting string) (*target, error) {
	s, err := (&registry.Config{}).OpenStore(ctx, s3, "", registry.BackendOptions{Beside: true, Setting: setting})
	if err != nil {
		return nil, err
	}
	return &target{Store: s, Closer: s, name: "s3://" + s3.Bucket + "/" + s3.Prefix}, nil
}

// sources opens places with copies of blobs.
func sources(ctx context.Context, names []string) (list []upkeep.Source, closeAll func() error, err error) {
	var open []*target
	closeAll = func() (err error) {
		for _, t := range open {
			err = errors.Join(err, t.Close())
		}
		return err
	}
	for _, name := range names {
		t, err := openTarget(ctx, name, false)
		if err != nil {
			return nil, closeAll, err
		}
		open = append(open, t)
		list = append(list, upkeep.Source{Name: t.name, Store: t, Prefix: backup.SourcePrefix}, upkeep.Source{Name: t.name, Store: t})
	}
	return list, closeAll, nil
}
