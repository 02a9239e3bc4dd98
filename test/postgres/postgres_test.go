package postgres

import (
	"os"
	"testing"

	"github.com/jackc/pgx/v5"
)

func TestMain(m *testing.M) { os.Exit(Main(m)) }

// What was committed is there after a stop and after a kill, at the same address.
func TestStopAndStart(t *testing.T) {
	s := StartTest(t, Options{})
	if err := s.Exec("CREATE TABLE kept (n int)"); err != nil {
		t.Fatal(err)
	}
	for name, end := range map[string]func() error{"stop": s.Stop, "kill": s.Kill} {
		if err := s.Exec("INSERT INTO kept VALUES (1)"); err != nil {
			t.Fatal(name, err)
		}
		if err := end(); err != nil {
			t.Fatal(name, err)
		}
		if err := s.Exec("SELECT 1"); err == nil {
			t.Error(name, "it answers")
		}
		if err := s.Up(); err != nil {
			t.Fatal(name, err)
		}
	}
	conn, err := pgx.Connect(t.Context(), s.URI("postgres"))
	if err != nil {
		t.Fatal(err)
	}
	var n int
	if err := conn.QueryRow(t.Context(), "SELECT count(*) FROM kept").Scan(&n); err != nil || n != 2 {
		t.Error(n, err)
	}
	if err := conn.Close(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestDatabasesAreApart(t *testing.T) {
	if one, two := Database(t), Database(t); one == two {
		t.Error(one)
	}
}
