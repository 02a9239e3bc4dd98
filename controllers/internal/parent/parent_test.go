package parent

import (
	"net/http"
	"strings"
	"testing"

	"github.com/crateyard/crateyard/api/v1alpha1"
	"github.com/crateyard/crateyard/controllers/internal/outcome"
	api "github.com/crateyard/crateyard/registry/client"
)

// What the server says of a token is for people who use cargo. Here the trouble is the Registry's.
func TestAdminTokenThatIsRefused(t *testing.T) {
	for _, code := range []int{http.StatusUnauthorized, http.StatusForbidden} {
		err := FromServer(&api.Error{StatusCode: code, Detail: "the page /me says how to get one"}, "listing tokens")
		wait, ok := outcome.IsWait(err)
		if !ok || wait.Reason != v1alpha1.ReasonRegistryNotReady || strings.Contains(wait.Message, "/me") || !strings.Contains(wait.Message, "kubectl describe registry") {
			t.Errorf("%d: %v", code, err)
		}
	}
}
