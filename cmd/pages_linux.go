package cmd

import (
	"bufio"
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// releaseInitPages gives back the pages of the program's own file that only its start needed. The binary holds the operator,
// too, whose libraries touch some 20 MiB of code and type data while they initialise; a registry never looks at them
// again. Only mappings that nobody can have written to are dropped, so whatever is needed comes back from the page cache,
// and in small pages: of a file that was just written, the kernel would map 2 MiB around each byte, some 10 MiB in all.
// It is a courtesy to the machine: where it fails, nothing is lost.
func releaseInitPages() {
	exe, err := os.Executable()
	if err != nil {
		return
	}
	maps, err := os.Open("/proc/self/maps")
	if err != nil {
		return
	}
	defer func() { _ = maps.Close() }() // it was read only
	for lines := bufio.NewScanner(maps); lines.Scan(); {
		var begin, end uintptr
		var mode string
		if _, err := fmt.Sscanf(lines.Text(), "%x-%x %s", &begin, &end, &mode); err != nil {
			continue
		}
		if strings.HasSuffix(lines.Text(), " "+exe) && strings.HasPrefix(mode, "r") && mode[1] == '-' {
			for _, advice := range []uintptr{unix.MADV_NOHUGEPAGE, unix.MADV_DONTNEED} {
				_, _, _ = unix.Syscall(unix.SYS_MADVISE, begin, end-begin, advice) // by number: the address is no Go pointer
			}
		}
	}
}
