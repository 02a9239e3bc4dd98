package upkeep

import (
	"cmp"
	"fmt"
	"time"
)

// Kind says what is wrong.
type Kind string

// The kinds of findings.
const (
	MissingBlob Kind = "missing-blob" // the catalog names a blob that is not there
	WrongSize   Kind = "wrong-size"   // a blob has another size than the catalog says
	WrongDigest Kind = "wrong-digest" // a blob's bytes have another SHA-256 than the version
	WrongRow    Kind = "wrong-row"    // a blob is right by its digest, and the catalog says another size
	Unreadable  Kind = "unreadable"   // the storage fails when it reads the blob
	WrongLine   Kind = "wrong-line"   // the line of the index contradicts the version, or cargo would not read it
	WrongFeed   Kind = "wrong-feed"   // the changes of the index do not lead to what it says now
	SetBack     Kind = "set-back"     // the catalog is of an earlier time than the storage
	Orphan      Kind = "orphan"       // no version names the blob: no damage, a sweep removes it
	UnknownKey  Kind = "unknown-key"  // something that crateyard did not put there: no damage, a sweep lets it be
)

// Damage reports whether something is lost or wrong, and not just in the way.
func (k Kind) Damage() bool { return k != Orphan && k != UnknownKey }

// Repairable reports whether a repair may mend it: with a copy of the right bytes or, of a wrong row, with what the archive itself says.
func (k Kind) Repairable() bool {
	return k == MissingBlob || k == WrongSize || k == WrongDigest || k == Unreadable || k == WrongRow
}

// Finding is one thing that is wrong.
type Finding struct {
	Kind     Kind   `json:"kind"`
	Crate    string `json:"crate,omitempty"`
	Version  string `json:"version,omitempty"`
	Key      string `json:"key,omitempty"` // in the storage; of SetBack "catalog"
	Detail   string `json:"detail"`        // what is wrong
	Advice   string `json:"advice"`        // what to do
	Repaired string `json:"repaired,omitempty"`
	Failed   string `json:"failed,omitempty"` // why a repair that was tried failed

	sha256    string
	size      int64 // of the right bytes
	versionID int64
}

func (f Finding) String() string {
	what := f.Key
	if f.Crate != "" {
		what = f.Crate + " " + f.Version
	}
	s := fmt.Sprintf("%s  %s: %s", f.Kind, what, f.Detail)
	if f.Repaired != "" {
		return s + "\n    repaired: " + f.Repaired
	}
	if f.Failed != "" {
		s += "\n    not repaired: " + f.Failed
	}
	return s + "\n    " + f.Advice
}

// advice says what to do about a kind.
var advice = map[Kind]string{
	MissingBlob: "run `crateyard check --repair --from BACKUP`; without a copy, delete the version: its number cannot be published again",
	WrongSize:   "run `crateyard check --repair --from BACKUP`; without a copy, delete the version: its number cannot be published again",
	WrongDigest: "run `crateyard check --repair --from BACKUP`; without a copy, delete the version: its number cannot be published again",
	WrongRow:    "let the archive be: `crateyard check --repair` corrects the catalog",
	Unreadable:  "look at the disk or bucket; then run `crateyard check --repair --from BACKUP`",
	WrongLine:   "cargo may pass over this version: restore the catalog from a backup, or delete the version",
	WrongFeed:   "the index over git says something else than the sparse index: restore the catalog from a backup",
	SetBack: "it was set back to an earlier time. Archives that no version names may be the only copies, and no sweep removes any. Bring the newer catalog back if there is one. If there is none, " +
		"`crateyard restore --from-blobs --continue` adds the versions of those archives to this one. If the catalog is right as it is, `crateyard check --accept-catalog` says so",
	Orphan:     "nothing to do: `crateyard sweep` removes it",
	UnknownKey: "nothing of crateyard's; remove it by hand if nobody needs it",
}

// advised gives the finding with advice, where it does not have its own.
func (f Finding) advised() Finding {
	f.Advice = cmp.Or(f.Advice, advice[f.Kind])
	return f
}

// Report is what a check has found, up to Position.
type Report struct {
	Quick    bool      `json:"quick"`
	Repair   bool      `json:"repair"` // what was found was repaired where it could be
	Started  time.Time `json:"started"`
	Position string    `json:"position"` // key up to which all is checked
	Done     bool      `json:"done"`

	Versions    int64          `json:"versions"`    // that are not deleted
	Blobs       int64          `json:"blobs"`       // in the storage
	StoredBytes int64          `json:"storedBytes"` // of them
	ReadBytes   int64          `json:"readBytes"`   // of digests
	Orphans     int64          `json:"orphans"`
	OrphanBytes int64          `json:"orphanBytes"`
	Arriving    int64          `json:"arriving"` // blobs too young to be orphans: their publish may be on its way
	Waiting     int64          `json:"waiting"`  // blobs of deleted versions, which a sweep will remove
	Counts      map[Kind]int64 `json:"counts"`   // of all findings
	Repaired    int64          `json:"repaired"`
	Findings    []Finding      `json:"findings"` // the first of them
}

// Damaged counts the findings that are damage and were not repaired.
func (r *Report) Damaged() (n int64) {
	for kind, c := range r.Counts {
		if kind.Damage() {
			n += c
		}
	}
	return n - r.Repaired
}
