package mirror

import (
	"errors"
	"io"
	"os"
	"sync"
)

// An archive on its way waits in memory up to spoolMemory, which most never pass, and then in a file. No more than spoolMemoryMost take memory at the
// same time, 8 MiB in all.
const (
	spoolMemory     = 256 << 10
	spoolMemoryMost = 32
)

// spools gives memory to archives on their way.
type spools struct {
	dir  string
	free chan []byte // nil stands for memory that was not made yet
}

func newSpools(dir string) *spools {
	s := &spools{dir: dir, free: make(chan []byte, spoolMemoryMost)}
	for range spoolMemoryMost {
		s.free <- nil
	}
	return s
}

// spool holds the bytes of one archive. One goroutine appends, any number read what is there.
type spool struct {
	spools *spools
	mu     sync.RWMutex
	size   int64
	memory []byte   // while it fits; cap is spoolMemory, 0: none was to be had
	file   *os.File // once it does not: without a name, so that it is gone when it is closed
}

func (s *spools) open() *spool {
	sp := &spool{spools: s}
	select {
	case sp.memory = <-s.free:
		if sp.memory == nil {
			sp.memory = make([]byte, 0, spoolMemory)
		}
	default:
	}
	return sp
}

// Write implements io.Writer.
func (s *spool) Write(p []byte) (int, error) { return len(p), s.append(p) }

func (s *spool) append(p []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.file == nil && s.size+int64(len(p)) <= int64(cap(s.memory)) {
		s.memory = append(s.memory, p...)
		s.size += int64(len(p))
		return nil
	}
	if s.file == nil {
		if err := s.toFile(); err != nil {
			return err
		}
	}
	n, err := s.file.WriteAt(p, s.size)
	s.size += int64(n)
	return err
}

func (s *spool) toFile() error {
	file, err := os.CreateTemp(s.spools.dir, "mirror-*")
	if err != nil {
		return err
	}
	if err := os.Remove(file.Name()); err != nil {
		return errors.Join(err, file.Close())
	}
	if _, err := file.WriteAt(s.memory, 0); err != nil {
		return errors.Join(err, file.Close())
	}
	s.file = file
	s.giveBack()
	return nil
}

func (s *spool) giveBack() {
	if cap(s.memory) > 0 {
		s.spools.free <- s.memory[:0]
		s.memory = nil
	}
}

// ReadAt implements io.ReaderAt.
func (s *spool) ReadAt(p []byte, off int64) (int, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.file != nil {
		return s.file.ReadAt(p, off)
	}
	if off >= int64(len(s.memory)) {
		return 0, io.EOF
	}
	n := copy(p, s.memory[off:])
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// WriteTo implements io.WriterTo for who knows that nothing is appended any more.
func (s *spool) WriteTo(w io.Writer) (int64, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.file != nil {
		return io.Copy(w, io.NewSectionReader(s.file, 0, s.size))
	}
	n, err := w.Write(s.memory)
	return int64(n), err
}

// close gives back what it holds. Nobody reads it any more.
func (s *spool) close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.giveBack()
	if s.file != nil {
		return s.file.Close()
	}
	return nil
}
