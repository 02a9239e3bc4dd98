package catalog

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
)

// MirrorLeases is what one server wants of the leases on archives of mirrors, of which it has one while it fetches the archive. No archive is in it twice.
type MirrorLeases struct {
	Holder string
	TTL    time.Duration // how long they last that are taken or renewed. No server ever takes one for longer: see LeaseWithin
	Back   []MirrorKey   // are given back; what the holder does not have is no error
	Renew  []MirrorKey
	Take   []MirrorKey
}

// MirrorLease is what became of a lease that was to be taken.
type MirrorLease struct {
	Has bool
	// Stored is the archive, if it was stored by the time that the lease was taken, or found to be another's; nil: it was not.
	Stored *MirrorCrate
}

// LeaseMirrorCrates gives leases back, renews and takes them, and looks for the archives of those that are taken, all in one round trip to PostgreSQL, the only
// database that servers share. It tells of each that was to be taken, in their order. After an error it is not known what was done.
//
// None of it is durable: a primary that crashes may forget the last moments of it. A lease that is forgotten costs a second fetch, and one
// whose return is forgotten ends by itself.
func (c *Catalog) LeaseMirrorCrates(ctx context.Context, l MirrorLeases) (taken []MirrorLease, err error) {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	err = c.again(ctx, func() ([]change, error) {
		return nil, c.batches(ctx, func(conn batcher) (open bool, err error) {
			b := &leaseBatch{MirrorLeases: l, taken: make([]MirrorLease, len(l.Take))}
			taken = b.taken
			if err := b.queued(c); err != nil {
				return false, err
			}
			answers := conn.SendBatch(ctx, &b.queue.Batch)
			err = b.read(answers)
			if cerr := answers.Close(); err == nil {
				err = cerr
			}
			return err != nil, err
		})
	})
	return taken, err
}

// lease is the name of the lease on an archive.
func (k MirrorKey) lease() string { return fmt.Sprintf("mirror/%d/%s@%s", k.MirrorID, k.Name, k.Num) }

// leaseBatch is one round trip. A statement for each lease costs PostgreSQL no more than one for all: mostly there are few.
type leaseBatch struct {
	MirrorLeases
	taken []MirrorLease
	queue queue
	steps []leaseStep
}

// leaseStep is the statement of one lease.
type leaseStep struct {
	name string
	back bool
	has  *bool // nil: nobody asks
}

// queued makes the statements.
func (b *leaseBatch) queued(c *Catalog) error {
	for _, k := range b.Back {
		b.steps = append(b.steps, leaseStep{name: k.lease(), back: true})
	}
	for _, k := range b.Renew {
		b.steps = append(b.steps, leaseStep{name: k.lease()})
	}
	for i, k := range b.Take {
		b.steps = append(b.steps, leaseStep{name: k.lease(), has: &b.taken[i].Has})
	}
	// All servers lock the rows in this order, or two that want what the other gives back would wait for each other.
	slices.SortFunc(b.steps, func(x, y leaseStep) int { return strings.Compare(x.name, y.name) })
	b.queue.add(c, "BEGIN")
	b.queue.add(c, "SET LOCAL synchronous_commit = off")
	for _, s := range b.steps {
		if s.back {
			b.queue.add(c, releaseQuery, s.name, b.Holder)
		} else {
			b.queue.add(c, leaseQuery, s.name, b.Holder, b.TTL.Milliseconds(), (b.TTL + clockSlack).Milliseconds())
		}
	}
	for _, k := range b.Take { // behind the leases: who had one before may have stored the archive meanwhile
		b.queue.add(c, mirrorCrateQuery, k.MirrorID, k.Name, k.Num)
	}
	b.queue.add(c, "COMMIT")
	return b.queue.err
}

// read takes the answers.
func (b *leaseBatch) read(answers pgx.BatchResults) error {
	for range 2 {
		if _, err := answers.Exec(); err != nil {
			return err
		}
	}
	for _, s := range b.steps {
		tag, err := answers.Exec()
		if err != nil {
			return err
		}
		if s.has != nil {
			*s.has = tag.RowsAffected() == 1
		}
	}
	for i := range b.Take {
		m, err := scanMirrorCrate(answers.QueryRow())
		switch {
		case err == nil:
			b.taken[i].Stored = &m
		case !errors.Is(err, pgx.ErrNoRows):
			return err
		}
	}
	_, err := answers.Exec()
	return err
}
