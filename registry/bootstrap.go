package registry

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/crateyard/crateyard/registry/auth"
	"github.com/crateyard/crateyard/registry/catalog"
	"github.com/crateyard/crateyard/registry/fault"
	"github.com/crateyard/crateyard/registry/folder"
)

// AdminTokenName is the file in the data folder that holds the admin's token when nobody gave one.
const AdminTokenName = "admin-token"

// bootstrap makes the first admin, and makes the token that the administrator gave the one that works: who changes it
// and restarts has revoked the old one.
func (s *Server) bootstrap(ctx context.Context) error {
	token, err := s.adminToken()
	if err != nil {
		return err
	}
	if err := auth.CheckAdminToken(token); err != nil {
		return err
	}
	_, err = s.catalog.CreateUser(ctx, catalog.Actor{}, catalog.User{Name: auth.BootstrapUser, Role: string(auth.Admin)})
	if err != nil && fault.KindOf(err) != fault.Conflict {
		return err
	}
	return s.catalog.ReplaceToken(ctx, catalog.Token{UserName: auth.BootstrapUser, Name: auth.BootstrapToken}, auth.Hash(token))
}

func (s *Server) adminToken() (string, error) {
	if s.config.AdminToken != "" {
		return s.config.AdminToken, nil
	}
	path := s.config.AdminTokenFile
	if path == "" && s.config.Catalog.Postgres != nil {
		return "", errors.New("no admin token: servers that may share a database need the same one; say --admin-token-file, or set CRATEYARD_ADMIN_TOKEN")
	}
	own := filepath.Join(s.config.Data, AdminTokenName)
	if path == "" {
		path = own
	}
	data, err := os.ReadFile(path)
	if err == nil {
		return strings.TrimSpace(string(data)), nil
	}
	if path != own {
		return "", fmt.Errorf("admin token: adminTokenFile (--admin-token-file): %w; the file holds the admin's token, at least 32 random characters in one line, and is there before the server", err)
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("admin token: %w", folder.Explain(s.config.Data, err))
	}
	token := auth.NewToken()
	if err := writeFile(path, token+"\n"); err != nil {
		return "", fmt.Errorf("admin token: %w", folder.Explain(s.config.Data, err))
	}
	s.log.Info("Wrote a new admin token", "file", path)
	return token, nil
}

// writeFile makes a new file that only its owner may read, durable and whole: a crash in between leaves none, and the next
// start writes it again.
func writeFile(path, text string) error {
	tmp := path + ".new"
	f, err := os.OpenFile(tmp, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = f.WriteString(text)
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	return os.Rename(tmp, path)
}

// lockWait is how long a start waits for another server to leave the folder: a rolling restart overlaps by that much at most.
const lockWait = 10 * time.Second

// lockFolder takes a data folder for this process alone. The lock ends with the process, however it ends.
func lockFolder(dir string, log *slog.Logger) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o640)
	if err != nil {
		return nil, folder.Explain(dir, err)
	}
	begin := time.Now()
	for waited := false; ; time.Sleep(100 * time.Millisecond) {
		err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil {
			return f, nil
		}
		if !errors.Is(err, syscall.EWOULDBLOCK) || time.Since(begin) > lockWait {
			break
		}
		if !waited {
			log.Info("Waiting for another crateyard to leave the data folder", "data", dir, "most", lockWait.String())
			waited = true
		}
	}
	if errors.Is(err, syscall.EWOULDBLOCK) {
		err = fmt.Errorf("data folder %s is in use by another crateyard: stop it first, or say another --data", dir)
	}
	return nil, errors.Join(err, f.Close())
}
