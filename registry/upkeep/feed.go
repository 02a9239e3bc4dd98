package upkeep

import (
	"bytes"
	"context"
	"fmt"
	"hash/fnv"
	"maps"
	"math"
	"slices"
	"strings"

	"github.com/crateyard/crateyard/registry/fault"
	"github.com/crateyard/crateyard/registry/index"
)

// replayBytes bounds the index files that a replay holds at a time. Where all are more, it reads the feed again for the rest.
var replayBytes = 64 << 20

// feedPage is how many changes are read in one go.
const feedPage = 1000

// replay tells the history of the index from its beginning and reports the crates for which it does not lead to the lines that the
// catalog serves. It goes over the feed as often as it needs to hold no more than replayBytes: crates are divided by a hash.
func replay(ctx context.Context, feed Feed) (found []Finding, err error) {
	for from, done := uint32(0), false; !done; {
		p := part{files: map[string][]byte{}, broken: map[string]string{}, from: from, to: math.MaxUint32}
		if err := p.follow(ctx, feed); err != nil {
			return nil, err
		}
		for _, name := range p.names() {
			f, err := p.compare(ctx, feed, name)
			if err != nil {
				return nil, err
			}
			if f != nil {
				found = append(found, *f)
			}
		}
		done, from = p.to == math.MaxUint32, p.to+1
	}
	return found, nil
}

// part is the files of the crates whose hashes lie in a range, as the feed makes them.
type part struct {
	files    map[string][]byte
	broken   map[string]string // crates whose changes cannot be applied, and why
	bytes    int
	from, to uint32
	seq      int64
}

// lostVersions reports the crates whose changes name versions that are gone. A replay cannot see it: what is in no row has no line on either side.
func lostVersions(lost map[string]int64) (found []Finding) {
	for _, name := range slices.Sorted(maps.Keys(lost)) {
		found = append(found, Finding{Kind: WrongFeed, Crate: name,
			Detail: fmt.Sprintf("its changes name versions that were taken out of the database (%d of them)", lost[name]),
			Advice: "restore the catalog from a backup, or with `crateyard restore --from-blobs`; the archives may be the last copies, and no sweep removes them"})
	}
	return found
}

func hashOf(name string) uint32 {
	h := fnv.New32a()
	_, _ = h.Write([]byte(name)) // cannot fail
	return h.Sum32()
}

// follow applies the changes after p.seq.
func (p *part) follow(ctx context.Context, feed Feed) error {
	for {
		changes, err := feed.IndexChanges(ctx, p.seq, feedPage)
		if err != nil {
			return err
		}
		for _, ch := range changes {
			if ch.Seq <= p.seq {
				return fmt.Errorf("change %d comes after %d", ch.Seq, p.seq)
			}
			p.seq = ch.Seq
			p.apply(ch)
		}
		if len(changes) < feedPage {
			return nil
		}
	}
}

func (p *part) apply(ch index.Change) {
	if h := hashOf(ch.Crate); h < p.from || h > p.to {
		return
	}
	was := p.files[ch.Crate]
	now, err := ch.Apply(was)
	if err != nil {
		p.broken[ch.Crate] = err.Error()
		return
	}
	if ch.Kind == index.KindRestore || ch.Kind == index.KindRemoveCrate {
		delete(p.broken, ch.Crate)
	}
	p.files[ch.Crate] = now
	for p.bytes += len(now) - len(was); p.bytes > replayBytes && len(p.files) > 1 && p.to > p.from; {
		p.halve()
	}
}

// halve leaves the upper half of the range for later.
func (p *part) halve() {
	p.to = p.from + (p.to-p.from)/2
	for name, file := range p.files {
		if hashOf(name) > p.to {
			p.bytes -= len(file)
			delete(p.files, name)
			delete(p.broken, name)
		}
	}
}

func (p *part) names() []string {
	names := make([]string, 0, len(p.files))
	for name := range p.files {
		names = append(names, name)
	}
	for name := range p.broken {
		names = append(names, name)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// looks is how often two readings that do not agree are made again, for a change that came between them.
const looks = 5

// compare holds what the feed makes of a crate against what the catalog serves. A restricted crate is not in the feed.
func (p *part) compare(ctx context.Context, feed Feed, name string) (*Finding, error) {
	for look := 1; ; look++ {
		served, err := servedFile(ctx, feed, name)
		if err != nil {
			return nil, err
		}
		broken := p.broken[name]
		switch {
		case broken == "" && bytes.Equal(served, p.files[name]):
			return nil, nil
		case look == looks && broken != "":
			return &Finding{Kind: WrongFeed, Crate: name, Detail: broken}, nil
		case look == looks:
			return &Finding{Kind: WrongFeed, Crate: name, Detail: fmt.Sprintf("the changes of the index lead to %d bytes, %d others are served",
				len(p.files[name]), len(served))}, nil
		}
		if err := p.follow(ctx, feed); err != nil {
			return nil, err
		}
	}
}

// servedFile gives what the feed should lead to: nothing for a crate that is not there, that is restricted, or that was deleted and is
// spelled otherwise now.
func servedFile(ctx context.Context, feed Feed, name string) ([]byte, error) {
	f, err := feed.IndexFile(ctx, strings.ToLower(name))
	if fault.KindOf(err) == fault.NotFound {
		return nil, nil
	}
	if other := firstName(f.Text); f.Restricted || other != "" && other != name {
		return nil, err
	}
	return f.Text, err
}

// firstName gives the name in the first line of an index file.
func firstName(file []byte) string {
	rest, ok := bytes.CutPrefix(file, []byte(`{"name":"`))
	name, _, found := bytes.Cut(rest, []byte(`"`))
	if !ok || !found {
		return ""
	}
	return string(name)
}
