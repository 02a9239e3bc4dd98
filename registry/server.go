// Package registry is the server: a registry for Rust crates in one process and one folder. It imports no Kubernetes, so that
// it can be understood and run alone. This file composes its parts; each folder below is one of them.
package registry

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/crateyard/crateyard/registry/auth"
	"github.com/crateyard/crateyard/registry/catalog"
	"github.com/crateyard/crateyard/registry/conn"
	"github.com/crateyard/crateyard/registry/crate"
	"github.com/crateyard/crateyard/registry/folder"
	"github.com/crateyard/crateyard/registry/gitindex"
	"github.com/crateyard/crateyard/registry/httpapi"
	"github.com/crateyard/crateyard/registry/index"
	"github.com/crateyard/crateyard/registry/metrics"
	"github.com/crateyard/crateyard/registry/mirror"
	"github.com/crateyard/crateyard/registry/publish"
	"github.com/crateyard/crateyard/registry/storage"
	"github.com/crateyard/crateyard/registry/upkeep"
	"github.com/crateyard/crateyard/registry/web"
)

// Server is a server that is open for business or about to be.
type Server struct {
	config  Config
	log     *slog.Logger
	lock    *os.File
	auth    *auth.Authenticator
	metrics *metrics.Metrics
	access  *httpapi.AccessLog
	api     *httpapi.API
	git     *gitindex.Repo // nil: not served
	upkeep  *upkeep.Runner
	mirrors *mirror.Manager

	backends *Backends
	catalog  *catalog.Catalog // of the backends
	store    storage.Store    // of the backends, behind the cache where there is one
	cache    *storage.Cached  // nil: none
	// waiting says why the server is not open for business yet; nil: it is.
	waiting atomic.Pointer[string]
	// setBack says how the catalog is older than the storage; nil: it is not, as far as is known.
	setBack atomic.Pointer[string]

	public, ops             net.Listener
	publicServer, opsServer *http.Server
	publicFailed, opsFailed chan error
	gate                    *httpapi.Gate // of the public listener
	conns                   *conn.Listener
}

// Open prepares a server: it takes the data folder, opens catalog and storage, migrates the catalog, and listens. It waits for backends
// that are away, until ctx ends; meanwhile both listeners say so. logs takes the log. version is the program's.
func Open(ctx context.Context, c Config, version string, logs io.Writer) (_ *Server, err error) {
	if err := c.Check(); err != nil {
		return nil, err
	}
	if c.Backup.Schedule != "" {
		if err := c.CheckBackupFolder(c.Backup.Folder); err != nil {
			return nil, fmt.Errorf("backup.folder: %w", err)
		}
	}
	level, err := logLevel(c.Log.Level)
	if err != nil {
		return nil, err
	}
	handler := func(w io.Writer) slog.Handler { return logHandler(w, c.Log.Format, level) }
	s := &Server{config: c, log: slog.New(handler(logs)), metrics: metrics.New(version)}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.close())
		}
	}()
	if err := s.listen(ctx); err != nil {
		return nil, err
	}
	if err := s.openData(ctx); err != nil {
		return nil, err
	}
	s.auth = auth.NewAuthenticator(s.catalog)
	if err := s.bootstrap(ctx); err != nil {
		return nil, err
	}
	if level <= slog.LevelInfo {
		s.access = httpapi.NewAccessLog(logs, c.Log.Format == "json")
	}
	private := s.config.Access.AnonymousRead == "Disabled"
	limits := crate.DefaultLimits
	limits.Archive = c.Limits.CrateSize
	limits.Unpacked = max(limits.Unpacked, limits.Archive)
	proxies, err := s.config.trustedProxies()
	if err != nil {
		return nil, err
	}
	s.api = &httpapi.API{
		Name: c.Name, URL: s.config.URL, Version: version, Private: private,
		Catalog: s.catalog, Store: s.store, Auth: s.auth, Metrics: s.metrics, Log: s.log, Access: s.access,
		Status: s.status, Limits: s.config.rateLimits(), TrustedProxies: proxies,
		Publisher: &publish.Publisher{Catalog: s.catalog, Store: s.store, Limits: limits, URL: s.config.URL, Aliases: s.config.Aliases,
			Policy: s.config.policy(), AllowedRegistries: s.config.Access.AllowedRegistries,
			Shadowing: publish.Shadowing(s.config.Publishing.Shadowing), NewCratesRestricted: s.config.Publishing.NewCrates == "Restricted"},
		Web: web.Handler(web.Site{Name: c.Name, URL: s.config.URL, Version: version, Private: private}),
	}
	s.api.StoreIsLocal = c.Storage.S3 == nil
	if p, ok := s.backends.Store.(storage.Presigner); ok && c.Storage.Delivery == "Redirect" {
		s.api.Presign = p.Presign
		if c.Scrub.Rate <= 0 {
			s.log.Warn("Downloads go to S3 itself (storage.delivery: Redirect) and nothing is scrubbed (scrub.rate: 0): nobody sees an archive that is damaged until cargo refuses it")
		}
	}
	if s.config.GitIndex == "Enabled" {
		s.git = gitindex.New(gitindex.Options{Dir: filepath.Join(c.Data, "git"), Config: index.NewConfig(s.config.URL, private).JSON(),
			Feed: s.catalog, Log: s.log})
		s.api.Git = s.git.Handler()
	}
	if err := s.prepareUpkeep(ctx); err != nil {
		return nil, err
	}
	if err := s.startMirrors(ctx); err != nil {
		return nil, fmt.Errorf("mirrors: %w", err)
	}
	return s, nil
}

func (s *Server) openData(ctx context.Context) (err error) {
	if err := os.MkdirAll(s.config.Data, 0o750); err != nil {
		return folder.Explain(s.config.Data, err)
	}
	if s.lock, err = lockFolder(s.config.Data, s.log); err != nil {
		return err
	}
	if s.backends, err = s.reachBackends(ctx); err != nil {
		return err
	}
	s.catalog, s.store = s.backends.Catalog, s.backends.Store
	if m := s.catalog.Migration(); m.From > 0 && m.From < m.To {
		s.log.Info("Brought the catalog up to date: no older version of crateyard opens it from now on", "from_schema", m.From, "to_schema", m.To)
	}
	s.notePosition(ctx, noteTimeout)
	return s.openCache()
}

// listen takes the addresses. Both listeners answer from here on: a connection that is taken and not answered would keep its client for ever.
func (s *Server) listen(ctx context.Context) (err error) {
	var lc net.ListenConfig
	if s.public, err = lc.Listen(ctx, "tcp", s.config.Listen); err != nil {
		return fmt.Errorf("public address (--listen): %w", taken(err))
	}
	s.nameItself(s.Addr())
	if s.config.OpsListen != "" {
		if s.ops, err = lc.Listen(ctx, "tcp", s.config.OpsListen); err != nil {
			return fmt.Errorf("address of metrics and health (--ops-listen): %w", taken(err))
		}
	}
	starting := "starting"
	s.waiting.Store(&starting)
	s.gate = httpapi.NewGate(s.config.URL)
	s.publicServer = &http.Server{Handler: s.gate, ReadHeaderTimeout: headerTimeout, WriteTimeout: answerTimeout,
		IdleTimeout: idleTimeout, MaxHeaderBytes: 64 << 10,
		ErrorLog: slog.NewLogLogger(s.log.Handler(), slog.LevelDebug)}
	s.publicFailed = make(chan error, 1)
	s.conns = conn.Listen(s.public, s.publicServer)
	go func() { s.publicFailed <- s.publicServer.Serve(s.conns) }()
	if s.ops != nil {
		s.opsServer = &http.Server{Handler: s.opsHandler(), ReadHeaderTimeout: headerTimeout}
		s.opsFailed = make(chan error, 1)
		go func() { s.opsFailed <- s.opsServer.Serve(s.ops) }()
	}
	return nil
}

// taken says what to do when somebody listens at an address already.
func taken(err error) error {
	if errors.Is(err, syscall.EADDRINUSE) {
		err = fmt.Errorf("%w: is another crateyard running? Beside it, say --listen 127.0.0.1:PORT with a free port, and --ops-listen with another, or --ops-listen '' for none", err)
	}
	return err
}

// nameItself gives the registry an address where the configuration gives none.
func (s *Server) nameItself(listens string) {
	if s.config.URL != "" {
		return
	}
	var everywhere bool
	if s.config.URL, everywhere = ownURL(listens); everywhere {
		s.log.Warn("Listens on all addresses, and calls itself by one that only this machine knows: say --url, which stands in every Cargo.lock", "url", s.config.URL)
	}
}

// URL is the public address of the registry.
func (s *Server) URL() string { return s.config.URL }

// Config is the server's configuration, with the addresses filled in.
func (s *Server) Config() Config { return s.config }

// Addr is the address of the public listener.
func (s *Server) Addr() string { return s.public.Addr().String() }

// OpsAddr is the address of the ops listener, or empty when there is none.
func (s *Server) OpsAddr() string {
	if s.ops == nil {
		return ""
	}
	return s.ops.Addr().String()
}

// Timeouts of the public listener. What a client sends, and downloads, have limits of their own (see httpapi).
const (
	answerTimeout   = 5 * time.Minute // for a client to take an answer
	headerTimeout   = 10 * time.Second
	idleTimeout     = 2 * time.Minute
	stopTimeout     = 35 * time.Second // for what is in flight after the drain delay; with it, the preStop wait and what is written last below Kubernetes' grace period of 60 s
	lastNoteTimeout = 3 * time.Second  // see notePosition
	flushEvery      = 10 * time.Second // of download counts and last-used times
	flushTimeout    = 10 * time.Second
	lookEvery       = 15 * time.Second // at catalog and storage
)

// Serve answers requests until ctx ends, and for the drain delay after it, while readiness says that it stops. Then it turns new publishes away, lets
// those in flight finish, answers reads meanwhile, and closes the folder. The error is nil after such an end.
func (s *Server) Serve(ctx context.Context) error {
	handler := s.api.Handler() // before the metrics, which ask it and may be read already
	s.metrics.Gauge("crateyard_index_cache_bytes", "Memory that index files take.", s.api.CacheBytes)
	s.metrics.Pool(s.catalog.Stats)
	s.metrics.Tasks(s.upkeep.Status)
	s.metrics.Gauge("crateyard_change_feed_lag_seconds", "Time since this server last knew all changes that others made.",
		func() float64 { return s.catalog.FeedLag().Seconds() })
	s.metrics.Gauge("crateyard_clock_offset_seconds", "How far the clock of the catalog's database was ahead of this server's at the last look.",
		func() float64 { return s.catalog.ClockOffset().Seconds() })
	s.metrics.Gauge("crateyard_catalog_set_back", "1: the catalog is of an earlier time than the storage, and no sweep removes anything.", func() float64 {
		if s.setBack.Load() != nil {
			return 1
		}
		return 0
	})
	s.gate.Open(handler)
	s.conns.Answer(s.api.AnswersSoon, handler)
	s.waiting.Store(nil)
	working, stopWork := context.WithCancel(context.WithoutCancel(ctx))
	defer stopWork()
	var work sync.WaitGroup
	work.Go(func() { s.upkeep.Run(working) })
	s.log.Info("Serving", "url", s.config.URL, "listen", s.Addr(), "ops", s.OpsAddr(), "data", s.config.Data, "version", s.api.Version)

	flush := time.NewTicker(flushEvery)
	defer flush.Stop()
	look := time.NewTicker(lookEvery)
	defer look.Stop()
	looked := time.Now()
	var err error
	for running := true; running; {
		select {
		case <-flush.C:
			s.flush(context.WithoutCancel(ctx)) // a signal now must not lose the counts
		case <-look.C:
			now := time.Now()
			s.lookAtClock(now.Round(0).Sub(looked.Round(0)), now.Sub(looked)) // Round takes the clock that nobody sets away
			looked = now
			go func() { // for the metrics
				s.ready(context.WithoutCancel(ctx), nil)
				s.learnTasks(working)
				s.notePosition(working, noteTimeout)
			}()
		case err = <-s.opsFailed:
			running = false
		case err = <-s.publicFailed:
			running = false
		case <-ctx.Done():
			running = false
		}
	}
	stopWork()
	return errors.Join(err, s.stop(&work))
}

// lookAtClock tells of a clock that was set, or of a machine that slept, since the look before: by how much each clock went on. It is the only one to tell over SQLite, where there is
// no second clock to compare with.
func (s *Server) lookAtClock(onTheWall, really time.Duration) {
	if jump := onTheWall - really; jump.Abs() > catalog.MaxClockOffset {
		s.log.Warn("The clock of this machine jumped, or the machine slept: times of versions and of the audit may be wrong, and tokens end too early or late, until it is right",
			"by", jump.Round(time.Second).String())
		s.metrics.ClockJumps.Inc()
	}
}

func (s *Server) stop(work *sync.WaitGroup) error {
	delay := time.Duration(s.config.DrainDelay)
	s.log.Info("Stopping; publishes in flight finish first", "serves_on_for", delay.String())
	s.conns.Stop()
	s.api.Stop()
	time.Sleep(delay) // whoever does not know yet that this server ends sends it publishes, too, and cargo does not repeat one
	ctx, cancel := context.WithTimeout(context.Background(), stopTimeout)
	defer cancel()
	drained := make(chan struct{})
	go func() {
		s.api.Drain()
		close(drained)
	}()
	select {
	case <-drained:
	case <-ctx.Done():
	}
	index, cancelIndex := context.WithTimeout(ctx, stopTimeout/2) // a client that does not take its file must not cost others their downloads
	defer cancelIndex()
	err := errors.Join(s.conns.Drain(index), s.publicServer.Shutdown(ctx))
	if err != nil {
		err = errors.Join(fmt.Errorf("requests did not end in time: %w", err), s.publicServer.Close())
	}
	s.flush(context.Background())
	s.notePosition(context.Background(), lastNoteTimeout)
	work.Wait()
	s.mirrors.Stop()
	err = errors.Join(err, s.close())
	s.log.Info("Stopped")
	return err
}

// flush writes what is counted in memory. What cannot be written is counted on and tried again.
func (s *Server) flush(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, flushTimeout)
	defer cancel()
	if counts := s.api.TakeDownloads(); len(counts) > 0 {
		if err := s.catalog.AddDownloads(ctx, counts); err != nil {
			s.log.Warn("Download counts cannot be written; they are kept in memory", "error", err)
			s.api.ReturnDownloads(counts)
		}
	}
	if used := s.auth.TakeUsed(); len(used) > 0 {
		if err := s.catalog.TouchTokens(ctx, used); err != nil {
			s.log.Warn("Last-used times of tokens cannot be written; they are kept in memory", "error", err)
			s.auth.ReturnUsed(used)
		}
	}
}

// close gives back what Open took.
func (s *Server) close() (err error) {
	for _, server := range []*http.Server{s.publicServer, s.opsServer} {
		if server != nil {
			err = errors.Join(err, server.Close())
		}
	}
	if s.access != nil {
		s.access.Close()
	}
	for _, l := range []net.Listener{s.public, s.ops} {
		if l != nil {
			if cerr := l.Close(); !errors.Is(cerr, net.ErrClosed) {
				err = errors.Join(err, cerr)
			}
		}
	}
	if s.mirrors != nil {
		s.mirrors.Stop()
	}
	if s.git != nil {
		err = errors.Join(err, s.git.Close())
	}
	if s.cache != nil {
		err = errors.Join(err, s.cache.Close())
	}
	if s.backends != nil {
		err = errors.Join(err, s.backends.Close())
	}
	if s.lock != nil {
		err = errors.Join(err, s.lock.Close())
	}
	return err
}
