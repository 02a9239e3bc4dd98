package port

import (
	"fmt"
	"net"
	"testing"
)

// No two get the same, none is one that the kernel chooses, and a server can listen there again and again.
func TestReserve(t *testing.T) {
	first := firstEphemeral()
	seen := map[int]bool{}
	for range 500 {
		number, release, err := Reserve()
		if err != nil {
			t.Fatal(err)
		}
		defer release()
		if seen[number] || first > lowest && number >= first {
			t.Fatalf("%d: given before: %v; the kernel's begin with %d", number, seen[number], first)
		}
		seen[number] = true
	}
	address := Address(t)
	for range 3 {
		l, err := net.Listen("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// What is held is passed over, and what was released can be had again.
func TestRelease(t *testing.T) {
	number, release, err := Reserve()
	if err != nil {
		t.Fatal(err)
	}
	name := fmt.Sprint("@crateyard-test-port-", number)
	if l, err := net.Listen("unix", name); err == nil {
		_ = l.Close() // the test has failed
		t.Error("it is not held")
	}
	release()
	release()
	l, err := net.Listen("unix", name)
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Error(err)
	}
}
