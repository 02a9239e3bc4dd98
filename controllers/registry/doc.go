// Package registry reconciles Registry objects.
//
// Reconcile runs ordered steps of one signature over a scope. Steps act, and record what they saw as facts in the scope; they
// set no condition. At the one exit, status.go computes the whole status from those facts, purely, and it is written once, if
// it changed. Children are built by pure functions (build*.go) and applied by controllers/internal/apply.
//
// What holds data, the volume and the admin Secret, has no owner unless spec.deletionPolicy is Delete: a Registry that is
// deleted and made again finds both by name and label. Nothing here ever deletes them; with Delete, the garbage collector does.
package registry
