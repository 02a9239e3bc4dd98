package gitindex

import (
	"context"
	"crypto/sha1"
	"database/sql"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
)

// pack is what a fetch gets: a base or none, and the log from the commit after from up to the commit to. It must be closed.
type pack struct {
	repo     *Repo
	store    *store
	lease    *lease
	base     *os.File // nil: the client has commit from
	from, to int64
	objects  int64
	skip     map[int64][]cut // entries of the log that the pack holds already, by commit, in order
}

// cut is a range of bytes in a row of the log.
type cut struct{ start, length int64 }

// lease keeps what a fetch reads from being removed.
type lease struct{ from int64 }

// oldestLease gives the lowest commit that a running fetch began at.
func (r *Repo) oldestLease() int64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	oldest := int64(math.MaxInt64)
	for l := range r.leases {
		oldest = min(oldest, l.from)
	}
	return oldest
}

// plan makes the pack that brings a client from commit have, or from nothing when have is negative, to commit want.
func (r *Repo) plan(ctx context.Context, s *store, want, have int64) (_ *pack, err error) {
	r.forgetting.RLock() // until the lease is known
	defer r.forgetting.RUnlock()
	p := &pack{repo: r, store: s, from: have, to: want, skip: map[int64][]cut{}}
	defer func() {
		if err != nil {
			err = errors.Join(err, p.Close())
		}
	}()
	b, err := s.baseFor(ctx, want)
	if err != nil {
		return nil, err
	}
	end, err := s.logEnd(ctx, want)
	if err != nil {
		return nil, err
	}
	begin, err := s.logEnd(ctx, max(have, b.n))
	if err != nil {
		return nil, err
	}
	if have >= 0 && have < b.n {
		// A client that is far behind may be better off with a clone.
		far, err := s.logEnd(ctx, have)
		if err != nil {
			return nil, err
		}
		if end.bytes-far.bytes > b.bytes+end.bytes-begin.bytes {
			p.from = -1
		} else {
			begin = far
		}
	}
	if p.from < 0 {
		if p.base, err = os.Open(s.basePath(b.n)); err != nil {
			return nil, err
		}
		p.from, p.objects = b.n, b.objects
	}
	if err := p.skipRepeats(ctx); err != nil {
		return nil, err
	}
	p.objects += end.objects - begin.objects
	p.lease = &lease{from: p.from}
	r.mu.Lock()
	r.leases[p.lease] = struct{}{}
	r.mu.Unlock()
	return p, nil
}

// baseFor gives the newest base that a clone of commit want can begin with.
func (s *store) baseFor(ctx context.Context, want int64) (base, error) {
	bases, err := s.bases(ctx, s.ro)
	if err != nil {
		return base{}, err
	}
	for _, b := range bases {
		if b.n <= want {
			return b, nil
		}
	}
	return base{}, fmt.Errorf("commit %d is older than all that is kept", want)
}

// logEnd gives how many entries, and bytes of them, the log has had up to the end of commit n.
func (s *store) logEnd(ctx context.Context, n int64) (b base, err error) {
	b.n = n
	err = s.ro.QueryRowContext(ctx, "SELECT objects, bytes FROM commits WHERE n = ?", n).Scan(&b.objects, &b.bytes)
	return b, err
}

// skipRepeats finds the entries whose object comes earlier in the pack. An object that was last written after commit from does.
// In a clone so does one that was still there at the base: a client that has commit from does not need it again either,
// but its deltas may lean on the whole object, which it is here.
func (p *pack) skipRepeats(ctx context.Context) (err error) {
	query := "SELECT n, start, length FROM repeats WHERE n > ?1 AND n <= ?2 AND written > ?1 ORDER BY n, start"
	if p.base != nil {
		query = "SELECT n, start, length FROM repeats WHERE n > ?1 AND n <= ?2 AND replaced > ?1 ORDER BY n, start"
	}
	rows, err := p.store.ro.QueryContext(ctx, query, p.from, p.to)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var n int64
		var c cut
		if err := rows.Scan(&n, &c.start, &c.length); err != nil {
			return err
		}
		p.skip[n] = append(p.skip[n], c)
		p.objects--
	}
	return rows.Err()
}

// Close ends the reading.
func (p *pack) Close() error {
	if p.lease != nil {
		p.repo.mu.Lock()
		delete(p.repo.leases, p.lease)
		p.repo.mu.Unlock()
	}
	if p.base != nil {
		return p.base.Close()
	}
	return nil
}

// writeTo writes the pack file: a header with the number of objects, the objects, and the SHA-1 of all that.
func (p *pack) writeTo(ctx context.Context, w io.Writer) error {
	sum := sha1.New()
	out := io.MultiWriter(sum, w)
	header := binary.BigEndian.AppendUint32([]byte("PACK\x00\x00\x00\x02"), uint32(p.objects))
	if _, err := out.Write(header); err != nil {
		return err
	}
	if p.base != nil {
		if _, err := io.CopyBuffer(out, p.base, make([]byte, 64<<10)); err != nil {
			return err
		}
	}
	for n := p.from; n < p.to; {
		rows, err := p.store.logRows(ctx, n, p.to)
		if err != nil {
			return err
		}
		if len(rows) == 0 || rows[0].n != n+1 {
			return fmt.Errorf("commit %d is not in the log any more", n+1)
		}
		for _, row := range rows {
			n = row.n
			at := int64(0)
			for _, c := range p.skip[n] {
				if _, err := out.Write(row.pack[at:c.start]); err != nil {
					return err
				}
				at = c.start + c.length
			}
			if _, err := out.Write(row.pack[at:]); err != nil {
				return err
			}
		}
	}
	_, err := w.Write(sum.Sum(nil))
	return err
}

// logRow is a commit of the log.
type logRow struct {
	n    int64
	pack []byte
}

// rowsAtOnce bounds what a fetch holds in memory: some 100 KiB, and 8 MiB if each of the rows held a file of 1 MiB, which deflates
// to a tenth. Each query is a short one, so that a slow client does not keep SQLite's log from being emptied.
const rowsAtOnce = 64

// logRows gives the next commits after n, up to commit to.
func (s *store) logRows(ctx context.Context, n, to int64) (out []logRow, err error) {
	rows, err := s.ro.QueryContext(ctx, "SELECT n, pack FROM commits WHERE n > ? AND n <= ? ORDER BY n LIMIT ?", n, to, rowsAtOnce)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var row logRow
		if err := rows.Scan(&row.n, &row.pack); err != nil {
			return nil, err
		}
		out = append(out, row)
	}
	return out, rows.Err()
}

// number gives the number of a commit that is kept, or -1.
func (s *store) number(ctx context.Context, o oid) (n int64, err error) {
	err = s.ro.QueryRowContext(ctx, "SELECT n FROM commits WHERE oid = ?", o[:]).Scan(&n)
	if errors.Is(err, sql.ErrNoRows) {
		return -1, nil
	}
	return n, err
}

// name gives the name of commit n.
func (s *store) name(ctx context.Context, n int64) (o oid, err error) {
	var b []byte
	err = s.ro.QueryRowContext(ctx, "SELECT oid FROM commits WHERE n = ?", n).Scan(&b)
	copy(o[:], b)
	return o, err
}
