package consensus

import (
	"bytes"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
)

func TestLog(t *testing.T) {
	var out bytes.Buffer
	now := time.Unix(1000, 0)
	log := bridge(slog.New(slog.NewTextHandler(&out, nil)), func() time.Time { return now })
	log.Debug("noise")
	log.Info("noise")
	log.With("peer", "db2").Warn("no contact", "servers", hclog.Fmt("%d of %d", 1, 3), "error", errors.New("refused"), "time", 2*time.Second)
	log.Warn("no contact")
	log.Error("something else")
	now = now.Add(quietFor)
	log.Warn("no contact")
	got := strings.Split(strings.TrimSpace(out.String()), "\n")
	if len(got) != 3 || !strings.Contains(got[0], `level=WARN msg="raft: no contact" peer=db2 servers="1 of 3" error=refused time=2s`) || !strings.Contains(got[1], "level=ERROR") {
		t.Errorf("logged %q", got)
	}
}
