package postgres

import (
	"context"
	"net"
	"time"

	"github.com/pgctl/pgctl/pkg/cluster"
	"github.com/pgctl/pgctl/pkg/remote"
)

type Own struct{}

func OwnServer(host remote.Host, s Settings) *Own { return nil }
func (o *Own) Server() *Server                    { return nil }

type ServiceFile struct {
	Host  string
	Epoch int64
}
type OwnSight struct {
	DataDir         string
	Missing         bool
	Major           int
	Port            int
	SocketDir       string
	SystemID        uint64
	Running         bool
	PID             int
	Started         time.Time
	CleanStop       bool
	Gate            bool
	GateSince       time.Time
	HBAClosed       bool
	Member          string
	Service         ServiceFile
	ByService       bool
	Direct          string
	Slot            string
	Archive         bool
	FilesErr        error
	SQL             *OwnSQL
	SQLErr          error
	AskedAs         string
	Fallback        string
}

func (s OwnSight) Life() string { return "" }

type OwnSQL struct {
	Version                     string
	Recovery                    bool
	Timeline                    cluster.Timeline
	Rows                        []cluster.Epoch
	Received, Replayed, Current cluster.LSN
	AtEnd                       bool
	Paused                      bool
	Receiver                    *OwnReceiver
	Names                       string
	SlowestQuery                time.Duration
	Senders                     []OwnSender
	Settings                    map[string]string
	CheckpointTimeline          cluster.Timeline
	CheckpointRedo              cluster.LSN
	Checkpoints                 int64
	Slots                       []string
	WaitingSync                 bool
	SystemID                    uint64
}
type OwnReceiver struct {
	Status, SenderHost, Name string
	PID                      int
}
type OwnSender struct {
	PID                            int
	Name, Address, State, SyncState string
	Priority                       int
	Flush                          cluster.LSN
	Age                            time.Duration
}

func (o *Own) Look(ctx context.Context) OwnSight { return OwnSight{} }
func (o *Own) Commit(ctx context.Context, application, sc string) (string, bool, error) {
	return "", false, nil
}
func (o *Own) EndPredecessors(ctx context.Context) error                      { return nil }
func (o *Own) Freeze(ctx context.Context) error                               { return nil }
func (o *Own) Follow(ctx context.Context, c ConnInfo, epoch int64) error      { return nil }
func (o *Own) SetNames(ctx context.Context, t string) error                   { return nil }
func (o *Own) EndSender(ctx context.Context, pid int) error                   { return nil }
func (o *Own) CloseClients(ctx context.Context) error                         { return nil }
func (o *Own) OpenClients(ctx context.Context) error                          { return nil }
func (o *Own) ResumeReplay(ctx context.Context) error                         { return nil }
func (o *Own) Promote(ctx context.Context) error                              { return nil }
func (o *Own) WriteRow(ctx context.Context, e int64, n string) error          { return nil }
func (o *Own) Stop(ctx context.Context) error                                 { return nil }
func (o *Own) Kill(ctx context.Context) error                                 { return nil }
func (o *Own) StartReadOnly(ctx context.Context) error                        { return nil }
func (o *Own) StartMaster(ctx context.Context) error                          { return nil }
func (o *Own) PutGate(ctx context.Context) error                              { return nil }
func (o *Own) Checkpoint(ctx context.Context) error                           { return nil }
func (o *Own) SetMember(ctx context.Context, n string) error                  { return nil }
func (o *Own) EnsureSettings(ctx context.Context, m map[string]string) error  { return nil }
func (o *Own) DialWatcher(ctx context.Context) (net.Conn, error)              { return nil, nil }
