package storage

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
)

// An upload's bytes wait in memory up to spoolMemory, which most crates never pass, and then in a file. No more than
// spoolMemoryMost uploads take memory at the same time, 16 MiB in all; any further ones go to the file at once.
const (
	spoolMemory     = 256 << 10
	spoolMemoryMost = 64
)

// spoolMemories gives memory to uploads, and takes it back.
type spoolMemories struct {
	dir  string
	free chan []byte // those in use are missing; nil stands for one that was not made yet
}

func newSpoolMemories(dir string) spoolMemories {
	m := spoolMemories{dir: dir, free: make(chan []byte, spoolMemoryMost)}
	for range spoolMemoryMost {
		m.free <- nil
	}
	return m
}

// spool holds the bytes of one upload until its end, when its length and digest are known. It is written, then read as often as
// it takes, then closed.
type spool struct {
	memories spoolMemories
	hash     hash.Hash
	size     int64
	memory   []byte   // the bytes, while they fit
	lent     bool     // memory is to be given back
	file     *os.File // the bytes, once they do not; it has no name any more
}

func (m spoolMemories) open() *spool { return &spool{memories: m, hash: sha256.New()} }

// Write implements io.Writer.
func (s *spool) Write(p []byte) (int, error) {
	if s.size == 0 && !s.lent && s.file == nil {
		s.takeMemory()
	}
	if s.file == nil && s.lent && len(s.memory)+len(p) <= cap(s.memory) {
		s.memory = append(s.memory, p...)
		s.count(p)
		return len(p), nil
	}
	if err := s.toFile(); err != nil {
		return 0, err
	}
	n, err := s.file.Write(p)
	s.count(p[:n])
	if err != nil {
		err = spoolFailed(err)
	}
	return n, err
}

func (s *spool) count(p []byte) {
	s.size += int64(len(p))
	s.hash.Write(p)
}

func (s *spool) takeMemory() {
	select {
	case s.memory = <-s.memories.free:
		s.lent = true
		if s.memory == nil {
			s.memory = make([]byte, 0, spoolMemory)
		}
	default:
	}
}

func (s *spool) giveMemory() {
	if s.lent {
		s.memories.free <- s.memory[:0]
		s.memory, s.lent = nil, false
	}
}

// toFile moves what is there into a file, whose name is taken away at once: a crash leaves nothing.
func (s *spool) toFile() (err error) {
	if s.file != nil {
		return nil
	}
	if s.file, err = os.CreateTemp(s.memories.dir, "crateyard-upload-"); err != nil {
		return spoolFailed(err)
	}
	if err := os.Remove(s.file.Name()); err != nil {
		return spoolFailed(err)
	}
	if _, err := s.file.Write(s.memory); err != nil {
		return spoolFailed(err)
	}
	s.giveMemory()
	return nil
}

func spoolFailed(err error) error {
	return diskFault(fmt.Errorf("folder for uploads on their way: %w", err))
}

// reader reads the bytes from their begin. Readers do not disturb each other.
func (s *spool) reader() io.ReadSeeker {
	if s.file != nil {
		return io.NewSectionReader(s.file, 0, s.size)
	}
	return &memoryReader{data: s.memory}
}

// close gives back what the spool took.
func (s *spool) close() error {
	s.giveMemory()
	if s.file == nil {
		return nil
	}
	if err := s.file.Close(); !errors.Is(err, os.ErrClosed) {
		return err
	}
	return nil
}

// memoryReader is a bytes.Reader without its WriterTo, which would hand the HTTP transport all bytes in one write that the watch
// for stalls cannot look into.
type memoryReader struct {
	data []byte
	at   int64
}

// Read implements io.Reader.
func (r *memoryReader) Read(p []byte) (int, error) {
	if r.at >= int64(len(r.data)) {
		return 0, io.EOF
	}
	n := copy(p, r.data[r.at:])
	r.at += int64(n)
	return n, nil
}

// Seek implements io.Seeker.
func (r *memoryReader) Seek(offset int64, whence int) (int64, error) {
	at, err := seekTo(offset, whence, r.at, int64(len(r.data)))
	if err == nil {
		r.at = at
	}
	return at, err
}

// seekTo is where a seek leads.
func seekTo(offset int64, whence int, at, size int64) (int64, error) {
	switch whence {
	case io.SeekStart:
	case io.SeekCurrent:
		offset += at
	case io.SeekEnd:
		offset += size
	default:
		return 0, errors.New("seek: no such whence")
	}
	if offset < 0 {
		return 0, errors.New("seek: before the begin")
	}
	return offset, nil
}
