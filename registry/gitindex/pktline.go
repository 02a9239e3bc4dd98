package gitindex

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strconv"
)

// packetKind tells lines from the marks between them.
type packetKind int

const (
	packetLine  packetKind = iota
	packetFlush            // 0000: the end of a message or section
	packetDelim            // 0001: between the sections of a version 2 message
	packetEnd              // 0002
)

// maxPacket is the longest packet, its four digits of length included.
const maxPacket = 65520

// readPacket reads one packet of a request. A line comes without its newline.
func readPacket(r *bufio.Reader) (packetKind, string, error) {
	var head [4]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return 0, "", err
	}
	n, err := strconv.ParseUint(string(head[:]), 16, 32)
	switch {
	case err != nil || n == 3 || n > maxPacket:
		return 0, "", fmt.Errorf("%q is no length of a packet", head)
	case n < 3:
		return [...]packetKind{packetFlush, packetDelim, packetEnd}[n], "", nil
	}
	line := make([]byte, n-4)
	if _, err := io.ReadFull(r, line); err != nil {
		return 0, "", errors.Join(io.ErrUnexpectedEOF, err)
	}
	if len(line) > 0 && line[len(line)-1] == '\n' {
		line = line[:len(line)-1]
	}
	return packetLine, string(line), nil
}

// packetWriter writes packets, and keeps the first error.
type packetWriter struct {
	w   *bufio.Writer
	err error
}

func (p *packetWriter) linef(format string, args ...any) {
	line := fmt.Sprintf(format, args...) + "\n"
	if p.err == nil {
		_, p.err = fmt.Fprintf(p.w, "%04x%s", len(line)+4, line)
	}
}

func (p *packetWriter) flush() { p.mark("0000") }
func (p *packetWriter) delim() { p.mark("0001") }

func (p *packetWriter) mark(s string) {
	if p.err == nil {
		_, p.err = p.w.WriteString(s)
	}
}

// The channels of a side band.
const (
	bandPack  = 1
	bandError = 3
)

// band writes one channel of a side band, in packets of at most size bytes.
type band struct {
	p       *packetWriter
	size    int
	channel byte
}

// Write implements io.Writer.
func (b *band) Write(data []byte) (n int, err error) {
	for len(data) > 0 && b.p.err == nil {
		k := min(len(data), b.size-5)
		if _, b.p.err = fmt.Fprintf(b.p.w, "%04x%c", k+5, b.channel); b.p.err == nil {
			_, b.p.err = b.p.w.Write(data[:k])
		}
		data, n = data[k:], n+k
	}
	return n, b.p.err
}
