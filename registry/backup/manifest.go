package backup

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/crateyard/crateyard/registry/storage"
)

// Registry says whose backup it is.
type Registry struct {
	ID   string `json:"id,omitempty"` // empty: the registry has none
	Name string `json:"name"`
	URL  string `json:"url,omitempty"`
	// Instance tells a registry from a copy of it that was restored elsewhere, which has its id: namespace/name in a cluster.
	Instance string `json:"instance,omitempty"`
}

// same reports whether two may share a target.
func (r Registry) same(o Registry) bool {
	if r.ID != "" && o.ID != "" {
		return r.ID == o.ID
	}
	return r.Name == o.Name
}

// described names a registry for people.
func (r Registry) described() string {
	text := r.Name
	if r.URL != "" {
		text += " at " + r.URL
	} else if r.ID != "" {
		text += " of id " + r.ID
	}
	if r.Instance != "" {
		text += " (" + r.Instance + ")"
	}
	return text
}

// Part is a file of a backup.
type Part struct {
	SHA256 string `json:"sha256"`
	Size   int64  `json:"size"` // bytes, as stored
}

// Manifest is what a backup says of itself.
type Manifest struct {
	Format   int       `json:"format"`
	Name     string    `json:"name"`    // of the backup, which is its folder
	Version  string    `json:"version"` // of the program that wrote it
	Registry Registry  `json:"registry"`
	Started  time.Time `json:"started"`
	Finished time.Time `json:"finished"`
	Catalog  Part      `json:"catalog"`
	List     Part      `json:"list"`
	Blobs    int64     `json:"blobs"` // that it names, those of Missing included
	Bytes    int64     `json:"bytes"` // of them

	CopiedBlobs int64 `json:"copiedBlobs"` // that the target lacked
	CopiedBytes int64 `json:"copiedBytes"`
	// Missing are blobs that the storage could not give: the backup is whole but for them. There are at most maxMissing of them.
	Missing      []string `json:"missing,omitempty"`
	MissingBlobs int64    `json:"missingBlobs,omitempty"`
	// Mirrors tells what the mirrors had, which is in no backup, so that a restore can say what they have lost. There are at most maxMirrors of them.
	Mirrors []Mirror `json:"mirrors,omitempty"`
	// Sealed says that a seal stands at the end of the file. Backups from before there were seals have none.
	Sealed bool `json:"sealed,omitempty"`
}

// maxMissing bounds what a manifest names of missing blobs.
const maxMissing = 1000

// backupName is the name of a backup: the time, in UTC, and something random.
var backupName = regexp.MustCompile(`^\d{8}T\d{6}Z-[a-z2-7]{6}$`)

func newName(now time.Time) string {
	return now.UTC().Format("20060102T150405Z") + "-" + strings.ToLower(rand.Text()[:6])
}

// maxManifest bounds what is read of a manifest; its longest part is maxMissing keys of some 150 bytes.
const maxManifest = 1 << 20

// ReadManifest reads the manifest of a backup, by its name or, for the newest, "latest".
func ReadManifest(ctx context.Context, target storage.Store, name string) (*Manifest, error) {
	if name == "" || name == "latest" {
		list, unreadable, err := List(ctx, target)
		if err == nil && len(unreadable) > 0 {
			err = fmt.Errorf("which backup is the newest cannot be told, for some cannot be read; name the one that you want: %w", errors.Join(unreadable...))
		}
		if err != nil {
			return nil, err
		}
		if len(list) == 0 {
			return nil, fmt.Errorf("there is no backup: a place of backups has a folder backups/, which `crateyard backup --to` makes there; is it the right one?")
		}
		return list[len(list)-1], nil
	}
	if !backupName.MatchString(name) {
		return nil, fmt.Errorf("%q is no name of a backup; `crateyard backup list` shows them", name)
	}
	b, err := target.Open(ctx, backups+name+manifestName)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("there is no backup %s; `crateyard backup list` shows those that there are", name)
	}
	if err != nil {
		return nil, err
	}
	data, err := io.ReadAll(io.LimitReader(b, maxManifest))
	if err := errors.Join(err, b.Close()); err != nil {
		return nil, err
	}
	m := &Manifest{}
	if err := m.unmarshal(data); err != nil {
		return nil, &DamagedError{backups + name + manifestName, err}
	}
	if m.Name != name {
		return nil, &DamagedError{backups + name + manifestName, fmt.Errorf("it is that of backup %q", m.Name)}
	}
	if m.Format > Format {
		return nil, fmt.Errorf("backup %s has format %d, made by a newer crateyard; this one knows format %d: run the newer one", name, m.Format, Format)
	}
	return m, nil
}

// seal is how a manifest ends: with the SHA-256 of all that stands before it. A program that knows no seals passes over it, as over any key that it does
// not know.
var seal = regexp.MustCompile(`,\n  "seal": "([0-9a-f]{64})"\n}\n$`)

// marshal gives the text of a manifest, with its seal.
func (m *Manifest) marshal() ([]byte, error) {
	m.Sealed = true
	data, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return nil, err
	}
	data = bytes.TrimSuffix(data, []byte("\n}"))
	return fmt.Appendf(data, ",\n  \"seal\": \"%x\"\n}\n", sha256.Sum256(data)), nil
}

// unmarshal reads a manifest, and holds it against its seal, if it has one.
func (m *Manifest) unmarshal(data []byte) error {
	if len(data) == 0 {
		return errors.New("it is empty")
	}
	at := seal.FindSubmatchIndex(data)
	if at != nil {
		if sum := sha256.Sum256(data[:at[0]]); hex.EncodeToString(sum[:]) != string(data[at[2]:at[3]]) {
			return m.unsealed(data, "its SHA-256 is not the one of its seal")
		}
	}
	if err := json.Unmarshal(data, m); err != nil {
		return fmt.Errorf("it cannot be read: %w", err)
	}
	if m.Sealed && at == nil {
		return m.unsealed(data, "its seal is damaged or missing")
	}
	if m.Format < 1 {
		return fmt.Errorf("its format is %d", m.Format)
	}
	return nil
}

// unsealed is the error of a manifest that its seal does not fit: a newer program may seal in another way.
func (m *Manifest) unsealed(data []byte, problem string) error {
	if err := json.Unmarshal(data, m); err == nil && m.Format > Format {
		return fmt.Errorf("%s, and it says format %d, where this crateyard knows format %d: run the newer crateyard that made it, or it is damaged", problem, m.Format, Format)
	}
	return errors.New(problem)
}

// List gives the backups of a target, the oldest first. What is under way or was cut off is not among them, nor are those that cannot be
// read; these are named apart, each with its reason.
func List(ctx context.Context, target storage.Store) (list []*Manifest, unreadable []error, err error) {
	for info, err := range target.List(ctx, backups, "") {
		if err != nil {
			return nil, nil, err
		}
		name, isManifest := strings.CutSuffix(strings.TrimPrefix(info.Key, backups), manifestName)
		if !isManifest || !backupName.MatchString(name) {
			continue
		}
		m, err := ReadManifest(ctx, target, name)
		if ctx.Err() != nil {
			return nil, nil, ctx.Err()
		}
		if err != nil {
			unreadable = append(unreadable, err)
			continue
		}
		list = append(list, m)
	}
	slices.SortStableFunc(list, func(a, b *Manifest) int { return a.Started.Compare(b.Started) }) // names have seconds only
	return list, unreadable, nil
}
