package main

import "time"

// The parts of Kubernetes' objects that this program reads and writes.

type meta struct {
	Name              string            `json:"name,omitempty"`
	Namespace         string            `json:"namespace,omitempty"`
	UID               string            `json:"uid,omitempty"`
	Annotations       map[string]string `json:"annotations,omitempty"`
	Labels            map[string]string `json:"labels,omitempty"`
	DeletionTimestamp *time.Time        `json:"deletionTimestamp,omitempty"`
}

type list[T any] struct {
	Items []T `json:"items"`
}

type condition struct{ Type, Status, Message string }

type object struct {
	Metadata meta `json:"metadata"`
	Status   struct {
		Phase             string      `json:"phase"`
		Conditions        []condition `json:"conditions"`
		AvailableReplicas int         `json:"availableReplicas"`
	} `json:"status"`
}

func (o object) condition(kind string) condition {
	for _, c := range o.Status.Conditions {
		if c.Type == kind {
			return c
		}
	}
	return condition{Type: kind, Status: "Unknown"}
}

type service struct {
	Metadata meta `json:"metadata"`
	Spec     struct {
		ClusterIP string `json:"clusterIP"`
		Ports     []struct {
			Name     string `json:"name"`
			Port     int    `json:"port"`
			Protocol string `json:"protocol"`
		} `json:"ports"`
	} `json:"spec"`
}

type storageClass struct {
	Metadata      meta   `json:"metadata"`
	Provisioner   string `json:"provisioner"`
	ReclaimPolicy string `json:"reclaimPolicy"`
}

type quantities struct {
	Requests map[string]string `json:"requests,omitempty"`
}

type volumeClaim struct {
	Metadata meta `json:"metadata"`
	Spec     struct {
		AccessModes      []string   `json:"accessModes"`
		Resources        quantities `json:"resources"`
		StorageClassName *string    `json:"storageClassName"`
		VolumeMode       *string    `json:"volumeMode"`
		VolumeName       string     `json:"volumeName"`
		Selector         any        `json:"selector"`
	} `json:"spec"`
	Status struct {
		Phase    string            `json:"phase"`
		Capacity map[string]string `json:"capacity"`
	} `json:"status"`
}

type volume struct {
	APIVersion string       `json:"apiVersion,omitempty"`
	Kind       string       `json:"kind,omitempty"`
	Metadata   meta         `json:"metadata"`
	Spec       volumeSpec   `json:"spec"`
	Status     volumeStatus `json:"status,omitzero"`
}

type volumeStatus struct {
	Phase string `json:"phase,omitempty"`
}

type volumeSpec struct {
	Capacity                      map[string]string `json:"capacity"`
	AccessModes                   []string          `json:"accessModes"`
	PersistentVolumeReclaimPolicy string            `json:"persistentVolumeReclaimPolicy"`
	StorageClassName              string            `json:"storageClassName"`
	ClaimRef                      *claimRef         `json:"claimRef,omitempty"`
	HostPath                      *hostPath         `json:"hostPath,omitempty"`
}

type claimRef struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
	Namespace  string `json:"namespace"`
	Name       string `json:"name"`
	UID        string `json:"uid"`
}

type hostPath struct {
	Path string `json:"path"`
	Type string `json:"type"`
}
