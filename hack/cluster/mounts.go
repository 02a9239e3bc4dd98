package main

import (
	"fmt"
	"os"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// mountsBelow lists the mount points in dir, the latest first, which is the
// order in which they can be unmounted.
func mountsBelow(dir string) ([]string, error) {
	info, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return nil, err
	}
	points := parseMountPoints(string(info), dir)
	slices.Reverse(points)
	return points, nil
}

// parseMountPoints reads the fifth field of each line of mountinfo.
func parseMountPoints(mountinfo, dir string) (points []string) {
	// The kernel writes blanks in paths as octal numbers.
	unescape := strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`)
	for line := range strings.Lines(mountinfo) {
		fields := strings.Fields(line)
		if len(fields) < 5 {
			continue
		}
		if point := unescape.Replace(fields[4]); point == dir || strings.HasPrefix(point, dir+"/") {
			points = append(points, point)
		}
	}
	return points
}

// unmountBelow unmounts all that pods and containerd have mounted in dir.
func unmountBelow(dir string) error {
	points, err := mountsBelow(dir)
	if err != nil {
		return err
	}
	for _, p := range points {
		// Nobody uses them any more. Should the kernel not have noticed yet, it detaches the mount now and ends it later.
		if err := unix.Unmount(p, unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW); err != nil {
			return fmt.Errorf("unmount %s: %w", p, err)
		}
	}
	return nil
}

// removeTree deletes a directory of ours. It first makes sure that nothing is
// mounted in it: a volume mounted there would lose its data.
func removeTree(dir string) error {
	if err := unmountBelow(dir); err != nil {
		return err
	}
	points, err := mountsBelow(dir)
	if err != nil {
		return err
	}
	if len(points) > 0 {
		return fmt.Errorf("will not remove %s: still mounted: %s", dir, strings.Join(points, ", "))
	}
	return os.RemoveAll(dir)
}
