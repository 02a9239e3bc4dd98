package v1alpha1

// Condition types. Ready is always present; Reconciling and Stalled follow kstatus: present when true, never both.
const (
	// ReadyCondition sums up all others: the object is as its spec says, and works.
	ReadyCondition = "Ready"
	// ReconcilingCondition is there while the operator works towards the spec, or tries again after a failure.
	ReconcilingCondition = "Reconciling"
	// StalledCondition is there when trying again cannot help: somebody has to change something. Its message says what.
	StalledCondition = "Stalled"
	// PausedCondition is there while spec.reconciliation is Disabled.
	PausedCondition = "Paused"

	// StorageReadyCondition says whether the Registry's volume or bucket is there, and works for the server.
	StorageReadyCondition = "StorageReady"
	// CatalogReadyCondition says whether the Registry's database is there, and works for the server.
	CatalogReadyCondition = "CatalogReady"
	// WorkloadReadyCondition says whether the Registry's pod runs and is ready.
	WorkloadReadyCondition = "WorkloadReady"
	// ServerReachableCondition says whether the registry answers the operator.
	ServerReachableCondition = "ServerReachable"
	// IngressReadyCondition is there when spec.ingress is set, and says whether the Ingress has an address. Ready does not wait
	// for it.
	IngressReadyCondition = "IngressReady"
	// MonitoringReadyCondition is there when a ServiceMonitor is asked for, and says whether it could be made.
	MonitoringReadyCondition = "MonitoringReady"
	// BackupReadyCondition is there when spec.backup is set, and says whether the last backup succeeded. Ready does not wait
	// for it.
	BackupReadyCondition = "BackupReady"
	// CratesIntactCondition is there when the server has read its crate files again, and says whether all were as they should
	// be. Ready does not wait for it: the others are served.
	CratesIntactCondition = "CratesIntact"
	// ClocksAgreeCondition is there over PostgreSQL, and says whether the clocks of servers and database agree. Ready does not
	// wait for it: all goes on, with wrong times.
	ClocksAgreeCondition = "ClocksAgree"

	// RegistryReadyCondition says whether the Registry of a RegistryUser or CrateMirror is there and ready.
	RegistryReadyCondition = "RegistryReady"
	// UserReadyCondition says whether the user of a RegistryUser is at the registry as the spec says.
	UserReadyCondition = "UserReady"
	// TokensReadyCondition says whether all tokens of a RegistryUser are valid and lie in their Secrets.
	TokensReadyCondition = "TokensReady"

	// PolicyValidCondition says whether the policy of a CrateMirror can be read, and does not contradict itself.
	PolicyValidCondition = "PolicyValid"
	// UpstreamReadyCondition says whether the upstream of a CrateMirror answers, and what the spec names for it is there. Ready does
	// not wait for it once something is cached, which is served.
	UpstreamReadyCondition = "UpstreamReady"
	// LockfilesReadyCondition is there when spec.lockfiles is set, and says whether all of them are in effect. One that is not
	// holds up no other.
	LockfilesReadyCondition = "LockfilesReady"
	// SyncedCondition says whether all that crates and lockfiles of a CrateMirror name is cached. Ready waits for it with mode
	// Pinned only, and then only for the first sync to end.
	SyncedCondition = "Synced"
)
