package operations

import (
	"os"
	"path/filepath"
	"strings"

	"github.com/crateyard/crateyard/test/upload"
)

// step is a command of the text.
type step struct {
	command       string
	cluster       bool             // it needs a cluster, and is not run here; test/e2e has one
	before, after func(m *machine) // what the text says in between, and what must be so then
	says          string           // words of its output
	serves        bool             // it runs on
}

// steps are all commands, in the order of the text.
func steps() []step {
	return []step{
		{command: "kubectl exec deploy/acme -- /crateyard check --config /etc/crateyard/config/config.yaml", cluster: true},

		// Back up, while the server runs.
		{command: "crateyard backup --data /var/lib/crateyard --to /mnt/backups", says: "2 archives"},
		{command: "crateyard backup --data /var/lib/crateyard --to 's3://backups/acme?endpoint=https://s3.example.com&region=eu-1&pathStyle=true'", says: "2 archives"},
		{command: "crateyard backup list --to /mnt/backups"},
		{command: "crateyard backup verify --to /mnt/backups", says: "2 archives"},
		{command: "crateyard backup prune --data /var/lib/crateyard --to /mnt/backups --keep 14"},

		// Restore. The second line takes the place of the first.
		{command: "crateyard restore --data /var/lib/crateyard-new --from /mnt/backups", says: "2 archives copied",
			after: func(m *machine) { m.remove("/var/lib/crateyard-new") }},
		{command: "crateyard restore --data /var/lib/crateyard-new --from /mnt/backups 20260102T030405Z-abcdef", says: "2 archives copied",
			before: func(m *machine) { m.replace("20260102T030405Z-abcdef", m.backup()) }},
		{command: "crateyard check --data /var/lib/crateyard-new", says: "2 versions",
			after: func(m *machine) { m.remove("/var/lib/crateyard-new") }},

		// Mirrors in a backup: one that has something cached, and one with a token.
		{command: "export CRATEYARD_URL=https://crates.example.com CRATEYARD_TOKEN=$(cat /var/lib/crateyard/admin-token)", after: (*machine).mirrors},
		{command: "crateyard mirror export crates-mirror --to /mnt/bundles/crates-mirror.tar", after: func(m *machine) {
			m.stop()
			m.run("crateyard backup --data /var/lib/crateyard --to /mnt/backups")
			out := m.run("crateyard restore --data /var/lib/crateyard-new --from /mnt/backups")
			if !strings.Contains(out, "mirror crates-mirror came back without 1 cached archive ") || !strings.Contains(out, "mirror partner came back without the token ") {
				m.t.Errorf("the restore names both mirrors:\n%s", out)
			}
			m.run("cp /var/lib/crateyard/admin-token /var/lib/crateyard-new/admin-token") // for the CRATEYARD_TOKEN of before
			m.serve("crateyard serve --data /var/lib/crateyard-new")
		}},
		{command: "crateyard mirror import crates-mirror --from /mnt/bundles/crates-mirror.tar", says: "1 archive loaded"},
		{command: "crateyard mirror sync crates-mirror"},
		{command: "crateyard mirror token partner --upstream-token-file partner-token", after: func(m *machine) {
			if out := m.run("crateyard mirror status partner -o json"); !strings.Contains(out, `"has_token": true`) || !strings.Contains(out, "evil-*") {
				m.t.Errorf("the mirror has its token again, and is what it was:\n%s", out)
			}
			m.stop()
			m.remove("/var/lib/crateyard-new")
			m.serve("crateyard serve --data /var/lib/crateyard")
		}},

		// Move to PostgreSQL and S3: the numbers of the text.
		{command: "install -m 600 /var/lib/crateyard/admin-token /etc/crateyard/admin-token", after: func(m *machine) { // and 2.
			_, configs := operations(m.t)
			for _, c := range configs {
				if strings.Contains(c, "a new, empty folder of this server alone") {
					m.write("/root/new.yaml", m.here(c))
				}
			}
		}},
		{command: "crateyard backup --data /var/lib/crateyard --to /mnt/backups", says: "2 archives", after: func(m *machine) { // and 4.
			m.publish("http://"+m.address, m.token, "demo", "1.2.0")
			m.stop()
			if out := m.run("crateyard backup --data /var/lib/crateyard --to /mnt/backups"); !strings.Contains(out, "3 archives") || !strings.Contains(out, "1 of them") {
				m.t.Errorf("the second backup copies what came since: %s", out)
			}
		}},
		{command: "crateyard restore --config new.yaml --from /mnt/backups", says: "3 archives copied"},
		{command: "crateyard check --config new.yaml", says: "3 versions"},
		{command: "crateyard serve --config new.yaml", serves: true, after: func(m *machine) {
			m.has("demo", 3)
			m.publish("http://"+m.address, m.token, "demo", "2.0.0") // by the token that it had
		}},

		{command: "kubectl apply -k config/prometheus", cluster: true},

		// When something is away.
		{command: "crateyard sweep --data DIR --older-than 1h", says: "0 of 3 archives"},

		// Check and repair, of the old folder.
		{command: "crateyard check --data /var/lib/crateyard", says: "3 versions"},
		{command: "crateyard check --data /var/lib/crateyard --quick", says: "3 versions"},
		{command: "crateyard check --data /var/lib/crateyard --resume check.state", says: "3 versions"},
		{command: "crateyard check --data /var/lib/crateyard --repair --from /mnt/backups", says: "repaired",
			before: func(m *machine) { m.must(os.Remove(m.blob("/var/lib/crateyard/storage/crates", "1.1.0"))) },
			after:  func(m *machine) { m.blob("/var/lib/crateyard/storage/crates", "1.1.0") }},

		// Sweep and scrub.
		{command: "crateyard sweep --data /var/lib/crateyard --dry-run"},
		{command: "crateyard sweep --data /var/lib/crateyard --older-than 7d"},

		// Import, into the server that runs.
		{command: "export CRATEYARD_URL=https://crates.example.com CRATEYARD_TOKEN=$(cat admin-token)"},
		{command: "crateyard import sparse sparse+https://old.example.com/index/ --source-token-file ./old-token --dry-run"},
		{command: "crateyard import sparse sparse+https://old.example.com/index/ --source-token-file ./old-token",
			after: func(m *machine) { m.has("veteran", 1) }},
		{command: "crateyard import folder ./crates --own sparse+https://old.example.com/index/",
			before: func(m *machine) {
				m.write("/root/crates/some/where/x.crate", string(upload.New("from-folder", "1.0.0", nil).Archive))
			},
			after: func(m *machine) { m.has("from-folder", 1) }},
		{command: "crateyard import meuse --store /srv/meuse/crates --index /srv/meuse/index --own https://git.example.com/index.git",
			before: (*machine).meuse, after: func(m *machine) { m.has("from-meuse", 1) }},
		{command: "crateyard import kellnr /srv/kellnr --own sparse+https://kellnr.example.com/api/v1/crates/ --map sparse+https://kellnr.example.com/api/v1/cratesio/=crates-io",
			before: (*machine).kellnr, after: func(m *machine) { m.has("from-kellnr", 1) }},

		// When the catalog is lost.
		{command: "crateyard restore --data /var/lib/crateyard --from-blobs --take-over --url https://crates.example.com --owner alice",
			before: func(m *machine) {
				m.stop()
				lost, err := filepath.Glob(m.path("/var/lib/crateyard/catalog.db*"))
				m.must(err)
				for _, file := range lost {
					m.must(os.Remove(file))
				}
			},
			after: func(m *machine) {
				m.serve("crateyard serve --data /var/lib/crateyard")
				m.has("demo", 3)
				m.stop()
			}},
		{command: "crateyard restore --data /var/lib/crateyard-new --from-blobs --from /mnt/backups --url https://crates.example.com",
			before: func(m *machine) { m.remove("/var/lib/crateyard-new") },
			after: func(m *machine) {
				m.serve("crateyard serve --data /var/lib/crateyard-new")
				m.has("demo", 3)
				m.stop()
			}},
	}
}
