package registry

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/pprof"
	"slices"
	"strings"
	"time"
)

// readyTimeout bounds a readiness check; a probe gives up after a second or so.
const readyTimeout = 2 * time.Second

// opsHandler serves what is for operators only. Liveness depends on nothing outside the process: a restart mends no disk.
// Readiness depends on catalog and storage.
func (s *Server) opsHandler() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", s.metrics.Handler())
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { say(w, http.StatusOK, "ok") })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, r *http.Request) {
		if problems := s.ready(r.Context(), r.URL.Query()["exclude"]); len(problems) > 0 {
			s.log.Warn("Not ready", "problems", problems)
			say(w, http.StatusServiceUnavailable, strings.Join(problems, "\n"))
			return
		}
		say(w, http.StatusOK, strings.Join(append([]string{"ready"}, s.remarks()...), "\n"))
	})
	mux.HandleFunc("GET /debug/pprof/", pprof.Index)
	mux.HandleFunc("GET /debug/pprof/cmdline", pprof.Cmdline)
	mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("GET /debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
	return mux
}

// ready says what keeps this server from doing all its work, one thing a line: "catalog: …", "storage: …", "clock: …", or why it serves nothing at
// all. exclude leaves out catalog or storage, as the API server of Kubernetes has it: a probe that takes a server out of a Service should
// not look at what all servers share, for without it each of them still serves what it can.
func (s *Server) ready(ctx context.Context, exclude []string) (problems []string) {
	if why := s.waiting.Load(); why != nil {
		return []string{*why}
	}
	if s.api.Stopping() {
		return []string{"stopping"}
	}
	ctx, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	for _, part := range []struct {
		name string
		ask  func(context.Context) error
	}{{"catalog", s.catalog.Ping}, {"storage", s.store.Check}} {
		if slices.Contains(exclude, part.name) {
			continue
		}
		err := part.ask(ctx)
		s.metrics.BackendUp(part.name, err == nil)
		if err != nil {
			problems = append(problems, part.name+": "+strings.ReplaceAll(err.Error(), "\n", "; "))
		}
	}
	if !slices.Contains(exclude, "catalog") { // which is what the clock was compared with
		if err := s.catalog.CheckClock(); err != nil {
			problems = append(problems, "clock: "+err.Error())
		}
	}
	return problems
}

// remarks says what is wrong though this server does all its work, one thing a line.
func (s *Server) remarks() (remarks []string) {
	if s.waiting.Load() != nil {
		return nil
	}
	if said := s.setBack.Load(); said != nil {
		remarks = append(remarks, "crates: "+*said)
	}
	for _, t := range s.upkeep.Status() {
		switch n := t.Last.Problems; {
		case n == 0:
		case t.Name == "sweep":
			remarks = append(remarks, fmt.Sprintf("crates: the last sweep spared %d archives of crates of which the catalog has lost versions; run `crateyard check`", n))
		default:
			remarks = append(remarks, fmt.Sprintf("crates: %d archives were found to be damaged or missing; run `crateyard check`", n))
		}
	}
	return remarks
}

func say(w http.ResponseWriter, code int, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(code)
	_, _ = io.WriteString(w, text+"\n") // the prober is gone when this fails
}

func logLevel(name string) (slog.Level, error) {
	var l slog.Level
	if err := l.UnmarshalText([]byte(name)); err != nil {
		return l, fmt.Errorf("log.level %q: it must be debug, info, warn or error", name)
	}
	return l, nil
}

func logHandler(w io.Writer, format string, level slog.Level) slog.Handler {
	o := &slog.HandlerOptions{Level: level}
	if format == "json" {
		return slog.NewJSONHandler(w, o)
	}
	return slog.NewTextHandler(w, o)
}
