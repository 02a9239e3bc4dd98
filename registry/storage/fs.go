package storage

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"sync"
	"time"
)

// incoming is the folder of blobs that are being written. What lies there was never acknowledged.
const incoming = "incoming"

// staleAge is how old what lies in incoming of a shared folder must be before another server removes it: no upload takes so long.
const staleAge = 24 * time.Hour

// Filesystem is a Store in one folder. Keys cannot lead out of it: they are checked, and files are made and opened as an os.Root does it. Only the folders of a
// batch are made, and new files named, by calls that would follow links which somebody planted there.
type Filesystem struct {
	root     *os.Root
	incoming string   // this server's part of incoming, or all of it
	shared   bool     // other servers have the folder open, too
	self     *os.File // the folder, for identify
	batches  batches  // see CreateBatched
	durable  sync.Map // string → folderID: folders that are known to outlive a crash; one entry a crate
}

// folderID is a folder, whatever its name. The zero one is not known.
type folderID struct {
	device, inode uint64
	second        int64 // when it was made
	nano          uint32
}

// OpenFilesystem opens the store in folder dir, and makes the folder when it is not there. One process may have it open: what
// is being written there is thrown away.
func OpenFilesystem(dir string) (*Filesystem, error) { return openFilesystem(dir, false) }

// OpenSharedFilesystem opens the store in a folder that other servers have open at the same time, such as a volume that several pods
// mount (ReadWriteMany). Each writes in a folder of its own; what a crash left there is removed after a day.
func OpenSharedFilesystem(dir string) (*Filesystem, error) { return openFilesystem(dir, true) }

func openFilesystem(dir string, shared bool) (*Filesystem, error) {
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return nil, diskFault(err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, diskFault(err)
	}
	f := &Filesystem{root: root, incoming: incoming, shared: shared}
	if f.self, err = root.Open("."); err != nil {
		return nil, errors.Join(diskFault(err), root.Close())
	}
	prepare := f.emptyIncoming
	if shared {
		f.incoming += "/" + randomName()
		prepare = f.joinIncoming
	}
	if err := errors.Join(prepare(), f.syncDir(".")); err != nil {
		return nil, errors.Join(diskFault(err), f.self.Close(), root.Close())
	}
	return f, nil
}

func (f *Filesystem) emptyIncoming() error {
	if err := f.root.RemoveAll(incoming); err != nil {
		return err
	}
	return f.root.Mkdir(incoming, 0o750)
}

// joinIncoming makes this server's folder, and removes what servers left that are gone. A folder's time is that of the last upload
// that began or ended in it; a server that is idle for longer makes its folder again.
func (f *Filesystem) joinIncoming() error {
	if err := f.root.MkdirAll(f.incoming, 0o750); err != nil {
		return err
	}
	names, err := f.names(incoming)
	if err != nil {
		return err
	}
	for _, name := range names {
		stale := path.Join(incoming, name)
		info, err := f.root.Stat(stale)
		if err == nil && time.Since(info.ModTime()) > staleAge {
			err = f.root.RemoveAll(stale)
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) { // another server was faster
			return err
		}
	}
	return nil
}

// Close closes the store; blobs that are open stay readable.
func (f *Filesystem) Close() (err error) {
	if f.shared {
		err = f.root.RemoveAll(f.incoming)
	}
	return errors.Join(err, f.self.Close(), f.root.Close())
}

// Create begins a blob.
func (f *Filesystem) Create(context.Context) (Writer, error) { return f.create() }

func (f *Filesystem) create() (*fsWriter, error) {
	name := f.incoming + "/" + randomName()
	file, err := f.createFile(name)
	if f.shared && errors.Is(err, fs.ErrNotExist) { // see joinIncoming
		if err = f.root.MkdirAll(f.incoming, 0o750); err == nil {
			file, err = f.createFile(name)
		}
	}
	if err != nil {
		return nil, diskFault(err)
	}
	return &fsWriter{file: file, store: f, name: name}, nil
}

// createFile makes a file that is not there yet. An os.Root opens all folders on the way one by one, which takes several times as many calls.
func (f *Filesystem) createFile(name string) (*os.File, error) {
	file, err := createNew(f.self, name)
	if errors.Is(err, errors.ErrUnsupported) {
		return f.root.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o640)
	}
	return file, err
}

// Open opens a blob.
func (f *Filesystem) Open(_ context.Context, key string) (Blob, error) {
	file, err := openBelow(f.self, key)
	if errors.Is(err, errors.ErrUnsupported) {
		file, err = f.root.Open(key)
	}
	if err != nil {
		return nil, err
	}
	return file, nil
}

// Check writes and removes a small file, which a full or read-only disk refuses. That lies with the uploads, and the folder of the archives may belong to
// another user, or be mounted from elsewhere: so the system is asked whether we may write there.
func (f *Filesystem) Check(ctx context.Context) error {
	if _, err := f.root.Stat("."); err != nil {
		return diskFault(err)
	}
	if err := mayWrite(f.self, cratesDir); err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, errors.ErrUnsupported) {
		return diskFault(&fs.PathError{Op: "write to", Path: cratesDir, Err: err})
	}
	w, err := f.Create(ctx)
	if err != nil {
		return err
	}
	_, err = w.Write([]byte("check\n"))
	return errors.Join(err, w.Cancel())
}

// cratesDir is the folder of the archives.
const cratesDir = "crates"

type fsWriter struct {
	file    *os.File
	store   *Filesystem
	name    string
	done    bool
	batched bool // synced together with others
}

// Write implements io.Writer.
func (w *fsWriter) Write(p []byte) (int, error) {
	n, err := w.file.Write(p)
	return n, diskFault(err)
}

// Commit gives the file its name at once and syncs it in the background. Its folder and the folders above are synced beside it, by whoever comes first:
// the caller, once it waits, or the background. So the file's sync begins first: a journaling filesystem then writes file and folders in one
// go, where a folder that is synced before would cost a commit of its own. Until then a crash may leave a file under the key that is not whole,
// which nobody reads, since the catalog does not name it yet. What another publish has stored under the same key,
// the catalog may name: it is replaced by a file that is already whole on disk, and only so.
func (w *fsWriter) Commit(_ context.Context, key string) (func() error, error) {
	if !fs.ValidPath(key) {
		return nil, errors.Join(fmt.Errorf("invalid key %q", key), w.Cancel())
	}
	if w.batched {
		return w.commitBatched(key)
	}
	made, linked, err := w.rename(key)
	if err != nil {
		return nil, errors.Join(diskFault(err), w.Cancel())
	}
	w.done = true
	dir := path.Dir(key)
	folders := sync.OnceValue(func() error {
		err := w.store.syncDir(dir)
		for _, m := range made {
			err = errors.Join(err, w.store.syncDir(path.Dir(m.dir)))
		}
		return err
	})
	synced := make(chan error, 1)
	go func() {
		err := errors.Join(w.file.Sync(), folders())
		if err == nil {
			w.store.madeDurable(made)
		}
		if linked {
			_ = w.store.root.Remove(w.name) // the next start removes what stays
		}
		synced <- diskFault(errors.Join(err, w.file.Close()))
	}()
	return sync.OnceValue(func() error {
		_ = folders() // the background has its error, too
		return <-synced
	}), nil
}

// rename gives the file its key, and gives the folders that are not known to be durable; linked tells that the key is a second name. Somebody
// who shares the folder may take an empty folder away in between: then it is made again.
func (w *fsWriter) rename(key string) (made []madeFolder, linked bool, err error) {
	dir := path.Dir(key)
	for range 3 {
		if made, err = w.store.mkdirAll(dir); err != nil {
			return nil, false, err
		}
		if linked, err = w.giveName(key); err == nil {
			made, err = w.store.unsynced(dir, made)
			return made, linked, err
		}
		// Something is there, or the filesystem knows no links.
		if err = w.file.Sync(); err != nil {
			return nil, false, err
		}
		if err = w.store.root.Rename(w.name, key); err == nil {
			made, err = w.store.unsynced(dir, made)
			return made, false, err
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return nil, false, err
		}
		w.store.forget(dir)
	}
	return nil, false, err
}

// giveName gives the file a name that no other has.
func (w *fsWriter) giveName(key string) (linked bool, err error) {
	if err = renameNew(w.store.self, w.name, key); errors.Is(err, errors.ErrUnsupported) {
		return true, w.store.root.Link(w.name, key)
	}
	return false, err
}

func (w *fsWriter) Cancel() error {
	if w.done {
		return nil
	}
	w.done = true
	return errors.Join(w.file.Close(), w.store.root.Remove(w.name))
}

// madeFolder is a folder whose entry in the one above may not be on disk yet.
type madeFolder struct {
	dir string
	id  folderID // as it was before the one above is synced
}

// mkdirAll makes the folder and those above it, and gives those that this process does not know to be durable: another publish may have
// made one a moment ago and not synced it yet.
func (f *Filesystem) mkdirAll(dir string) (unsynced []madeFolder, err error) {
	if dir == "." || f.isDurable(dir) {
		return nil, nil
	}
	above, err := f.mkdirAll(path.Dir(dir))
	if err != nil {
		return nil, err
	}
	if err := f.root.Mkdir(dir, 0o750); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, err
	}
	m := madeFolder{dir: dir}
	if f.shared {
		m.id = identify(f.self, dir)
	}
	return append(above, m), nil
}

// unsynced gives what mkdirAll gave for a folder that has got a file since. Now that nobody can take it away, it is certain which it is.
func (f *Filesystem) unsynced(dir string, made []madeFolder) ([]madeFolder, error) {
	if !f.shared {
		return made, nil
	}
	return f.mkdirAll(dir)
}

// isDurable reports whether the folder, and with it those above, is known to be there after a crash. Where others change the folders, too,
// it must be the same that this process saw synced.
func (f *Filesystem) isDurable(dir string) bool {
	id, ok := f.durable.Load(dir)
	return ok && (!f.shared || id == identify(f.self, dir))
}

// madeDurable notes that the folders will be there after a crash.
func (f *Filesystem) madeDurable(made []madeFolder) {
	for _, m := range made {
		if !f.shared || m.id != (folderID{}) {
			f.durable.Store(m.dir, m.id)
		}
	}
}

// forget takes back what madeDurable noted.
func (f *Filesystem) forget(dir string) {
	for ; dir != "."; dir = path.Dir(dir) {
		f.durable.Delete(dir)
	}
}

func (f *Filesystem) syncDir(dir string) error {
	d, err := f.root.Open(dir)
	if err != nil {
		return err
	}
	if err := d.Sync(); err != nil {
		return errors.Join(fmt.Errorf("sync folder %s: %w", dir, err), d.Close())
	}
	return d.Close()
}
