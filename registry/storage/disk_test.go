package storage

func inNamespace() {}
