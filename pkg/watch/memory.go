package watch

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/pgctl/pgctl/pkg/cluster"
)

// longAgo is a moment since boot at which nothing happened that could count.
const longAgo = -cluster.Never / 4

// memory is what ages rest on, as moments since boot. It outlives the watcher, not the boot: it is kept on a tmpfs.
type memory struct {
	Seq      int64                    `json:"seq"` // of the last report
	Epoch    int64                    `json:"epoch"`
	EpochAt  time.Duration            `json:"epoch_at"` // when this host came to know of the epoch
	Phase    cluster.Phase            `json:"phase"`
	PhaseAt  time.Duration            `json:"phase_at"`
	Master   string                   `json:"master"`
	MasterAt time.Duration            `json:"master_at"` // when this host came to know of the epoch's master
	Life     map[string]time.Duration `json:"life"`      // by server: its last sign of life, as this host's trials saw it
	Answered time.Duration            `json:"answered"`  // own PostgreSQL, last

	Lease       time.Duration   `json:"lease"` // when the request was sent that was granted last
	LeaseEpoch  int64           `json:"lease_epoch"`
	LeaseGen    int64           `json:"lease_gen"` // of the state that it was granted from: whoever knows less by now has none
	Canary      time.Duration   `json:"canary"`    // when the canary was begun that came back last
	CanaryNames string          `json:"canary_names"`
	Write       time.Duration   `json:"write"` // when a local write came back last
	Got         cluster.LSN     `json:"got"`   // as a standby
	GotAt       time.Duration   `json:"got_at"`
	Postmaster  string          `json:"postmaster"` // of the postmaster that answered last
	Recovery    bool            `json:"recovery"`   // what it was
	Rows        []cluster.Epoch `json:"rows"`       // what it showed
	Receiver    receiver        `json:"receiver"`   // the last one of which it is known by what it connected
	StoppedAt   time.Duration   `json:"stopped_at"`
	StoppedLife string          `json:"stopped_life"` // of the postmaster that was stopped: as long as it is seen, the stop goes on
	Stopped     bool            `json:"stopped"`      // the watcher has stopped it since it ran last
	Starts      int             `json:"starts"`       // in a row without a lasting success
	StartedAt   time.Duration   `json:"started_at"`
	Kept        time.Duration   `json:"kept"`  // when this was written
	Armed       bool            `json:"armed"` // the watchdog was left armed, if this life ends now
}

// receiver is a WAL receiver and what it connected by.
type receiver struct {
	PID  int    `json:"pid"`
	Host string `json:"host"`
	Name string `json:"name"`
}

func freshMemory(now time.Duration, wall time.Time) memory {
	return memory{
		Seq: wall.UnixNano(), EpochAt: now, PhaseAt: now, MasterAt: now, Life: map[string]time.Duration{}, Answered: longAgo,
		Lease: longAgo, Canary: longAgo, Write: now, GotAt: now, StartedAt: longAgo,
	}
}

// readMemory is what an earlier watcher of this boot has left. What cannot be read, or lies in the future, is of another boot.
func readMemory(path string, now time.Duration, wall time.Time) memory {
	text, err := os.ReadFile(path)
	m := freshMemory(now, wall)
	if err != nil {
		return m
	}
	var kept memory
	if json.Unmarshal(text, &kept) != nil || kept.Life == nil || max(kept.EpochAt, kept.PhaseAt, kept.MasterAt, kept.Lease, kept.Canary, kept.Write, kept.GotAt) > now {
		return m
	}
	kept.Seq = max(kept.Seq, m.Seq)
	if kept.Kept > 0 {
		kept.Write += now - kept.Kept // nobody wrote while no watcher ran
	}
	return kept
}

// keepMemory leaves it for the next watcher of this boot.
func (w *watcher) keepMemory() {
	if w.server != nil {
		w.server.mu.Lock()
		defer w.server.mu.Unlock()
	}
	w.memory.Kept = sinceBoot()
	text, err := json.Marshal(w.memory)
	if err == nil {
		err = os.MkdirAll(filepath.Dir(w.MemoryPath), 0o700)
	}
	if err == nil {
		err = replaceFile(w.MemoryPath, text, 0o600, false)
	}
	w.tell("memory", problem(err))
}

// learn notes when an epoch and a phase became known.
func (m *memory) learn(s *cluster.State, now time.Duration) {
	if s.Epoch != m.Epoch {
		m.Epoch, m.EpochAt, m.Phase, m.PhaseAt, m.Master, m.MasterAt = s.Epoch, now, s.Phase, now, s.Master, now
	}
	if s.Master != m.Master {
		m.Master, m.MasterAt = s.Master, now
	}
	if s.Phase != m.Phase {
		m.Phase, m.PhaseAt = s.Phase, now
	}
}

// replaceFile writes a file anew, at once for whoever reads it. durable: it is there after a loss of power too.
func replaceFile(path string, data []byte, mode os.FileMode, durable bool) error {
	temp := filepath.Join(filepath.Dir(path), "."+filepath.Base(path)+".new")
	if err := os.Remove(temp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	f, err := os.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	err = errors.Join(err, f.Chmod(mode)) // whatever the umask
	if durable {
		err = errors.Join(err, f.Sync())
	}
	if err := errors.Join(err, f.Close()); err != nil {
		return err
	}
	if err := os.Rename(temp, path); err != nil || !durable {
		return err
	}
	return syncDir(filepath.Dir(path))
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
