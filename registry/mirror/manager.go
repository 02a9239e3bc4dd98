package mirror

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/maypok86/otter/v2"

	"github.com/crateyard/crateyard/registry/catalog"
	"github.com/crateyard/crateyard/registry/crate"
	"github.com/crateyard/crateyard/registry/index"
	"github.com/crateyard/crateyard/registry/mirror/policy"
	"github.com/crateyard/crateyard/registry/storage"
	"github.com/crateyard/crateyard/registry/wire"
)

const (
	filesBytes = 14 << 20 // of index files in memory, those of all mirrors
	cratesMost = 20_000   // archives that are known to be stored, in memory: some 8 MB
	reloadWait = 15 * time.Second

	denialsMost = 10_000
	denialsFor  = time.Hour // the same denial of the same one is recorded once in it
)

// Manager has the mirrors of a registry. Its fields are set once, before Start.
type Manager struct {
	Catalog  *catalog.Catalog
	Store    storage.Store
	Metrics  Metrics
	Log      *slog.Logger
	Name     string // what cargo's configuration calls the registry itself
	URL      string // public base of the registry, without a slash at its end
	Version  string // of the program, for the User-Agent
	SpoolDir string // of archives on their way; a folder of this server
	CacheDir string // of what else is fetched: databases of advisories
	Holder   string // names this server in leases
	Shared   bool   // other servers may serve the same registry
	// MaxArchive bounds an archive of upstream's, in bytes: what is longer is no crate.
	MaxArchive int64
	// MaySweep is asked before archives are removed that the catalog does not know, and again from time to time while they are: not where the catalog
	// may be older than the storage, and a mirror that was made or filled since unknown. nil: nobody is asked.
	MaySweep func(ctx context.Context) error

	writer  *writer
	leases  *leases // on archives; nobody keeps them where no other server is
	spools  *spools
	files   *otter.Cache[string, *entry]
	crates  *otter.Cache[string, *catalog.MirrorCrate]
	denials *otter.Cache[string, struct{}] // that were recorded of late
	mirrors atomic.Pointer[map[string]*Mirror]

	databases *databases
	grew      atomic.Bool // an archive was stored, or a sync has ended, since retention last looked

	life    context.Context // of all work that outlives a request
	end     context.CancelFunc
	work    sync.WaitGroup
	loading sync.Mutex
	changes chan struct{} // holds one when there is something in touched
	touched touched
}

// touched are the mirrors of which something changed since they were last read.
type touched struct {
	mu    sync.Mutex
	names map[string]bool
	all   bool // nobody knows which
}

func (t *touched) add(name string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if name == "" {
		t.all = true
		return
	}
	if t.names == nil {
		t.names = map[string]bool{}
	}
	t.names[name] = true
}

// take forgets what was added, and gives what tells whether a mirror was among it.
func (t *touched) take() func(name string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	names, all := t.names, t.all
	t.names, t.all = nil, false
	return func(name string) bool { return all || names[name] }
}

// Start reads the mirrors and begins the work for them. Stop ends it.
func (m *Manager) Start(ctx context.Context) error {
	if err := os.MkdirAll(m.SpoolDir, 0o750); err != nil {
		return err
	}
	m.spools = newSpools(m.SpoolDir)
	m.writer = newWriter(m.Catalog, m.Log)
	m.leases = newLeases(m.Catalog, m.Holder, m.Log)
	m.files = otter.Must(&otter.Options[string, *entry]{MaximumWeight: filesBytes, Weigher: func(key string, e *entry) uint32 { return uint32(len(key)) + e.size() }})
	m.crates = otter.Must(&otter.Options[string, *catalog.MirrorCrate]{MaximumSize: cratesMost})
	m.denials = otter.Must(&otter.Options[string, struct{}]{MaximumSize: denialsMost, ExpiryCalculator: otter.ExpiryWriting[string, struct{}](denialsFor)})
	m.databases = newDatabases(m.CacheDir)
	m.changes = make(chan struct{}, 1)
	m.mirrors.Store(&map[string]*Mirror{})
	m.life, m.end = context.WithCancel(context.WithoutCancel(ctx))
	if !m.Shared { // who had them was killed, and its work goes on at once
		for _, prefix := range []string{"mirror/", "mirrors/"} {
			if err := m.Catalog.ReleaseLeft(ctx, prefix, m.Holder); err != nil { // as by a full disk: a server that cannot write serves what it can read
				m.Log.Warn("What a server before this one was doing for mirrors cannot be taken over at once; it is when its leases have ended", "error", err)
			}
		}
	}
	if err := m.Reload(ctx); err != nil {
		m.end()
		return err
	}
	m.Catalog.Follow(m.changed)
	m.work.Go(func() { m.follow(m.life) })
	m.work.Go(func() { m.tend(m.life) })
	serving, endServing := context.WithCancel(context.WithoutCancel(ctx))
	var servants sync.WaitGroup // of that work: they end after it
	servants.Go(func() { m.writer.run(serving) })
	if m.Shared {
		servants.Go(func() { m.leases.run(serving) })
	}
	life := m.end
	m.end = sync.OnceFunc(func() {
		life()
		m.work.Wait()
		endServing()
		servants.Wait()
	})
	return nil
}

// Stop ends all work and writes what is left of it.
func (m *Manager) Stop() { m.end() }

// Mirror finds a mirror by its name; nil: there is none.
func (m *Manager) Mirror(name string) *Mirror { return (*m.mirrors.Load())[name] }

// all gives the mirrors.
func (m *Manager) all() map[string]*Mirror { return *m.mirrors.Load() }

// changed follows the catalog.
func (m *Manager) changed(ch catalog.Change) {
	if ch.Kind != index.KindMirror && ch.Kind != "" {
		return
	}
	m.touched.add(ch.Crate) // the mirror's name
	m.wake()
}

func (m *Manager) wake() {
	select {
	case m.changes <- struct{}{}:
	default:
	}
}

func (m *Manager) follow(ctx context.Context) {
	for {
		select {
		case <-m.changes:
		case <-ctx.Done():
			return
		}
		read, cancel := context.WithTimeout(ctx, reloadWait)
		err := m.reload(read, m.touched.take())
		cancel()
		if err != nil && ctx.Err() == nil {
			m.Log.Warn("The mirrors cannot be read again; those from before go on", "error", err)
			select {
			case <-time.After(time.Second):
				m.touched.add("") // the names would do; it is rare
				m.wake()
			case <-ctx.Done():
			}
		}
	}
}

// Reload makes the mirrors what the catalog says. Those whose spec, token and lockfiles did not change stay. Of those that are named, something else
// changed: their index files are looked at anew when they are asked for.
func (m *Manager) Reload(ctx context.Context, names ...string) error {
	return m.reload(ctx, func(name string) bool { return slices.Contains(names, name) })
}

func (m *Manager) reload(ctx context.Context, changed func(string) bool) error {
	m.loading.Lock()
	defer m.loading.Unlock()
	rows, err := m.Catalog.Mirrors(ctx)
	if err != nil {
		return err
	}
	before, now := m.all(), make(map[string]*Mirror, len(rows))
	for _, row := range rows {
		old := before[row.Name]
		if old != nil && old.Row.ID == row.ID && old.Row.Generation == row.Generation {
			if changed(row.Name) {
				old.epoch.Add(1)
			}
			now[row.Name] = old
			continue
		}
		mirror, err := m.build(row, old)
		if err != nil { // a newer server made it so
			m.Log.Error("A mirror cannot be served as it is in the catalog", "mirror", row.Name, "error", err)
			continue
		}
		now[row.Name] = mirror
	}
	m.mirrors.Store(&now)
	for name, mirror := range now {
		if mirror != before[name] && mirror.advisories.Load() == nil {
			m.work.Go(func() { mirror.advise(m.life) }) // without them it gives nothing out
		}
	}
	for name, old := range before {
		if now[name] == nil {
			m.Metrics.Forget(name)
		}
		if now[name] == nil || now[name].up != old.up {
			old.up.close()
		}
	}
	return nil
}

// build makes a mirror of its row. What is known of upstream stays when it is the same one.
func (m *Manager) build(row catalog.Mirror, old *Mirror) (*Mirror, error) {
	var spec wire.MirrorSpec
	if err := json.Unmarshal([]byte(row.Spec), &spec); err != nil {
		return nil, err
	}
	mirror := &Mirror{Manager: m, Row: row, Spec: WithDefaults(spec), fetches: map[string]*Fetch{},
		filePrefix: fmt.Sprintf("%d.%d/", row.ID, row.Generation), cratePrefix: fmt.Sprintf("%d/", row.ID)}
	var err error
	if mirror.policy, err = policy.Taken(mirror.Spec.Policy); err != nil {
		return nil, fmt.Errorf("policy: %w", err)
	}
	if a := mirror.Spec.Policy.Advisories; a != nil {
		mirror.advisories.Store(m.databases.known(a.Source)) // those of another source are no substitute
	}
	if old != nil && old.Row.ID == row.ID {
		mirror.problems.list = old.problems.all()
		if old.Row.UpstreamSince != row.UpstreamSince { // what is said of the other registry
			checksums, deleted := mirror.problems.dropPrefix(aboutChecksums), mirror.problems.dropPrefix(deletedBegins)
			if checksums || deleted {
				mirror.tellStatus()
			}
		}
		if a, was := mirror.Spec.Policy.Advisories, old.Spec.Policy.Advisories; was != nil && (a == nil || a.Source != was.Source) && mirror.problems.dropPrefix(aboutAdvisories(was.Source)) {
			mirror.tellStatus()
		}
		if old.Spec.Upstream == mirror.Spec.Upstream && old.Row.Token == row.Token {
			mirror.up = old.up
			return mirror, nil
		}
	}
	if mirror.up, err = newUpstream(row.Name, mirror.Spec.Upstream, row.Token, m.Version, m.Metrics); err == nil {
		mirror.up.own = mirror.downloads()
	}
	return mirror, err
}

// checkName reports whether a name can be a crate's.
func checkName(name string) bool { return crate.CheckDependencyName(name) == nil }

// indexKey is the name under which the index file of a crate is kept.
func indexKey(name string) string { return strings.ToLower(name) }

// ConfigJSON is the config.json of a mirror.
func (m *Mirror) ConfigJSON(private bool) []byte {
	return index.Config{Download: m.downloads(), AuthRequired: private}.JSON()
}

// downloads is the address below which the mirror's archives lie.
func (m *Mirror) downloads() string { return m.URL + "/mirrors/" + m.Name() + "/crates" }
