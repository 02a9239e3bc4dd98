package apply

import (
	"fmt"
	"sync"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/crateyard/crateyard/controllers/internal/names"
)

// Altered remembers children that the cluster's admission (a webhook, a policy) makes differ from what is applied, such as a Deployment that is given
// one more label in its nodeSelector. To apply them again would end the same way each time; once somebody edits one its generation is another, and it
// is applied again. The zero value is ready for use, by several reconciles at once.
type Altered struct {
	seen sync.Map // types.UID → alteration
}

// alteration is a child as it was after it was applied.
type alteration struct {
	digest     string // of what was applied
	generation int64
	differs    string // where; labels and annotations are in no generation
}

// note remembers a child that was just applied, or forgets it where it is as intended.
func (a *Altered) note(now, intent *unstructured.Unstructured) {
	switch {
	case a == nil:
	case now.GetGeneration() == 0 || upToDate(now, intent): // without a generation an edit could not be told
		a.seen.Delete(now.GetUID())
	default:
		a.seen.Store(now.GetUID(), alterationOf(now, intent))
	}
}

// is reports whether a child is still as it was after intent was applied.
func (a *Altered) is(cached, intent *unstructured.Unstructured) bool {
	if a == nil || cached.GetDeletionTimestamp() != nil {
		return false
	}
	was, ok := a.seen.Load(cached.GetUID())
	return ok && was == alterationOf(cached, intent)
}

func alterationOf(live, intent *unstructured.Unstructured) alteration {
	return alteration{
		digest: intent.GetAnnotations()[names.AppliedAnnotation], generation: live.GetGeneration(), differs: fmt.Sprint(difference(live.Object, intent.Object)),
	}
}
