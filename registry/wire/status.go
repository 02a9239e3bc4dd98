package wire

import "time"

// Backend is how the server finds its catalog or its storage.
type Backend struct {
	Backend string `json:"backend"` // sqlite or postgres; filesystem or s3
	Ready   bool   `json:"ready"`
	Message string `json:"message,omitempty"` // why it is not ready, for people, without secrets
	// SetBack, of a catalog, says that it is of an earlier time than the storage, and how that is known.
	SetBack string `json:"set_back,omitempty"`
}

// BackupStatus is what the server knows of its scheduled backups. A time that is nil never was.
type BackupStatus struct {
	LastStarted    *time.Time `json:"last_started,omitempty"`
	LastSuccessful *time.Time `json:"last_successful,omitempty"` // when the backup that Name names was complete
	LastFailed     *time.Time `json:"last_failed,omitempty"`
	Message        string     `json:"message,omitempty"` // why the last one failed, for people, without secrets
	Name           string     `json:"name,omitempty"`    // of the last that succeeded
	Bytes          int64      `json:"bytes"`             // of all blobs of that backup
	Blobs          int64      `json:"blobs"`             // in that backup
}

// SweepStatus is what the last sweep of blobs that nothing names did.
type SweepStatus struct {
	LastCompleted *time.Time `json:"last_completed,omitempty"`
	LastFailed    *time.Time `json:"last_failed,omitempty"`
	Message       string     `json:"message,omitempty"` // why the last one failed
	Removed       int64      `json:"removed"`           // blobs
	Bytes         int64      `json:"bytes"`             // that they took
}

// ScrubStatus is what reading all blobs again found.
type ScrubStatus struct {
	LastCompleted *time.Time `json:"last_completed,omitempty"` // of the last round
	Problems      int64      `json:"problems"`                 // blobs that are damaged or missing, in the last round and this one
	Message       string     `json:"message,omitempty"`        // names the first of them
}
