package registry

import (
	"context"
	"io"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/crateyard/crateyard/controllers/internal/outcome"
)

// Bounds of asking pods why they are not ready. All of a Registry's are in the same trouble as a rule, so a few are enough.
const (
	askTimeout = 2 * time.Second
	maxAsked   = 3
	maxReason  = 2 << 10 // bytes of an answer
)

// asker asks pods. It follows no redirect: what answers may be anybody's.
var asker = &http.Client{Timeout: askTimeout, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}

// The parts that a server names as the first word of why it is not ready, before a colon.
const (
	catalogPart = "catalog"
	storagePart = "storage"
	clockPart   = "clock"
)

// askPods asks pods what they lack, ready or not: what all of them share is no part of their readiness, and one of them alone may have lost it.
func (s *scope) askPods(ctx context.Context) error {
	asked := 0
	for i := range s.facts.pods {
		pod := &s.facts.pods[i]
		if !running(pod) || pod.Status.PodIP == "" || asked == maxAsked {
			continue
		}
		asked++
		for part, why := range s.askPod(ctx, pod) {
			if s.facts.troubles == nil {
				s.facts.troubles = map[string]string{}
			}
			if s.facts.troubles[part] == "" {
				s.facts.troubles[part] = why
			}
		}
	}
	return nil
}

// askPod gives what a pod's /readyz says, by the part of the server that it speaks of; the empty part is the rest. A pod that does
// not answer says nothing.
func (s *scope) askPod(ctx context.Context, pod *corev1.Pod) map[string]string {
	address := net.JoinHostPort(pod.Status.PodIP, strconv.Itoa(opsPort))
	if s.OpsAddress != nil {
		address = s.OpsAddress(pod)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address+"/readyz", nil)
	if err != nil {
		return nil
	}
	resp, err := asker.Do(req)
	if err != nil {
		return nil
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxReason))
	if err != nil || resp.StatusCode != http.StatusServiceUnavailable {
		return nil
	}
	return readReasons(string(body))
}

// readReasons reads an answer of /readyz: lines such as `catalog: connection refused`.
func readReasons(answer string) map[string]string {
	reasons := map[string]string{}
	for line := range strings.Lines(answer) {
		part, why, found := strings.Cut(line, ": ")
		if !found || !slices.Contains([]string{catalogPart, storagePart, clockPart}, part) {
			part, why = "", line
		}
		if why = strings.TrimSpace(why); why == "" {
			continue
		}
		if reasons[part] != "" {
			why = reasons[part] + "; " + why
		}
		reasons[part] = outcome.Clip(outcome.Message(why), maxSaid)
	}
	return reasons
}
