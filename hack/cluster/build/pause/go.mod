module github.com/crateyard/crateyard/hack/cluster/build/pause

go 1.26.0
