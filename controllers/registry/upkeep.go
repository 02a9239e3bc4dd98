package registry

import (
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/crateyard/crateyard/api/v1alpha1"
	"github.com/crateyard/crateyard/controllers/internal/conditions"
	"github.com/crateyard/crateyard/controllers/internal/outcome"
	"github.com/crateyard/crateyard/registry/cron"
	"github.com/crateyard/crateyard/registry/wire"
)

// upkeep fills in what the server says of its backups, and of reading its crate files again.
func upkeep(r *v1alpha1.Registry, st *v1alpha1.RegistryStatus, server *wire.Status) {
	if r.Spec.Backup == nil {
		st.Backup = nil
	}
	if server == nil {
		return
	}
	if b := server.Backup; b != nil && r.Spec.Backup != nil {
		st.Backup = &v1alpha1.BackupStatus{
			LastSuccessful: moment(b.LastSuccessful), LastFailed: moment(b.LastFailed), Name: outcome.Clip(b.Name, 250),
		}
		if b.LastSuccessful != nil {
			st.Backup.Bytes, st.Backup.Blobs = &b.Bytes, &b.Blobs
		}
	}
	if c := server.Scrub; c != nil {
		st.Scrub = &v1alpha1.ScrubStatus{LastCompleted: moment(c.LastCompleted), Problems: &c.Problems}
	}
}

// moment gives a time as the API server keeps it, in whole seconds: another would look like a change for ever.
func moment(t *time.Time) *metav1.Time {
	if t == nil {
		return nil
	}
	m := metav1.NewTime(t.Truncate(time.Second))
	return &m
}

// backupReady is there while backups are wanted, and says how the last one ended.
func backupReady(r *v1alpha1.Registry, f facts) *metav1.Condition {
	const typ = v1alpha1.BackupReadyCondition
	spec := r.Spec.Backup
	if spec == nil {
		return nil
	}
	if missing := f.missing[typ]; missing.reason != "" {
		return condition(conditions.False(typ, missing.reason, missing.message))
	}
	if spec.Suspend {
		return condition(conditions.False(typ, v1alpha1.ReasonBackupSuspended, "no backups are made, since spec.backup.suspend is true"))
	}
	if why := badSchedule(r); why != "" {
		return condition(conditions.False(typ, v1alpha1.ReasonInvalidSpec, "no backups are made: "+why))
	}
	if f.server == nil {
		return condition(kept(r, typ, nil))
	}
	b := f.server.Backup
	if b == nil {
		b = &wire.BackupStatus{}
	}
	switch {
	case b.LastFailed != nil && (b.LastSuccessful == nil || b.LastFailed.After(*b.LastSuccessful)):
		last := "none has succeeded yet"
		if b.LastSuccessful != nil {
			last = "the last that succeeded is of " + clock(b.LastSuccessful)
		}
		return condition(conditions.False(typ, v1alpha1.ReasonBackupFailed,
			join(fmt.Sprintf("the backup of %s failed, and %s", clock(b.LastFailed), last), outcome.Clip(outcome.Message(b.Message), maxSaid))))
	case b.LastSuccessful != nil:
		return condition(conditions.True(typ, v1alpha1.ReasonBackupSucceeded, fmt.Sprintf("backup %s was made at %s", b.Name, clock(b.LastSuccessful))))
	}
	return condition(conditions.Unknown(typ, v1alpha1.ReasonBackupPending, fmt.Sprintf("no backup was made yet; the schedule is %s (UTC)", spec.Schedule)))
}

// badSchedule says what is wrong with the schedule of backups; empty where nothing is. The server would not start with it, and a registry without backups
// is better than none.
func badSchedule(r *v1alpha1.Registry) string {
	if b := r.Spec.Backup; b != nil {
		if _, err := cron.Parse(b.Schedule); err != nil {
			return "spec.backup." + err.Error()
		}
	}
	return ""
}

// cratesIntact is there once the server has read crate files again, or where its catalog does not know all of them.
func cratesIntact(r *v1alpha1.Registry, f facts) *metav1.Condition {
	const typ = v1alpha1.CratesIntactCondition
	if f.server == nil {
		return meta.FindStatusCondition(r.Status.Conditions, typ)
	}
	if c := f.server.Catalog; c != nil && c.SetBack != "" {
		return condition(conditions.False(typ, v1alpha1.ReasonCatalogSetBack, outcome.Clip(outcome.Message(c.SetBack), 2*maxSaid)))
	}
	switch c := f.server.Scrub; {
	case c == nil || c.LastCompleted == nil && c.Problems == 0:
		return nil
	case c.Problems > 0:
		return condition(conditions.False(typ, v1alpha1.ReasonCratesDamaged,
			join(fmt.Sprintf("%d crate files are damaged or missing; `crateyard check` names them, and docs/operations.md says what to do", c.Problems), outcome.Clip(outcome.Message(c.Message), maxSaid))))
	default:
		return condition(conditions.True(typ, v1alpha1.ReasonCratesIntact, "all crate files were read again by "+clock(c.LastCompleted)+", and are as they were published"))
	}
}

// clocksAgree is there over PostgreSQL, whose clock servers compare with their own, once one was asked.
func clocksAgree(r *v1alpha1.Registry, f facts) *metav1.Condition {
	const typ = v1alpha1.ClocksAgreeCondition
	switch said := f.troubles[clockPart]; {
	case r.Spec.Catalog.Postgres == nil:
		return nil
	case said != "":
		return condition(conditions.False(typ, v1alpha1.ReasonClocksDiffer, said))
	case f.server == nil:
		return meta.FindStatusCondition(r.Status.Conditions, typ)
	}
	return condition(conditions.True(typ, v1alpha1.ReasonClocksAgree, "the clocks of servers and database agree"))
}

func clock(t *time.Time) string { return t.UTC().Format(time.RFC3339) }
