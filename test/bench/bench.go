package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/crateyard/crateyard/test/port"
	"github.com/crateyard/crateyard/test/serve"
)

// bench is a server and an nginx side by side.
type bench struct {
	dir    string
	rounds int
	length time.Duration

	server *serve.Server
	nginx  *exec.Cmd
	files  string // address of nginx
	mirror *mirrored
}

func (b *bench) start(ctx context.Context) (err error) {
	for _, tool := range []string{"nginx", "wrk"} {
		if _, err := exec.LookPath(tool); err != nil {
			return fmt.Errorf("%w: run `make bench`, or install the Debian packages nginx-light and wrk", err)
		}
	}
	if b.server, err = serve.Start(filepath.Join(b.dir, "data"), "--log-format", "json"); err != nil {
		return err
	}
	return b.startNginx(ctx)
}

// nginxConfig is nginx as one would run it for static files on two cores; it keeps no access log, though the server does.
const nginxConfig = `daemon off; worker_processes 2; pid %[1]s/nginx.pid; error_log %[1]s/nginx.log; user root;
events { worker_connections 1024; }
http {
  access_log off; sendfile on; tcp_nopush on; keepalive_requests 1000000; open_file_cache max=100;
  types { } default_type text/plain;
  client_body_temp_path %[1]s/tmp; proxy_temp_path %[1]s/tmp; fastcgi_temp_path %[1]s/tmp; uwsgi_temp_path %[1]s/tmp; scgi_temp_path %[1]s/tmp;
  server { listen %[2]s; root %[1]s/www; }
}
`

func (b *bench) startNginx(ctx context.Context) error {
	number, _, err := port.Reserve()
	if err != nil {
		return err
	}
	addr := fmt.Sprint("127.0.0.1:", number)
	b.files = "http://" + addr
	if err := os.MkdirAll(filepath.Join(b.dir, "www"), 0o755); err != nil {
		return err
	}
	config := filepath.Join(b.dir, "nginx.conf")
	if err := os.WriteFile(config, fmt.Appendf(nil, nginxConfig, b.dir, addr), 0o644); err != nil {
		return err
	}
	b.nginx = exec.Command("nginx", "-c", config, "-e", filepath.Join(b.dir, "nginx.log"))
	if err := b.nginx.Start(); err != nil {
		return err
	}
	for range 100 {
		var d net.Dialer
		if c, err := d.DialContext(ctx, "tcp", addr); err == nil {
			return c.Close()
		}
		time.Sleep(50 * time.Millisecond)
	}
	log, _ := os.ReadFile(filepath.Join(b.dir, "nginx.log"))
	return fmt.Errorf("nginx did not start: %s", log)
}

func (b *bench) close() (err error) {
	if b.nginx != nil && b.nginx.Process != nil {
		err = b.nginx.Process.Signal(syscall.SIGTERM)
		_ = b.nginx.Wait() // its exit code says nothing after a signal
	}
	if b.server != nil {
		err = errors.Join(err, b.server.Stop())
	}
	if b.mirror != nil {
		err = errors.Join(err, b.mirror.up.Stop())
	}
	return err
}

// put has nginx serve the bytes at the path.
func (b *bench) put(path string, data []byte) error {
	return os.WriteFile(filepath.Join(b.dir, "www", path), data, 0o644)
}

// fetch gets an address once.
func fetch(ctx context.Context, url string, headers ...string) ([]byte, http.Header, int, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, nil, 0, err
	}
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		req.Header.Set(name, value)
	}
	resp, err := (&http.Client{Transport: &http.Transport{DisableCompression: true}}).Do(req)
	if err != nil {
		return nil, nil, 0, err
	}
	defer func() { _ = resp.Body.Close() }()
	data, err := io.ReadAll(resp.Body)
	return data, resp.Header, resp.StatusCode, err
}

var perSecond = regexp.MustCompile(`Requests/sec:\s+([0-9.]+)`)

// load asks for an address over keep-alive connections for a while and gives the requests per second.
func (b *bench) load(ctx context.Context, connections int, url string, headers ...string) (float64, error) {
	args := []string{"-t", "1", "-c", strconv.Itoa(connections), "-d", fmt.Sprintf("%ds", max(1, int(b.length.Seconds())))}
	for _, h := range headers {
		args = append(args, "-H", h)
	}
	out, err := exec.CommandContext(ctx, "wrk", append(args, url)...).CombinedOutput()
	if err != nil {
		return 0, fmt.Errorf("wrk: %w\n%s", err, out)
	}
	if err := b.server.ForgetLogs(); err != nil { // before the kernel begins to write them to the disk
		return 0, err
	}
	m := perSecond.FindSubmatch(out)
	if m == nil || bytes.Contains(out, []byte("Socket errors")) || bytes.Contains(out, []byte("Non-2xx")) && len(headers) == 0 {
		return 0, fmt.Errorf("wrk had errors:\n%s", out)
	}
	return strconv.ParseFloat(string(m[1]), 64)
}

// against loads our address and nginx's in turns and gives the medians of both and of their ratio.
func (b *bench) against(ctx context.Context, connections int, ours, theirs string, ourHeaders, theirHeaders []string) (o, t, ratio float64, err error) {
	var os, ts, ratios []float64
	for range b.rounds {
		if o, err = b.load(ctx, connections, ours, ourHeaders...); err != nil {
			return 0, 0, 0, err
		}
		if t, err = b.load(ctx, connections, theirs, theirHeaders...); err != nil {
			return 0, 0, 0, err
		}
		os, ts, ratios = append(os, o), append(ts, t), append(ratios, o/t)
	}
	return median(os), median(ts), median(ratios), nil
}

// resident is the resident memory of the server in MiB.
func (b *bench) resident() (float64, error) { return residentOf(strconv.Itoa(b.server.Pid)) }

// residentOf is the resident memory of a process in MiB.
func residentOf(pid string) (float64, error) {
	data, err := os.ReadFile("/proc/" + pid + "/status")
	if err != nil {
		return 0, err
	}
	m := regexp.MustCompile(`VmRSS:\s+(\d+) kB`).FindSubmatch(data)
	if m == nil {
		return 0, errors.New("no VmRSS")
	}
	kb, err := strconv.ParseFloat(string(m[1]), 64)
	return kb / 1024, err
}
