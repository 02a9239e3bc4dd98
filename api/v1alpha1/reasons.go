package v1alpha1

// Reasons of conditions that several kinds share.
const (
	// ReasonSucceeded: everything is as the spec says.
	ReasonSucceeded = "Succeeded"
	// ReasonProgressing: the operator is at work; no failure so far.
	ReasonProgressing = "Progressing"
	// ReasonProgressingWithRetry: the last attempt failed, and the operator tries again.
	ReasonProgressingWithRetry = "ProgressingWithRetry"
	// ReasonFailed: an attempt failed for a reason that has no name of its own; the message has it.
	ReasonFailed = "Failed"
	// ReasonInvalidSpec: the spec asks for something that cannot be, which the API server's schema did not catch.
	ReasonInvalidSpec = "InvalidSpec"
	// ReasonNameTaken: an object that the operator would make exists and belongs to somebody else.
	ReasonNameTaken = "NameTaken"
	// ReasonRefused: the API server refuses an object that the operator would make.
	ReasonRefused = "Refused"
	// ReasonQuotaExceeded: a quota of the namespace has no room for an object that the operator would make.
	ReasonQuotaExceeded = "QuotaExceeded"
	// ReasonForbidden: a policy of the cluster forbids the operator something, or it lacks a right.
	ReasonForbidden = "Forbidden"
	// ReasonPaused: spec.reconciliation is Disabled.
	ReasonPaused = "ReconciliationDisabled"
	// ReasonUnknown: the operator did not get so far as to find out.
	ReasonUnknown = "Unknown"
)

// Reasons of a Registry's conditions.
const (
	// ReasonAdminTokenInvalid: the admin Secret was changed to hold a token that the server would refuse.
	ReasonAdminTokenInvalid = "AdminTokenInvalid"
	// ReasonVolumePending: the volume is not bound yet.
	ReasonVolumePending = "VolumePending"
	// ReasonStorageClassMissing: the storage class does not exist, or the cluster has no default one.
	ReasonStorageClassMissing = "StorageClassMissing"
	// ReasonVolumeBound: the volume is there.
	ReasonVolumeBound = "VolumeBound"
	// ReasonVolumeDeleted: the volume is being deleted, or lost.
	ReasonVolumeDeleted = "VolumeDeleted"
	// ReasonSecretMissing: a Secret that the spec names is not there.
	ReasonSecretMissing = "SecretMissing"
	// ReasonSecretKeyMissing: a Secret that the spec names lacks a key, or holds nothing under it.
	ReasonSecretKeyMissing = "SecretKeyMissing"
	// ReasonStorageUnavailable: the server says that it cannot use its volume or bucket.
	ReasonStorageUnavailable = "StorageUnavailable"
	// ReasonCatalogUnavailable: the server says that it cannot use its database.
	ReasonCatalogUnavailable = "CatalogUnavailable"
	// ReasonAvailable: the server says that it can use its bucket or database.
	ReasonAvailable = "Available"
	// ReasonRestoring: the registry is being filled from spec.restoreFrom.
	ReasonRestoring = "Restoring"
	// ReasonRestoreFailed: that failed; it is tried again.
	ReasonRestoreFailed = "RestoreFailed"
	// ReasonBackupSucceeded: the last backup succeeded.
	ReasonBackupSucceeded = "BackupSucceeded"
	// ReasonBackupFailed: the last backup failed.
	ReasonBackupFailed = "BackupFailed"
	// ReasonBackupPending: no backup was made yet.
	ReasonBackupPending = "BackupPending"
	// ReasonBackupSuspended: spec.backup.suspend is true.
	ReasonBackupSuspended = "BackupSuspended"
	// ReasonCratesIntact: all crate files were read and are as they should be.
	ReasonCratesIntact = "Intact"
	// ReasonCratesDamaged: some crate files are damaged or missing.
	ReasonCratesDamaged = "Damaged"
	// ReasonCatalogSetBack: the catalog is of an earlier time than the storage, and does not know all crate files.
	ReasonCatalogSetBack = "CatalogSetBack"
	// ReasonClocksAgree: the clocks of servers and database agree to within 30 s.
	ReasonClocksAgree = "InStep"
	// ReasonClocksDiffer: the clock of a server is another than the database's.
	ReasonClocksDiffer = "ClocksDiffer"
	// ReasonStopped: spec.replicas is 0.
	ReasonStopped = "Stopped"
	// ReasonStarting: the pod is on its way; no failure so far.
	ReasonStarting = "Starting"
	// ReasonRunning: all pods are ready.
	ReasonRunning = "Running"
	// ReasonImagePullFailed: a node cannot pull the image.
	ReasonImagePullFailed = "ImagePullFailed"
	// ReasonCrashLooping: the server ends again and again.
	ReasonCrashLooping = "CrashLooping"
	// ReasonContainerConfigInvalid: the kubelet cannot make the container.
	ReasonContainerConfigInvalid = "ContainerConfigInvalid"
	// ReasonUnschedulable: no node fits the pod.
	ReasonUnschedulable = "Unschedulable"
	// ReasonPodsRefused: the API server refuses the pod, for a quota or an admission policy.
	ReasonPodsRefused = "PodsRefused"
	// ReasonProgressDeadlineExceeded: the pod has been starting for longer than the Deployment waits for it.
	ReasonProgressDeadlineExceeded = "ProgressDeadlineExceeded"
	// ReasonNotReady: the pod runs, and its server says that it is not ready.
	ReasonNotReady = "NotReady"
	// ReasonAnswers: the server answers the operator.
	ReasonAnswers = "Answers"
	// ReasonUnreachable: the server does not answer the operator.
	ReasonUnreachable = "Unreachable"
	// ReasonAdminTokenRefused: the server does not accept the token in the admin Secret (yet).
	ReasonAdminTokenRefused = "AdminTokenRefused"
	// ReasonAddressAssigned: an ingress controller gave the Ingress an address.
	ReasonAddressAssigned = "AddressAssigned"
	// ReasonAddressPending: no ingress controller gave the Ingress an address yet.
	ReasonAddressPending = "AddressPending"
	// ReasonServiceMonitorMissing: the cluster does not know ServiceMonitors.
	ReasonServiceMonitorMissing = "ServiceMonitorsUnknown"
)

// Reasons of the conditions of what belongs to a Registry: RegistryUsers and CrateMirrors.
const (
	// ReasonRegistryNotFound: no Registry has the name in spec.registryRef.
	ReasonRegistryNotFound = "RegistryNotFound"
	// ReasonRegistryNotReady: the Registry is there and does not work yet.
	ReasonRegistryNotReady = "RegistryNotReady"
	// ReasonRegistryReady: the Registry works.
	ReasonRegistryReady = "RegistryReady"
	// ReasonServerTooOld: the Registry's server is of a version that does not know what the spec asks for.
	ReasonServerTooOld = "ServerTooOld"
)

// Reasons of a RegistryUser's conditions.
const (
	// ReasonUserNameReserved: the user's name belongs to the registry itself.
	ReasonUserNameReserved = "UserNameReserved"
	// ReasonUserNameTaken: an older RegistryUser stands for the user of that name.
	ReasonUserNameTaken = "UserNameTaken"
	// ReasonUserActive: the user is there, and its tokens are honoured.
	ReasonUserActive = "Active"
	// ReasonUserSuspended: the user is there, and its tokens are refused, as the spec asks.
	ReasonUserSuspended = "Suspended"
	// ReasonTokensIssued: all tokens lie in their Secrets.
	ReasonTokensIssued = "TokensIssued"
)

// Reasons of a CrateMirror's conditions.
const (
	// ReasonMirrorNameTaken: an older CrateMirror stands for the mirror of that name.
	ReasonMirrorNameTaken = "MirrorNameTaken"
	// ReasonPolicyAccepted: the policy is in effect.
	ReasonPolicyAccepted = "PolicyAccepted"
	// ReasonPolicyInvalid: the policy holds something that cannot be read, or contradicts itself. The one from before is in effect.
	ReasonPolicyInvalid = "PolicyInvalid"
	// ReasonReadingAdvisories: the advisories that the policy names are being read for the first time.
	ReasonReadingAdvisories = "ReadingAdvisories"
	// ReasonAdvisoriesUnreadable: the advisories that the policy names were never read, and cannot be.
	ReasonAdvisoriesUnreadable = "AdvisoriesUnreadable"
	// ReasonUpstreamAnswers: the last request to upstream was answered, or there was none since the server started.
	ReasonUpstreamAnswers = "UpstreamAnswers"
	// ReasonAskingUpstream: upstream was asked for its first word, and has not answered yet.
	ReasonAskingUpstream = "AskingUpstream"
	// ReasonUpstreamUnreachable: the last request to upstream was not answered as by a registry. What is cached is served.
	ReasonUpstreamUnreachable = "UpstreamUnreachable"
	// ReasonConfigMapMissing: a ConfigMap that the spec names is not there.
	ReasonConfigMapMissing = "ConfigMapMissing"
	// ReasonConfigMapKeyMissing: a ConfigMap that the spec names lacks a key, or holds nothing under it.
	ReasonConfigMapKeyMissing = "ConfigMapKeyMissing"
	// ReasonLockfileInvalid: the registry cannot read a lockfile. The one from before is in effect.
	ReasonLockfileInvalid = "LockfileInvalid"
	// ReasonLockfilesRead: all lockfiles are in effect.
	ReasonLockfilesRead = "LockfilesRead"
	// ReasonPackagesSkipped: all lockfiles are in effect, and name packages of sources that the mirror cannot have, such as git.
	ReasonPackagesSkipped = "PackagesSkipped"
	// ReasonSyncing: what crates and lockfiles name is being cached.
	ReasonSyncing = "Syncing"
	// ReasonSynced: what crates and lockfiles name is cached.
	ReasonSynced = "Synced"
	// ReasonNothingToSync: there are no crates and lockfiles, so nothing is cached ahead.
	ReasonNothingToSync = "NothingToSync"
	// ReasonSyncSuspended: spec or lockfiles changed since the last sync, and spec.suspend holds back the next.
	ReasonSyncSuspended = "Suspended"
	// ReasonSyncFailed: some of what crates and lockfiles name could not be cached. It is tried again.
	ReasonSyncFailed = "SyncFailed"
)
