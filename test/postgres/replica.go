package postgres

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"strings"

	"github.com/crateyard/crateyard/test/port"
)

// Replica makes a copy of a running server that follows it by streaming, and starts it on a port of its own. It takes reads until Promote. The
// server itself is started again, so that what it acknowledges from then on can be read from the replica, and waits where that is stopped.
func (s *Server) Replica() (_ *Server, err error) {
	r := &Server{bin: s.bin, cred: s.cred, settings: maps.Clone(s.settings)}
	r.settings["wal_retrieve_retry_interval"] = "100ms" // it is 5 s
	if r.port, r.release, err = port.Reserve(); err != nil {
		return nil, err
	}
	if r.dir, err = os.MkdirTemp("", fmt.Sprintf("%s%d-", folderPrefix, os.Getpid())); err != nil {
		return nil, err
	}
	if r.cred != nil {
		err = os.Chown(r.dir, int(r.cred.Uid), int(r.cred.Gid))
	}
	if err == nil {
		from := s.URI("postgres") + "&application_name=" + replicaName
		cmd := r.command("pg_basebackup", "--no-sync", "--pgdata="+r.data(), "--dbname="+from, "--write-recovery-conf", "--checkpoint=fast")
		if out, runErr := cmd.CombinedOutput(); runErr != nil {
			err = fmt.Errorf("pg_basebackup: %w\n%s", runErr, out)
		}
	}
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(r.dir))
	}
	if err = r.Up(); err == nil {
		s.settings["synchronous_standby_names"], s.settings["synchronous_commit"] = replicaName, "remote_apply"
		err = errors.Join(s.Stop(), s.Up())
	}
	if err != nil {
		return nil, errors.Join(err, r.Close())
	}
	return r, nil
}

// replicaName is what a replica calls itself.
const replicaName = "replica"

// Promote makes a replica a server of its own, that takes writes.
func (s *Server) Promote() error { return s.Exec("SELECT pg_promote()") } // it waits until that is done

// WithReplica is the address of a database on whichever of a server and its replica takes writes, and on the replica alone.
func (s *Server) WithReplica(r *Server, uri string) (either, replica string) {
	return strings.Replace(uri, s.Addr(), s.Addr()+","+r.Addr(), 1) + "&target_session_attrs=read-write", strings.Replace(uri, s.Addr(), r.Addr(), 1)
}
