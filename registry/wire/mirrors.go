package wire

import "time"

// MirrorSpec says what a mirror is. Fields that are empty have the defaults that their comments name.
type MirrorSpec struct {
	Upstream MirrorUpstream `json:"upstream,omitzero"`
	// Mode is OnDemand (default): whatever the policy admits, cached when it is asked for; or Pinned: only what is cached already.
	Mode string `json:"mode,omitempty"`
	// Crates are cached before anybody asks for them, as are the versions of the mirror's lockfiles.
	Crates []MirrorCrate `json:"crates,omitempty"`
	// Dependencies says which dependencies of Crates are cached, too: None, Normal (default; normal and build dependencies, of all targets and
	// features), or All (and the development dependencies of what is listed).
	Dependencies string `json:"dependencies,omitempty"`
	// RustVersion is the oldest toolchain that builds with the mirror, as 1.85: of Crates and their dependencies, what cargo chooses for it (resolver
	// "3", by rust-version) is cached beside the newest. Empty: the newest alone.
	RustVersion string `json:"rust_version,omitempty"`
	// Schedule is when Crates are looked at again, as cron has it, in UTC; empty: only when something changes, or when told to.
	Schedule string `json:"schedule,omitempty"`
	// Suspend holds back the syncs that begin by themselves: by Schedule, after a change, and after failures. One that is asked for still runs, and
	// what clients ask for is cached as before.
	Suspend   bool            `json:"suspend,omitempty"`
	Policy    MirrorPolicy    `json:"policy,omitzero"`
	Retention MirrorRetention `json:"retention,omitzero"`
}

// MirrorUpstream is the registry that is mirrored, and how it is spoken to.
type MirrorUpstream struct {
	// Index is a sparse index, sparse+https://host/path/. Empty: crates.io.
	Index string `json:"index,omitempty"`
	// MaxAge is how long an index file is served without asking upstream whether it has changed. Default 5m.
	MaxAge Duration `json:"max_age,omitempty"`
	// CABundle holds certificates, in PEM, of authorities that are trusted beside the system's.
	CABundle string `json:"ca_bundle,omitempty"`
	// Contact is an address of people, for upstream's: it stands in the User-Agent, as crates.io asks for.
	Contact string `json:"contact,omitempty"`
	// Concurrency is how many requests run at once, of each server. Default 16.
	Concurrency int `json:"concurrency,omitempty"`
	// RequestsPerSecond bounds how many begin in a second, of each server. 0: as many as there are.
	RequestsPerSecond int `json:"requests_per_second,omitempty"`
}

// MirrorCrate names versions to cache.
type MirrorCrate struct {
	Name string `json:"name"`
	// Versions is a requirement as in Cargo.toml. Default "*".
	Versions string `json:"versions,omitempty"`
	// Latest is how many of the newest matching versions are cached. Default 1.
	Latest int `json:"latest,omitempty"`
}

// MirrorPolicy says what may enter. A pattern is a crate's name in which * stands for any characters, and may be followed by @ and a
// requirement: "openssl-*", "time@<0.2.23". Names are compared as crates.io does, without regard to case, '-' and '_'.
type MirrorPolicy struct {
	Allow []string `json:"allow,omitempty"` // what may enter; empty: everything
	Deny  []string `json:"deny,omitempty"`  // what may not, whatever Allow says

	// MinimumAge is how long ago a version must have been published (pubtime of its index line). A version without pubtime is too young.
	MinimumAge           Duration `json:"minimum_age,omitempty"`
	MinimumAgeExceptions []string `json:"minimum_age_exceptions,omitempty"` // patterns

	// Licenses are SPDX identifiers; a crate's licence expression must be satisfied with these alone. Empty: any.
	Licenses          []string `json:"licenses,omitempty"`
	LicenseExceptions []string `json:"license_exceptions,omitempty"` // patterns

	// Yanked is Keep (default): yanked versions stay, for lockfiles that name them; or Deny.
	Yanked string `json:"yanked,omitempty"`
	// MaxCrateSize is the most bytes that an archive may have; 0: no limit but the server's own.
	MaxCrateSize int64 `json:"max_crate_size,omitempty"`

	Advisories *MirrorAdvisories `json:"advisories,omitempty"` // nil: none are looked at
}

// MirrorAdvisories says what becomes of versions that an advisory of the RustSec database is about.
type MirrorAdvisories struct {
	// Source is the database: a folder of the server, or a git address (https://…). It is read again every hour, a folder every minute.
	Source string `json:"source"`
	// Action is Deny (default), or Warn: the version is served, counted and logged.
	Action string `json:"action,omitempty"`
	// MinimumSeverity is Low (default), Medium, High or Critical, by CVSS base score; an advisory without a score counts as High.
	// Informational ones (unmaintained, unsound, notice) count where Informational is set.
	MinimumSeverity string            `json:"minimum_severity,omitempty"`
	Informational   bool              `json:"informational,omitempty"`
	Exceptions      []MirrorException `json:"exceptions,omitempty"`
}

// MirrorException lets in what an advisory is about.
type MirrorException struct {
	ID     string `json:"id"` // RUSTSEC-…, or an alias such as CVE-…
	Reason string `json:"reason"`
}

// MirrorRetention says what is removed of what was cached, the least recently used first. What a lockfile pins always stays.
type MirrorRetention struct {
	MaxSize    int64    `json:"max_size,omitempty"`    // bytes of all archives; 0: no limit
	UnusedFor  Duration `json:"unused_for,omitempty"`  // 0: for ever
	KeepPinned bool     `json:"keep_pinned,omitempty"` // what Crates list stays, too
}

// MirrorChange is the body of PUT /api/v1/mirrors/{name}: from now on, the mirror is this.
type MirrorChange struct {
	Spec MirrorSpec `json:"spec"`
	// Token is sent to an upstream that needs one. nil leaves the one that is there, unless upstream is another one; "" takes it away. It is never shown.
	Token *string `json:"token,omitempty"`
}

// Mirror is a mirror as the management API shows it.
type Mirror struct {
	Name      string     `json:"name"`
	IndexURL  string     `json:"index_url"` // what cargo's source replacement names: sparse+{url}/mirrors/{name}/
	Spec      MirrorSpec `json:"spec"`
	HasToken  bool       `json:"has_token"`
	CreatedAt time.Time  `json:"created_at"`
	// Generation grows with each change of spec, token or lockfiles.
	Generation int64            `json:"generation"`
	Lockfiles  []MirrorLockfile `json:"lockfiles"`
	Status     MirrorStatus     `json:"status"`
	// Warnings, of the answer to a PUT alone, say what comes of the change that one may not expect.
	Warnings []string `json:"warnings,omitempty"`
}

// Mirrors answers GET /api/v1/mirrors.
type Mirrors struct {
	Mirrors []Mirror `json:"mirrors"`
}

// MirrorLockfile is a Cargo.lock whose versions a mirror keeps: PUT /api/v1/mirrors/{mirror}/lockfiles/{name} with the file as body.
type MirrorLockfile struct {
	Name     string          `json:"name"`
	SHA256   string          `json:"sha256"`   // of the file, lower-case hex
	Versions int             `json:"versions"` // that it pins here
	Skipped  []MirrorSkipped `json:"skipped"`  // packages of other sources; 20 at most
	// SkippedTotal counts all of them.
	SkippedTotal int `json:"skipped_total"`
}

// MirrorSkipped is an entry of a lockfile that no mirror can have.
type MirrorSkipped struct {
	Crate   string `json:"crate"`
	Version string `json:"version"`
	Reason  string `json:"reason"`
}

// MirrorStatus is how a mirror stands, for all servers of the registry.
type MirrorStatus struct {
	// Upstream says whether the last request to upstream was answered; Message says why not.
	Upstream Backend `json:"upstream"`
	// UpstreamAnswered is when the server that says this last had an answer of upstream; nil: never, since it started.
	UpstreamAnswered *time.Time `json:"upstream_answered,omitempty"`
	// Advisories says whether those of the policy were ever read, and in Message why the last try failed: where none were, a policy that does not only
	// warn of them lets nothing out. nil: the policy names none, or the server that says this does not know the mirror yet.
	Advisories *Backend `json:"advisories,omitempty"`
	// IndexFiles, Crates and Bytes are what is cached: index files, archives, and the bytes of the archives.
	IndexFiles int64 `json:"index_files"`
	Crates     int64 `json:"crates"`
	Bytes      int64 `json:"bytes"`
	// Problems are what a person should look at, apart from failures of the sync: a changed checksum, say. 20 at most.
	Problems []string `json:"problems,omitempty"`
	// Shadowed are crates that both this registry and upstream have; 20 at most.
	Shadowed []string   `json:"shadowed,omitempty"`
	Sync     MirrorSync `json:"sync"`
}

// NeverReached reports whether upstream never gave the mirror anything, as far as is known.
func (s MirrorStatus) NeverReached() bool { return s.UpstreamAnswered == nil && s.IndexFiles == 0 }

// Unadvised reports whether a mirror gives nothing out, because the advisories that its policy goes by were never read.
func (m *Mirror) Unadvised() bool {
	a := m.Spec.Policy.Advisories
	return a != nil && a.Action != "Warn" && m.Status.Advisories != nil && !m.Status.Advisories.Ready
}

// MirrorSync is how the caching ahead of what spec and lockfiles name stands. A time that is nil never was.
type MirrorSync struct {
	Running        bool            `json:"running"`
	Requested      bool            `json:"requested,omitempty"` // somebody asked for one, and it has not begun
	Generation     int64           `json:"generation"`          // of the mirror, when the last one that ended began
	LastStarted    *time.Time      `json:"last_started,omitempty"`
	LastEnded      *time.Time      `json:"last_ended,omitempty"`
	LastSuccessful *time.Time      `json:"last_successful,omitempty"` // without a failure: upstream was asked, and all that is wanted is cached
	Next           *time.Time      `json:"next,omitempty"`            // by schedule, or to try again what failed
	Total          int64           `json:"total"`                     // versions that are wanted, and entries that lead to none, as far as is known
	Done           int64           `json:"done"`                      // of Total, in the cache
	Failed         int64           `json:"failed"`                    // of Total; what is neither was not tried yet, or the sync gave up before
	Counting       bool            `json:"counting,omitempty"`        // dependencies are still being followed, so that Total grows
	Fetched        int64           `json:"fetched"`                   // by this sync
	FetchedBytes   int64           `json:"fetched_bytes"`             // by this sync
	Failures       []MirrorFailure `json:"failures,omitempty"`        // 20 at most
	Tries          int             `json:"tries,omitempty"`           // syncs that ended with a Message, since one went well or cached more than the one before
	Message        string          `json:"message,omitempty"`         // why the sync as a whole failed, or is no success although nothing of it failed
}

// MirrorFailure is an entry that a sync could not cache, and why.
type MirrorFailure struct {
	Crate   string `json:"crate"`
	Version string `json:"version"` // a version, or a requirement
	From    string `json:"from"`    // who wants it: "crates", "lockfile NAME", or "CRATE VERSION" that depends on it
	Reason  string `json:"reason"`
}

// MirroredCrates answers GET /api/v1/mirrors/{mirror}/crates/{crate}: what is stored of a crate.
type MirroredCrates struct {
	Crates []MirroredCrate `json:"crates"` // by version
}

// MirroredCrate is a version that a mirror has stored. It answers POST /api/v1/mirrors/{mirror}/crates/{crate}/{version}, which has it fetched, and
// PUT of the same, whose body is the archive.
type MirroredCrate struct {
	Crate   string `json:"crate"`
	Version string `json:"version"`
	SHA256  string `json:"sha256"`
	Size    int64  `json:"size"`
	Fetched bool   `json:"fetched"` // by this request; else it was there before
}

// MirrorDryRun answers POST /api/v1/mirrors/{mirror}/policy, whose body is a MirrorPolicy: what it would deny of the versions in the index files
// that are cached.
type MirrorDryRun struct {
	Crates   int64          `json:"crates"`   // that were looked at
	Versions int64          `json:"versions"` // that were looked at
	Total    int64          `json:"total"`    // denials
	Denied   []MirrorDenial `json:"denied"`   // 1000 at most
	Problems []string       `json:"problems,omitempty"`
	Withheld string         `json:"withheld,omitempty"` // why the mirror would give out nothing at all, denied or not, for people; empty: it would
}

// MirrorDenial is a version, or with an empty Version a crate, that a policy denies.
type MirrorDenial struct {
	Crate   string `json:"crate"`
	Version string `json:"version,omitempty"`
	Rule    string `json:"rule"`   // allow, deny, minimum-age, license, yanked, advisory, max-size or pinned
	Reason  string `json:"reason"` // for people
	Cached  bool   `json:"cached"` // the archive is in the cache
}

// MirrorImport answers PUT /api/v1/mirrors/{mirror}/bundle.
type MirrorImport struct {
	IndexFiles int64 `json:"index_files"` // that were loaded
	Crates     int64 `json:"crates"`      // archives that were loaded
	Present    int64 `json:"present"`     // that were there already
}
