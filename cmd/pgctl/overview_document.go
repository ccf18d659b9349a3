package main

import (
	"time"

	"github.com/pgctl/pgctl/pkg/cluster"
	"github.com/pgctl/pgctl/pkg/nodes"
)

// The document of `overview -o json`. It is a contract (docs/json.md): fields are added, never renamed or dropped, and
// what is not known is null, never 0 or "".
type overviewDoc struct {
	Region   regionDoc    `json:"region"`
	Servers  []serverDoc  `json:"servers"`
	Pools    []poolDoc    `json:"pools"`
	Arbiters []arbiterDoc `json:"arbiters"`
	Findings []findingDoc `json:"findings"`
}

type regionDoc struct {
	Master   *string        `json:"master"`
	HA       string         `json:"ha"`
	Epoch    *uint64        `json:"epoch"`
	Executor *string        `json:"executor"`
	Status   cluster.Status `json:"status"`
	Pause    *pausedDoc     `json:"pause"`
	Quorum   *quorumDoc     `json:"quorum"`
	Failover *string        `json:"failover"`
}

type serverDoc struct {
	Host         string       `json:"host"`
	Zone         *string      `json:"zone"`
	Reachable    bool         `json:"reachable"`
	Role         cluster.Role `json:"role"`
	Service      string       `json:"service"`
	Version      *string      `json:"version"`
	Timeline     *uint32      `json:"timeline"`
	LSN          *string      `json:"lsn"`
	LagBytes     *int64       `json:"lag_bytes"`
	LagSeconds   *float64     `json:"lag_seconds"`
	SyncState    *string      `json:"sync_state"`
	Upstream     *string      `json:"upstream"`
	PGMasterFile *string      `json:"pg_master_file"`
	Watcher      watcherDoc   `json:"watcher"`
	ReceivedLSN  *string      `json:"received_lsn"`
	Streaming    *bool        `json:"streaming"`
	ReplayPaused *bool        `json:"replay_paused"`
	Port         *int         `json:"port"`
	DataDir      *string      `json:"data_dir"`
	SystemID     *uint64      `json:"system_id,string"`
	DiskFree     *int64       `json:"disk_free_bytes"`
	DiskTotal    *int64       `json:"disk_total_bytes"`
	OnDisk       *onDiskDoc   `json:"on_disk"`
	Aside        []asideDoc   `json:"aside"`
}

// asideDoc is what a renewal of the data directory set aside.
type asideDoc struct {
	Path string    `json:"path"`
	Made time.Time `json:"made"`
	What string    `json:"what"`
}

// onDiskDoc is what the files of the data directory say, also of a server that is down.
type onDiskDoc struct {
	State         string `json:"state"`
	Timeline      uint32 `json:"timeline"`
	CheckpointLSN string `json:"checkpoint_lsn"`
}

type watcherDoc struct {
	Service *string `json:"service"`
	Monitor *string `json:"monitor"`
	Node    *string `json:"node"`
	Version *string `json:"version"`
	Part    *bool   `json:"takes_part"`
}

type poolDoc struct {
	Host      string       `json:"host"`
	Reachable bool         `json:"reachable"`
	Service   string       `json:"service"`
	Backends  []backendDoc `json:"backends"`
	Running   []backendDoc `json:"running_backends"`
	Failover  *string      `json:"failover"`
}

type backendDoc struct {
	Host string  `json:"host"`
	Port int     `json:"port"`
	Flag *string `json:"flag"`
	Role *string `json:"role"`
}

type arbiterDoc struct {
	Host      string     `json:"host"`
	Zone      *string    `json:"zone"`
	Reachable bool       `json:"reachable"`
	Watcher   watcherDoc `json:"watcher"`
}

type findingDoc struct {
	Severity cluster.Severity `json:"severity"`
	Code     cluster.Code     `json:"code"`
	Host     *string          `json:"host"`
	Message  string           `json:"message"`
	Hint     string           `json:"hint"`
}

func overviewDocument(snap cluster.Snapshot, d cluster.Diagnosis) overviewDoc {
	doc := overviewDoc{
		Region:  regionDoc{Master: known(d.Master), HA: string(d.HA), Status: d.Status, Quorum: quorumDocument(d.Regime)},
		Servers: []serverDoc{}, Pools: []poolDoc{}, Arbiters: []arbiterDoc{}, Findings: []findingDoc{},
	}
	if q := d.Regime; q != nil {
		doc.Region.Epoch, doc.Region.Executor, doc.Region.Pause = known(uint64(q.Epoch)), known(q.Leader), pausedDocument(q.Paused)
	}
	if snap.Kind == nodes.KindPG9 {
		doc.Region.Failover = known(string(snap.Failover()))
	}
	for i, s := range snap.Servers {
		doc.Servers = append(doc.Servers, serverDocument(s, d.Standings[i]))
	}
	for _, p := range snap.Pools {
		pool := poolDoc{
			Host: p.Host, Reachable: p.Reached(), Service: serviceWord(p.Service),
			Backends: backendDocs(p.Backends), Running: backendDocs(p.Running),
		}
		if snap.Kind == nodes.KindPG9 {
			pool.Failover = known(string(p.Failover()))
		}
		doc.Pools = append(doc.Pools, pool)
	}
	for _, a := range snap.Arbiters {
		doc.Arbiters = append(doc.Arbiters, arbiterDoc{Host: a.Host, Zone: known(a.Zone), Reachable: a.Reached(), Watcher: watcherDocument(a.Watcher)})
	}
	for _, f := range d.Findings {
		doc.Findings = append(doc.Findings, findingDoc{Severity: f.Severity, Code: f.Code, Host: known(f.Host), Message: f.Message, Hint: f.Hint})
	}
	return doc
}

func serverDocument(s cluster.Server, st cluster.Standing) serverDoc {
	doc := serverDoc{
		Host: s.Host, Zone: known(s.Zone), Reachable: s.Reached(), Role: st.Role, Service: serviceWord(s.Service),
		LagBytes: st.LagBytes, LagSeconds: inSeconds(st.LagTime), SyncState: known(st.SyncState), Upstream: known(st.Upstream),
		PGMasterFile: s.MasterFile, Watcher: watcherDocument(s.Watcher),
	}
	if in := s.SQL; in != nil {
		doc.Version, doc.Timeline, doc.LSN = known(in.Version), known(uint32(in.Timeline)), knownLSN(in.Position)
		if in.InRecovery {
			doc.ReceivedLSN, doc.Streaming, doc.ReplayPaused = knownLSN(in.Received), &st.Streaming, &in.Paused
		}
	}
	if data := s.Data; data != nil {
		doc.Port, doc.DataDir, doc.SystemID = known(data.Port), known(data.Path), known(data.SystemID)
		doc.Aside = []asideDoc{}
		for _, aside := range s.Asides {
			doc.Aside = append(doc.Aside, asideDoc{Path: aside.Path, Made: aside.Made.UTC(), What: aside.What})
		}
		if data.SystemID != 0 {
			doc.OnDisk = &onDiskDoc{State: data.State, Timeline: uint32(data.Timeline), CheckpointLSN: data.Checkpoint.String()}
		}
	}
	if s.Disk != nil {
		doc.DiskFree, doc.DiskTotal = &s.Disk.Free, &s.Disk.Total
	}
	return doc
}

func watcherDocument(w cluster.Watcher) watcherDoc {
	doc := watcherDoc{Service: known(string(w.Service.State)), Monitor: w.Monitor, Node: w.Node, Version: known(w.Version)}
	if w.Own {
		doc.Part = new(w.Quorum != nil)
	}
	return doc
}

func backendDocs(backends []cluster.Backend) []backendDoc {
	if backends == nil {
		return nil // null in JSON: not known
	}
	docs := []backendDoc{}
	for _, b := range backends {
		docs = append(docs, backendDoc{Host: b.Host, Port: b.Port, Flag: known(b.Flag), Role: known(b.Role)})
	}
	return docs
}

// serviceWord is one of active, inactive, failed, unknown; a service that is not there at all is inactive.
func serviceWord(s cluster.Service) string {
	switch s.State {
	case cluster.ServiceActive, cluster.ServiceInactive, cluster.ServiceFailed:
		return string(s.State)
	case cluster.ServiceAbsent:
		return string(cluster.ServiceInactive)
	}
	return string(cluster.ServiceUnknown)
}

// known is nil for a zero value, which means "not known" throughout the model.
func known[T comparable](v T) *T {
	var zero T
	if v == zero {
		return nil
	}
	return &v
}

func knownLSN(l cluster.LSN) *string {
	if l == 0 {
		return nil
	}
	return known(l.String())
}

func inSeconds(d *time.Duration) *float64 {
	if d == nil {
		return nil
	}
	return new(d.Seconds())
}
