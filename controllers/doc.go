// Package controllers puts the operator together: the scheme, the cache, the indexes, and one reconciler for each kind. The
// reconcilers are in packages of their own; what they share is under internal.
package controllers
