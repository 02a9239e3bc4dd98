package gitindex

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// post sends a body to git-upload-pack and gives the status and the answer.
func post(t *testing.T, url, protocol string, body []byte, zipped bool) (int, string) {
	t.Helper()
	if zipped {
		var buf bytes.Buffer
		z := gzip.NewWriter(&buf)
		if _, err := z.Write(body); err != nil {
			t.Fatal(err)
		}
		if err := z.Close(); err != nil {
			t.Fatal(err)
		}
		body = buf.Bytes()
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url+"/git-upload-pack", bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Git-Protocol", protocol)
	if zipped {
		req.Header.Set("Content-Encoding", "gzip")
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(answer)
}

// packets makes packets of lines; "0000" and "0001" are the marks.
func packets(lines ...string) []byte {
	var b bytes.Buffer
	for _, l := range lines {
		if l == "0000" || l == "0001" {
			b.WriteString(l)
			continue
		}
		fmt.Fprintf(&b, "%04x%s\n", len(l)+5, l)
	}
	return b.Bytes()
}

// What the answer says before the pack, for all ways to ask that a client may choose.
func TestNegotiation(t *testing.T) {
	feed := randomFeed(5, 30)
	names := tips(t, feed, 16)
	repo := newRepo(t, t.TempDir(), feed, 16)
	for n := 1; n <= 30; n++ { // one by one, so that the whole log is kept
		repo.Feed = feed.head(n)
		syncRepo(t, repo)
	}
	url := serveRepo(t, repo)
	tip, old, older := names[30].String(), names[25].String(), names[14].String()
	unknown := strings.Repeat("ab", 20)
	const multi = " thin-pack multi_ack_detailed side-band-64k"
	for name, tc := range map[string]struct {
		protocol string
		ask      []byte
		want     []byte
		pack     bool // the pack follows
	}{
		"clone":             {"", packets("want "+tip+multi, "0000", "done"), packets("NAK"), true},
		"clone, simplest":   {"", packets("want "+tip, "0000", "done"), packets("NAK"), true},
		"nothing wanted":    {"", packets("0000"), nil, false},
		"no common commit":  {"", packets("want "+tip+multi, "0000", "have "+unknown, "0000"), packets("NAK"), false},
		"one of two":        {"", packets("want "+tip+multi, "0000", "have "+unknown, "have "+old, "0000"), packets("ACK "+old+" common", "ACK "+old+" ready", "NAK"), false},
		"no-done":           {"", packets("want "+tip+multi+" no-done", "0000", "have "+old, "0000"), packets("ACK "+old+" common", "ACK "+old+" ready", "NAK", "ACK "+old), true},
		"done":              {"", packets("want "+tip+multi, "0000", "have "+old, "done"), packets("ACK "+old+" common", "ACK "+old), true},
		"multi_ack":         {"", packets("want "+tip+" multi_ack side-band", "0000", "have "+old, "have "+older, "0000"), packets("ACK "+old+" continue", "ACK "+older+" continue", "NAK"), false},
		"multi_ack done":    {"version=1", packets("want "+tip+" multi_ack side-band", "0000", "have "+old, "done"), packets("ACK "+old+" continue", "ACK "+old), true},
		"single ack":        {"", packets("want "+tip+" thin-pack", "0000", "have "+old, "have "+older, "0000"), packets("ACK " + old), false},
		"single ack done":   {"", packets("want "+tip+" thin-pack", "0000", "have "+old, "done"), packets("ACK " + old), true},
		"depth":             {"", packets("want "+tip+multi, "deepen 2", "0000", "done"), packets("shallow "+names[29].String(), "0000", "NAK"), true},
		"depth, first half": {"", packets("want "+tip+multi, "deepen 2", "0000"), packets("shallow "+names[29].String(), "0000"), false},
		"depth beyond root": {"", packets("want "+tip+multi, "deepen 99", "0000", "done"), packets("0000", "NAK"), true},
		"have after want":   {"", packets("want "+older+multi, "0000", "have "+tip, "done"), packets("NAK"), true},
		"v2 clone":          {"version=2", packets("command=fetch", "agent=x", "0001", "thin-pack", "want "+tip, "done", "0000"), packets("packfile"), true},
		"v2 no common":      {"version=2", packets("command=fetch", "0001", "want "+tip, "have "+unknown, "0000"), packets("acknowledgments", "NAK", "0000"), false},
		"v2 common":         {"version=2", packets("command=fetch", "0001", "want "+tip, "have "+old, "0000"), packets("acknowledgments", "ACK "+old, "ready", "0001", "packfile"), true},
		"v2 done":           {"version=2", packets("command=fetch", "0001", "want "+tip, "have "+old, "done", "0000"), packets("packfile"), true},
		"v2 depth":          {"version=2", packets("command=fetch", "0001", "want "+tip, "deepen 1", "done", "0000"), packets("shallow-info", "shallow "+tip, "0001", "packfile"), true},
		"v2 deepen": {"version=2", packets("command=fetch", "0001", "want "+tip, "shallow "+old, "deepen 9", "have "+old, "done", "0000"),
			packets("shallow-info", "shallow "+names[22].String(), "unshallow "+old, "0001", "packfile"), true},
		"v2 refs": {"version=2", packets("command=ls-refs", "0001", "peel", "symrefs", "ref-prefix HEAD", "0000"), packets(tip+" HEAD symref-target:"+branch, "0000"), false},
	} {
		for _, zipped := range []bool{false, true} {
			status, got := post(t, url, tc.protocol, tc.ask, zipped)
			rest, ok := strings.CutPrefix(got, string(tc.want))
			if status != http.StatusOK || !ok || tc.pack != strings.Contains(rest, "PACK") || !tc.pack && rest != "" {
				t.Errorf("%s: %d %q, want %q", name, status, got[:min(len(got), 300)], tc.want)
			}
		}
	}
}

// A client that cannot take deltas against what it has gets them whole.
func TestPackStandsAlone(t *testing.T) {
	feed := randomFeed(5, 30)
	repo := newRepo(t, t.TempDir(), feed, 16)
	tip := syncRepo(t, repo).oid.String()
	url := serveRepo(t, repo)
	old := tips(t, feed, 16)[28].String()
	_, got := post(t, url, "", packets("want "+tip+" ofs-delta", "0000", "have "+old, "done"), false)
	_, pack, ok := strings.Cut(got, "ACK "+old+"\n")
	if !ok {
		t.Fatal(got)
	}
	work := t.TempDir()
	git(t, work, "init", "-q", "--bare")
	file := filepath.Join(work, "x.pack")
	if err := os.WriteFile(file, []byte(pack), 0o600); err != nil {
		t.Fatal(err)
	}
	git(t, work, "index-pack", "--strict", file)
}

func TestRefused(t *testing.T) {
	feed := randomFeed(5, 3)
	repo := newRepo(t, t.TempDir(), feed, 16)
	tip := syncRepo(t, repo).oid.String()
	url := serveRepo(t, repo)
	for name, tc := range map[string]struct {
		protocol string
		body     []byte
		want     string
	}{
		"unknown commit":  {"", packets("want "+strings.Repeat("ab", 20), "0000", "done"), "fetch again"},
		"no commit":       {"", packets("want HEAD", "0000", "done"), "40 hex digits"},
		"no packets":      {"", []byte("hello world"), "no message of git"},
		"half a packet":   {"", packets("want " + tip)[:20], "no message of git"},
		"unknown command": {"version=2", packets("command=object-info", "0001", "0000"), "object-info"},
		"filter":          {"version=2", packets("command=fetch", "0001", "want "+tip, "filter blob:none", "done", "0000"), "filter"},
		"since":           {"", packets("want "+tip, "deepen-since 1", "0000", "done"), "--depth"},
		"negative depth":  {"", packets("want "+tip, "deepen -1", "0000", "done"), "no depth"},
		"too long":        {"", bytes.Repeat(packets("have "+tip), maxRequest/40), "longer than"},
	} {
		for _, zipped := range []bool{false, true} { // "too long" is small when it is zipped
			if status, got := post(t, url, tc.protocol, tc.body, zipped); status != http.StatusBadRequest || !strings.Contains(got, tc.want) {
				t.Errorf("%s: %d %q, want 400 with %q", name, status, got, tc.want)
			}
		}
	}
	for path, tc := range map[string]struct {
		status int
		want   string
	}{
		"/info/refs?service=git-receive-pack": {http.StatusForbidden, "cargo publish"},
		"/info/refs":                          {http.StatusForbidden, "smart HTTP"},
		"/HEAD":                               {http.StatusNotFound, ""},
		"/git-upload-pack":                    {http.StatusMethodNotAllowed, ""},
	} {
		resp, err := http.Get(url + path)
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		if resp.StatusCode != tc.status || !strings.Contains(string(body), tc.want) {
			t.Errorf("%s: %d %q", path, resp.StatusCode, body)
		}
	}
	work := t.TempDir()
	git(t, work, "clone", "-q", url, ".")
	if out, err := tryGit(t, work, "push", "origin", "HEAD:x"); err == nil || !strings.Contains(out, "cargo publish") {
		t.Errorf("push: %v\n%s", err, out)
	}
}
