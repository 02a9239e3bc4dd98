package catalog

import (
	"cmp"
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/crateyard/crateyard/registry/index"
)

// feed gives the changes their numbers, and follows those of other servers: docs/adr/0005 says why in this way.
type feed struct {
	c      *Catalog
	config *pgx.ConnConfig

	committed chan struct{} // holds one when a change waits for its number
	seq       atomic.Int64  // the last change that followers were told of
	upToDate  atomic.Pointer[time.Time]
	waiting   atomic.Pointer[unnumberedSince] // what was found without a number at the last look; nil: nothing
	joined    bool                            // there was a connection before; of the goroutine that follows

	end     context.CancelFunc
	running sync.WaitGroup
}

// unnumberedSince is the oldest change that had no number, and since when this server knows that. No clock of a row is asked: it is another's.
type unnumberedSince struct {
	id    int64
	since time.Time
}

const (
	channel = "crateyard_changes"
	// pollEvery is how often both look without being told to, in case that they were not told.
	pollEvery = 500 * time.Millisecond
	// together is the least time between two rounds of either: what is committed within it shares one. A change takes twice as long to be
	// seen elsewhere at most, and many publishes at once cost little more than one.
	together = 20 * time.Millisecond
	// followMost is how many changes are told one by one; of more it is said that anything may have changed.
	followMost = 10_000
	// The wait before a lost connection is tried again grows from the one to the other.
	reconnectFirst, reconnectLast = 50 * time.Millisecond, 2 * time.Second
)

func startFeed(ctx context.Context, c *Catalog, config *pgx.ConnConfig) (*feed, error) {
	config = config.Copy()
	config.RuntimeParams["application_name"] += " feed"
	config.OnNotification = func(*pgconn.PgConn, *pgconn.Notification) {} // that one came is all there is to know
	f := &feed{c: c, config: config, committed: make(chan struct{}, 1)}
	now := time.Now()
	f.upToDate.Store(&now)
	// What is older nobody has read from here yet.
	var last int64
	if err := c.ro.QueryRowContext(ctx, "SELECT coalesce(max(seq), 0) FROM changes").Scan(&last); err != nil {
		return nil, err
	}
	f.seq.Store(last)
	run, cancel := context.WithCancel(context.WithoutCancel(ctx))
	f.end = cancel
	f.running.Go(func() { f.sequence(run) })
	f.running.Go(func() { f.follow(run) })
	return f, nil
}

func (f *feed) stop() {
	f.end()
	f.running.Wait()
}

// kick says that a change was committed.
func (f *feed) kick() {
	select {
	case f.committed <- struct{}{}:
	default: // it is said already
	}
}

// sequence gives numbers after each commit of this server, and to what servers left behind that died after theirs.
func (f *feed) sequence(ctx context.Context) {
	poll := time.NewTicker(pollEvery)
	defer poll.Stop()
	failed := false
	for {
		var err error
		begin := time.Now()
		select {
		case <-ctx.Done():
			return
		case <-f.committed:
			begin = time.Now()
			err = f.numberSoon(ctx)
		case <-poll.C:
			var waiting bool
			if waiting, err = f.unnumbered(ctx); waiting {
				err = f.numberSoon(ctx)
			}
		}
		pause(ctx, together-time.Since(begin))
		if (err != nil) != failed && ctx.Err() == nil {
			if failed = err != nil; failed {
				f.c.log.Warn("Changes wait for their numbers; other servers do not see them yet", "error", err)
			}
		}
	}
}

// number gives each committed change that has none the next number, in one round trip. It does so under a lock, and with a snapshot that is
// taken under the lock, so that no two servers give one number and what got a number is visible before what gets a higher one. The
// order of ids is that in which changes of one crate were made. Only this transaction notifies: PostgreSQL runs the commits of those that do
// one after another. Where another server has the lock, number waits for it, or reports that it did nothing: lock says which.
func (f *feed) number(ctx context.Context, lock string) (done bool, err error) {
	ctx, cancel := f.c.ro.limit(ctx)
	defer cancel()
	err = f.c.batches(ctx, func(conn batcher) (open bool, err error) {
		var q queue
		q.add(f.c, "BEGIN")
		q.add(f.c, lock, lockSequence)
		q.add(f.c, numberChanges)
		q.add(f.c, "COMMIT")
		answers := conn.SendBatch(ctx, &q.Batch)
		_, err = answers.Exec()
		if err == nil {
			err = answers.QueryRow().Scan(&done)
		}
		err = cmp.Or(err, answers.Close())
		return err != nil, err
	})
	return done && err == nil, err
}

// The lock's statement tells the next one, which has a snapshot of its own, whether it was got.
const (
	tryLock  = "SELECT set_config('crateyard.numbers', CAST(pg_try_advisory_xact_lock(?, 0) AS TEXT), true) = 'true'"
	waitLock = "SELECT set_config('crateyard.numbers', 'true', true) = 'true' FROM (SELECT pg_advisory_xact_lock(?, 0)) l"

	numberChanges = `WITH top AS (SELECT coalesce(max(seq), 0) AS seq FROM changes),
		fresh AS (SELECT id, row_number() OVER (ORDER BY id) AS n FROM changes WHERE seq IS NULL AND current_setting('crateyard.numbers') = 'true'),
		given AS (UPDATE changes ch SET seq = top.seq + fresh.n FROM top, fresh WHERE ch.id = fresh.id RETURNING ch.seq)
	SELECT pg_notify('` + channel + `', '') FROM given HAVING count(*) > 0`
)

// numberSoon numbers, unless another server is at it: then what that one does not see yet has its turn in the next round.
func (f *feed) numberSoon(ctx context.Context) error {
	done, err := f.number(ctx, tryLock)
	if !done && err == nil {
		f.kick()
	}
	return err
}

// unnumbered reports whether a change has no number yet. To look takes no lock.
func (f *feed) unnumbered(ctx context.Context) (waiting bool, err error) {
	err = f.c.ro.QueryRowContext(ctx, "SELECT EXISTS (SELECT 1 FROM changes WHERE seq IS NULL)").Scan(&waiting)
	return waiting, err
}

// numberAll has every change that was committed before the call have its number.
func (f *feed) numberAll(ctx context.Context) error {
	waiting, err := f.unnumbered(ctx)
	if err != nil || !waiting {
		return err
	}
	_, err = f.number(ctx, waitLock)
	return err
}

// follow tells the followers of what all servers change, on a connection of its own, which it makes again when it is lost.
func (f *feed) follow(ctx context.Context) {
	wait := reconnectFirst
	for ctx.Err() == nil {
		err := f.listen(ctx, func() { wait = reconnectFirst })
		if ctx.Err() != nil {
			return
		}
		f.c.log.Warn("Lost the feed of changes; trying again", "error", f.c.d.fault(err))
		select {
		case <-time.After(wait):
		case <-ctx.Done():
		}
		wait = min(2*wait, reconnectLast)
	}
}

func (f *feed) listen(ctx context.Context, connected func()) error {
	conn, err := pgx.ConnectConfig(ctx, f.config)
	if err != nil {
		return err
	}
	defer func() {
		bye, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		_ = conn.Close(bye) // it is lost, or no longer needed
	}()
	if _, err := conn.Exec(ctx, session); err != nil {
		return err
	}
	listens, err := subscribe(ctx, conn)
	if err != nil {
		return err
	}
	if err := f.rejoin(ctx, conn); err != nil {
		return err
	}
	connected()
	for {
		begin := time.Now()
		if err := f.catchUp(ctx, conn); err != nil {
			return err
		}
		pause(ctx, together-time.Since(begin))
		wait, cancel := context.WithTimeout(ctx, pollEvery)
		_, err := conn.WaitForNotification(wait)
		cancel()
		if ctx.Err() != nil || err != nil && !pgconn.Timeout(err) {
			return err
		}
		if err != nil { // nobody numbered anything meanwhile
			if err := f.lookForUnnumbered(ctx, conn); err != nil {
				return err
			}
			if !listens {
				if listens, err = subscribe(ctx, conn); err != nil {
					return err
				}
			}
		} else {
			f.waiting.Store(nil)
		}
	}
}

// subscribe has the server notify this connection, unless it is a replica, where nobody may listen: there the poll alone works, until the replica is
// promoted, which cuts no connection.
func subscribe(ctx context.Context, conn *pgx.Conn) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	var replica bool
	if err := conn.QueryRow(ctx, "SELECT pg_is_in_recovery()").Scan(&replica); err != nil || replica {
		return false, err
	}
	_, err := conn.Exec(ctx, "LISTEN "+channel)
	return err == nil, err
}

// lookForUnnumbered notes since when the oldest change without a number has waited for it: followers hear of none before.
func (f *feed) lookForUnnumbered(ctx context.Context, conn *pgx.Conn) error {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	var oldest *int64
	if err := conn.QueryRow(ctx, "SELECT min(id) FROM changes WHERE seq IS NULL").Scan(&oldest); err != nil {
		return err
	}
	switch known := f.waiting.Load(); {
	case oldest == nil:
		f.waiting.Store(nil)
	case known == nil || known.id != *oldest:
		f.waiting.Store(&unnumberedSince{*oldest, time.Now()})
	}
	return nil
}

// lag is how long ago the followers last knew of all changes.
func (f *feed) lag() time.Duration {
	lag := time.Since(*f.upToDate.Load())
	if w := f.waiting.Load(); w != nil {
		lag = max(lag, time.Since(w.since))
	}
	return lag
}

// pause waits, or until ctx ends.
func pause(ctx context.Context, d time.Duration) {
	if d <= 0 {
		return
	}
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
}

// rejoin has the followers forget everything after a connection was lost: the database may have been set back meanwhile, or a replica that
// lacked its end may have taken over, and other changes may have got the numbers of those that were seen.
func (f *feed) rejoin(ctx context.Context, conn *pgx.Conn) error {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	var last int64
	if err := conn.QueryRow(ctx, "SELECT coalesce(max(seq), 0) FROM changes").Scan(&last); err != nil {
		return err
	}
	if f.joined || last < f.seq.Load() {
		f.c.tell(Change{})
	}
	if last < f.seq.Load() {
		f.seq.Store(last)
	}
	f.joined = true
	return nil
}

// catchUp tells the followers of all changes that they have not heard of.
func (f *feed) catchUp(ctx context.Context, conn *pgx.Conn) error {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	begin := time.Now()
	// Restricted crates, too: followers need to know of all.
	rows, err := conn.Query(ctx, "SELECT seq, crate, kind FROM changes WHERE seq > $1 ORDER BY seq LIMIT $2", f.seq.Load(), followMost+1)
	if err != nil {
		return err
	}
	var changes []Change
	var last int64
	var name, kind string
	if _, err := pgx.ForEachRow(rows, []any{&last, &name, &kind}, func() error {
		changes = append(changes, Change{Crate: name, Kind: index.Kind(kind)})
		return nil
	}); err != nil {
		return err
	}
	if len(changes) > followMost {
		if err := conn.QueryRow(ctx, "SELECT max(seq) FROM changes").Scan(&last); err != nil {
			return err
		}
		changes = []Change{{}}
	}
	f.c.tell(changes...)
	if len(changes) > 0 {
		f.seq.Store(last)
	}
	f.upToDate.Store(&begin)
	return nil
}
