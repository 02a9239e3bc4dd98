package gitindex

import (
	"bytes"
	"crypto/sha1"
	"encoding/hex"
	"fmt"
	"path"
	"strconv"
	"time"

	"github.com/crateyard/crateyard/registry/index"
)

// objectType is a type of object as a pack names it.
type objectType byte

const (
	typeCommit   objectType = 1
	typeTree     objectType = 2
	typeBlob     objectType = 3
	typeRefDelta objectType = 7
)

func (t objectType) String() string {
	return map[objectType]string{typeCommit: "commit", typeTree: "tree", typeBlob: "blob"}[t]
}

// oid is the name of an object: the SHA-1 of its type, size and content.
type oid [sha1.Size]byte

func (o oid) String() string { return hex.EncodeToString(o[:]) }

func parseOID(s string) (o oid, err error) {
	if len(s) != 2*len(o) {
		return o, fmt.Errorf("an object's name has %d hex digits, not %d", 2*len(o), len(s))
	}
	_, err = hex.Decode(o[:], []byte(s))
	return o, err
}

func hashObject(t objectType, raw []byte) (o oid) {
	h := sha1.New()
	h.Write(append(strconv.AppendInt(append([]byte(t.String()), ' '), int64(len(raw)), 10), 0))
	h.Write(raw)
	h.Sum(o[:0])
	return o
}

// subject is what commit n says, in the manner of crates.io's index. One that takes a crate out says its number, for it has no parent: two of one second
// that leave the index alike would be one commit.
func subject(c index.Change, n int64) string {
	switch c.Kind {
	case index.KindYank:
		return fmt.Sprintf("Yank crate `%s#%s`", c.Crate, c.Num)
	case index.KindUnyank:
		return fmt.Sprintf("Unyank crate `%s#%s`", c.Crate, c.Num)
	case index.KindRemove:
		return fmt.Sprintf("Delete crate `%s#%s`", c.Crate, c.Num)
	case index.KindRemoveCrate:
		return fmt.Sprintf("Begin the history anew at change %d", n)
	}
	return fmt.Sprintf("Update crate `%s`", c.Crate)
}

// firstSubject is what commit 0 says.
const firstSubject = "Create the index"

// encodeCommit gives a commit's content. It has no parent when parent is nil.
func encodeCommit(tree oid, parent *oid, at time.Time, subject string) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "tree %s\n", tree)
	if parent != nil {
		fmt.Fprintf(&b, "parent %s\n", parent)
	}
	who := fmt.Sprintf("Crateyard <crateyard@localhost> %d +0000", max(at.Unix(), 0)) // git knows no time before 1970
	fmt.Fprintf(&b, "author %s\ncommitter %s\n\n%s\n", who, who, subject)
	return b.Bytes()
}

// Modes of tree entries.
const (
	modeFile   = "100644"
	modeFolder = "40000"
)

// appendTreeEntry adds an entry to the content of a tree, whose entries must come in order.
func appendTreeEntry(tree []byte, mode, name string, o oid) []byte {
	tree = append(append(append(append(tree, mode...), ' '), name...), 0)
	return append(tree, o[:]...)
}

// setTreeEntry gives the tree with the entry name set to o, or without it when o is nil. The tree itself stays as it is.
func setTreeEntry(tree []byte, mode, name string, o *oid) []byte {
	start, end := findTreeEntry(tree, mode, name)
	out := make([]byte, 0, len(tree)+len(mode)+len(name)+2+len(oid{}))
	out = append(out, tree[:start]...)
	if o != nil {
		out = appendTreeEntry(out, mode, name, *o)
	}
	return append(out, tree[end:]...)
}

// findTreeEntry gives where an entry lies, or where it would have to lie: then both numbers are the same. git orders entries
// by name, a folder's name taken with a slash at its end.
func findTreeEntry(tree []byte, mode, name string) (start, end int) {
	key := sortKey([]byte(mode), []byte(name))
	for start < len(tree) {
		entryMode, rest, _ := bytes.Cut(tree[start:], []byte{' '})
		entryName, _, _ := bytes.Cut(rest, []byte{0})
		end = start + len(entryMode) + 1 + len(entryName) + 1 + len(oid{})
		switch bytes.Compare(sortKey(entryMode, entryName), key) {
		case 0:
			return start, end
		case 1:
			return start, start
		}
		start = end
	}
	return start, start
}

func sortKey(mode, name []byte) []byte {
	if string(mode) == modeFolder {
		return append(name[:len(name):len(name)], '/')
	}
	return name
}

// parentOf gives the folder of a path in the index, "" for the root.
func parentOf(p string) string {
	if dir := path.Dir(p); dir != "." {
		return dir
	}
	return ""
}
