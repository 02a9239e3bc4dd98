package upkeep

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/crateyard/crateyard/registry/fault"
	"github.com/crateyard/crateyard/registry/storage"
)

// Defaults and limits of a check.
const (
	maxFindings  = 1000 // kept with their texts; the rest is counted
	batch        = 128  // keys whose blobs are read side by side, and after which a position is noted
	checkWorkers = 4
	maxFailing   = 20 // blobs in a row that the storage cannot read: then it is the storage that is broken, and not the blobs
	maxUnmended  = 20 // repairs in a row that fail: then the storage takes none, and no more are tried
)

// Young is the age below which a blob that nothing names is the beginning of a publish, and not an orphan.
const Young = time.Hour

// Checker holds catalog and storage against each other.
type Checker struct {
	Catalog Catalog
	Store   storage.Store
	Feed    Feed // nil: the history of the index is not replayed
	Quick   bool // compare sizes and read no digests
	Workers int  // blobs read at a time; 0: 4
	// SetBack says how the catalog is known to be of an earlier time than the storage; empty: it is not.
	SetBack string

	// Progress is called after each batch with the report so far, from one goroutine. It must be quick.
	Progress func(*Report)
	// Repair, if set, is asked to mend each finding that is Repairable. What it cannot mend stays a finding.
	Repair func(ctx context.Context, f *Finding) error
	// Through, if set, is laid over the readers of blobs, to slow them down.
	Through func(io.Reader) io.Reader

	lost     map[string]int64 // see Lost
	failing  int              // blobs in a row that cannot be read
	unmended int              // repairs in a row that failed
}

// Run checks, and goes on from report if that has a position. The report is what was found, also beside an error, after which Run can go
// on from it. An error means that the check could not be done; what it finds is no error.
func (c *Checker) Run(ctx context.Context, report *Report) error {
	if report.Started.IsZero() {
		report.Started, report.Quick, report.Repair = time.Now().UTC().Truncate(time.Second), c.Quick, c.Repair != nil
	}
	if report.Counts == nil {
		report.Counts = map[Kind]int64{}
	}
	if report.Findings == nil {
		report.Findings = []Finding{}
	}
	if c.Feed != nil {
		lost, err := c.Feed.LostVersions(ctx)
		if err != nil {
			return fmt.Errorf("ask what is lost: %w", err)
		}
		c.lost = lost
	}
	var pairs []pair
	for p, err := range join(ctx, c.Catalog, c.Store, report.Position) {
		if err != nil {
			return fmt.Errorf("list what is there: %w", err)
		}
		if pairs = append(pairs, p); len(pairs) == batch {
			if err := c.batch(ctx, report, pairs); err != nil {
				return err
			}
			pairs = pairs[:0]
		}
	}
	if err := c.batch(ctx, report, pairs); err != nil {
		return err
	}
	if err := c.history(ctx, report); err != nil {
		return err
	}
	report.Done = true
	if c.Progress != nil {
		c.Progress(report)
	}
	return nil
}

// history notes what is wrong with the changes of the index.
func (c *Checker) history(ctx context.Context, report *Report) error {
	found := lostVersions(c.lost)
	if c.SetBack != "" {
		found = append(found, Finding{Kind: SetBack, Key: "catalog", Detail: c.SetBack})
	}
	if c.Feed != nil && !c.Quick {
		wrong, err := replay(ctx, c.Feed)
		if err != nil {
			return fmt.Errorf("replay the changes of the index: %w", err)
		}
		for _, f := range wrong {
			if c.lost[f.Crate] == 0 { // else it is said
				found = append(found, f)
			}
		}
	}
	for _, f := range found {
		report.add(f.advised())
	}
	return nil
}

// batch examines pairs side by side and moves the position behind them.
func (c *Checker) batch(ctx context.Context, report *Report, pairs []pair) error {
	if len(pairs) == 0 {
		return nil
	}
	results := make([]result, len(pairs))
	var g errgroup.Group
	g.SetLimit(cmp.Or(c.Workers, checkWorkers))
	for i, p := range pairs {
		g.Go(func() error {
			r, err := c.examine(ctx, p)
			results[i] = r
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	for i, r := range results {
		for _, f := range r.findings {
			if c.failing++; f.Kind != Unreadable {
				c.failing = 0
			}
			if c.failing >= maxFailing {
				return fmt.Errorf("the storage cannot be read; the last error: %s", f.Detail)
			}
		}
		if r.read > 0 && len(r.findings) == 0 {
			c.failing = 0
		}
		report.count(pairs[i], r)
		for _, f := range r.findings {
			if err := c.settle(ctx, report, f); err != nil {
				return err
			}
		}
	}
	report.Position = pairs[len(pairs)-1].key
	if c.Progress != nil {
		c.Progress(report)
	}
	return nil
}

// settle mends a finding, if that is asked for and possible, and notes it. A repair that fails leaves it as it is: what else is found is worth
// no less for that.
func (c *Checker) settle(ctx context.Context, report *Report, f Finding) error {
	f = f.advised()
	switch {
	case c.Repair == nil || !f.Kind.Repairable():
	case c.unmended >= maxUnmended:
		f.Failed = fmt.Sprintf("not tried, for the last %d repairs failed", maxUnmended)
	default:
		err := c.Repair(ctx, &f)
		if ctx.Err() != nil {
			return ctx.Err() // the next run finds it again, and tries again
		}
		if c.unmended++; err == nil {
			c.unmended = 0
		} else {
			f.Failed = Clean(err)
		}
	}
	report.add(f)
	return nil
}

func (r *Report) add(f Finding) {
	r.Counts[f.Kind]++
	if f.Repaired != "" {
		r.Repaired++
	}
	if len(r.Findings) < maxFindings {
		r.Findings = append(r.Findings, f)
	}
}

// result is what came of one pair.
type result struct {
	findings []Finding
	read     int64 // bytes
	live     bool  // a version that is not deleted
	arriving bool
	orphan   bool
	waiting  bool
}

func (r *Report) count(p pair, res result) {
	if p.info != nil {
		r.Blobs++
		r.StoredBytes += p.info.Size
	}
	if res.live {
		r.Versions++
	}
	if res.arriving {
		r.Arriving++
	}
	if res.waiting {
		r.Waiting++
	}
	if res.orphan {
		r.Orphans++
		r.OrphanBytes += p.info.Size
	}
	r.ReadBytes += res.read
}

// examine looks at one key. What it reports is still so after a second look: a publish or a deletion may have come in between.
func (c *Checker) examine(ctx context.Context, p pair) (result, error) {
	if p.ref == nil {
		return c.unnamed(ctx, p)
	}
	if p.ref.DeletedAt != nil {
		return result{waiting: p.info != nil}, nil
	}
	res := result{}
	bad := func(kind Kind, format string, args ...any) {
		res.findings = append(res.findings, Finding{Kind: kind, Crate: p.ref.Crate, Version: p.ref.Num, Key: p.key,
			Detail: fmt.Sprintf(format, args...), sha256: p.ref.SHA256, size: p.ref.Size, versionID: p.ref.VersionID})
	}
	v, err := c.Catalog.Version(ctx, p.ref.Crate, p.ref.Num)
	if fault.KindOf(err) == fault.NotFound || err == nil && v.SHA256 != p.ref.SHA256 { // deleted meanwhile
		return result{}, nil
	}
	if err != nil {
		return result{}, fmt.Errorf("catalog: %w", err)
	}
	res.live = true
	if err := checkLine(v); err != nil {
		bad(WrongLine, "line of the index: %v", err)
	}
	kind, detail, size, err := c.blob(ctx, p.key, *p.ref, &res.read)
	if err != nil || kind == "" {
		return res, err
	}
	if _, err := c.Catalog.Version(ctx, p.ref.Crate, p.ref.Num); fault.KindOf(err) == fault.NotFound { // deleted, and swept while it was read
		return result{}, nil
	}
	bad(kind, "%s", detail)
	if kind == WrongRow {
		res.findings[len(res.findings)-1].size = size
	}
	return res, nil
}

// blob compares a blob with what the catalog says of it. An empty kind means that they agree. size is that of a blob with the right digest.
func (c *Checker) blob(ctx context.Context, key string, ref Ref, read *int64) (kind Kind, detail string, size int64, err error) {
	info, err := c.Store.Stat(ctx, key)
	if errors.Is(err, fs.ErrNotExist) {
		return MissingBlob, "the storage does not have its archive", 0, nil
	}
	if err != nil {
		return Unreadable, err.Error(), 0, ctx.Err()
	}
	if c.Quick && info.Size == ref.Size {
		return "", "", info.Size, nil
	}
	for range 2 { // once more, should it be the way and not the blob
		sum, n, err := storage.Digest(ctx, c.Store, key, c.Through)
		*read += n
		switch {
		case ctx.Err() != nil:
			return "", "", 0, ctx.Err()
		case errors.Is(err, fs.ErrNotExist):
			kind, detail = MissingBlob, "the storage does not have its archive"
		case err != nil:
			kind, detail = Unreadable, err.Error()
		case sum == ref.SHA256 && n == ref.Size:
			return "", "", n, nil
		case sum == ref.SHA256:
			return WrongRow, fmt.Sprintf("its archive is right and has %d bytes, the catalog says %d, in the row of id %d of its table versions", n, ref.Size, ref.VersionID), n, nil
		case n != ref.Size:
			kind, detail = WrongSize, fmt.Sprintf("its archive has %d bytes and SHA-256 %s, the catalog says %d and %s", n, sum, ref.Size, ref.SHA256)
		default:
			kind, detail = WrongDigest, fmt.Sprintf("its archive has SHA-256 %s, the catalog says %s", sum, ref.SHA256)
		}
	}
	return kind, detail, 0, nil
}

// unnamed looks at a blob that the catalog did not name when it was asked.
func (c *Checker) unnamed(ctx context.Context, p pair) (result, error) {
	name, num, sum, ok := storage.ParseCrateKey(p.key)
	if !ok {
		return result{findings: []Finding{{Kind: UnknownKey, Key: p.key, Detail: fmt.Sprintf("%d bytes, stored %s", p.info.Size, p.info.Modified.UTC().Format(time.RFC3339))}}}, nil
	}
	age := time.Since(p.info.Modified)
	if age < Young {
		return result{arriving: true}, nil
	}
	v, err := c.Catalog.Version(ctx, name, num)
	if err == nil && v.SHA256 == sum {
		return result{}, nil // published meanwhile
	}
	if err != nil && fault.KindOf(err) != fault.NotFound {
		return result{}, fmt.Errorf("catalog: %w", err)
	}
	f := Finding{Kind: Orphan, Crate: name, Version: num, Key: p.key, Detail: fmt.Sprintf("no version names these %d bytes, stored %s ago", p.info.Size, age.Round(time.Minute))}
	switch {
	case c.SetBack != "":
		f.Advice = "keep it: the catalog was set back, and this may be the archive of a version that it does not know any more; no sweep removes it"
	case c.lost[name] > 0:
		f.Advice = "keep it: the catalog has lost versions of this crate, and this may be the archive of one; no sweep removes it"
	}
	return result{orphan: true, findings: []Finding{f}}, nil
}
