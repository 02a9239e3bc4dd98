// Package registryuser reconciles RegistryUser objects: a user at a Registry, and a Secret for each of its tokens.
//
// The Secret is the memory. Its annotations say which token it holds, since when and until when; what the registry lists
// beside that under the same name is an older token that retires, or one whose Secret was never written. So nothing is lost
// when the operator stops between two writes, and status can be computed anew at any time. What to do about a token is
// decided by pure functions (policy.go) over Secret, list and clock.
//
// A token is issued anew when its Secret is missing or was edited, when the registry does not know it, when the spec changed,
// and before it expires. The old one stays valid for spec.tokens[].gracePeriod, unless its Secret was lost or edited, or it
// may do what the spec no longer allows: then it is revoked at once.
package registryuser
