package apply

import (
	"fmt"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/crateyard/crateyard/controllers/internal/names"
)

// Altered remembers children that the cluster's admission (a webhook, a policy) makes differ from what is applied, such as a Deployment that is given
// one more label in its nodeSelector. To apply them again with each look would end the same way each time; once somebody edits one its generation is
// another, and it is applied again. So it is now and then, since what altered it may be gone. The zero value is ready for use, by several reconciles at once.
type Altered struct {
	seen sync.Map // types.UID → remembered
}

// triedAgain is how long a child stays altered before it is applied again.
const triedAgain = 10 * time.Minute

type remembered struct {
	alteration
	applied time.Time
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
		a.seen.Store(now.GetUID(), remembered{alterationOf(now, intent), time.Now()})
	}
}

// is reports whether a child is still as it was after intent was applied, and whether that was lately.
func (a *Altered) is(child, intent *unstructured.Unstructured) (still, lately bool) {
	if a == nil || child.GetDeletionTimestamp() != nil {
		return false, false
	}
	seen, ok := a.seen.Load(child.GetUID())
	if !ok {
		return false, false
	}
	was := seen.(remembered)
	still = was.alteration == alterationOf(child, intent)
	return still, still && time.Since(was.applied) < triedAgain
}

func alterationOf(live, intent *unstructured.Unstructured) alteration {
	return alteration{
		digest: intent.GetAnnotations()[names.AppliedAnnotation], generation: live.GetGeneration(), differs: fmt.Sprint(difference(live.Object, intent.Object)),
	}
}
