package advisory

import (
	"fmt"
	"net"
	"net/url"
	"strings"
)

// CheckSource reports why source cannot name a database: it is the path of a folder of the server, beginning with '/' or file:///, or the
// address of a git repository, https:// or http:// (see Unguarded). Whether there is one is not looked at.
func CheckSource(source string) error {
	switch {
	case source == "":
		return fmt.Errorf("it is empty: write a folder of the server, or a git address such as https://github.com/rustsec/advisory-db")
	case strings.ContainsFunc(source, func(r rune) bool { return r < ' ' || r == 0x7f }):
		return fmt.Errorf("%.100q has control characters", source)
	case IsFolder(source):
		return nil
	}
	u, err := url.Parse(source)
	switch {
	case err != nil || u.Scheme != "https" && u.Scheme != "http":
		return fmt.Errorf("it must be a folder of the server, beginning with '/', or a git address, beginning with https://")
	case u.User != nil: // not shown: it may be a secret, and a policy is no place for one
		return fmt.Errorf("it may not have a user or password: clone such a repository beside the server and name its folder")
	case u.Hostname() == "" || u.RawQuery != "" || u.Fragment != "" || u.ForceQuery:
		return fmt.Errorf("%.100q is no git address: it must be https://HOST/PATH", source)
	}
	return nil
}

// IsFolder reports whether a source that CheckSource takes is a folder.
func IsFolder(source string) bool { return strings.HasPrefix(Folder(source), "/") }

// Folder is the path of a source that is a folder.
func Folder(source string) string { return strings.TrimPrefix(source, "file://") }

// Unguarded reports whether whoever is on the way to a source can take advisories out of it: its address is http://, and not of this machine.
func Unguarded(source string) bool {
	u, err := url.Parse(source)
	if err != nil || u.Scheme != "http" || u.Hostname() == "localhost" {
		return false
	}
	ip := net.ParseIP(u.Hostname())
	return ip == nil || !ip.IsLoopback()
}
